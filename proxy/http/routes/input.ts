// Names and values out of a query string or a JSON body.
import { Problem } from '../../errors.ts'
import { decode, undecodable } from './parameters.ts'

/** What was sent for each name; more than one value where a name came more than once. */
type Sent = Map<string, unknown[]>

/**
 * The names and values of a query string (without its `?`); `+` is a space, as forms write it. Throws `bad-parameters` when there
 * are more than `max` of them, known or not.
 */
export function readQuery(query: string, max = Number.POSITIVE_INFINITY): Sent {
  const sent: Sent = new Map()
  let count = 0
  for (const pair of query.split('&')) {
    if (pair === '') continue
    count += 1
    if (count > max) throw tooMany(max)
    const equals = pair.indexOf('=')
    const name = decode((equals === -1 ? pair : pair.slice(0, equals)).replaceAll('+', ' '))
    // No parameter has a name that cannot be decoded: like every undeclared name, it is ignored.
    if (name === undecodable) continue
    add(sent, name, equals === -1 ? '' : decode(pair.slice(equals + 1).replaceAll('+', ' ')))
  }
  return sent
}

/**
 * The members of the JSON object `text`, at most `max`. Throws `bad-body` for anything else.
 *
 * A name given twice is kept twice, where JSON.parse would quietly take the last: what one reader of a request sees must be
 * what every other sees.
 */
export function readBody(text: unknown, max = Number.POSITIVE_INFINITY): Sent {
  if (typeof text !== 'string') throw new Problem('bad-body', 'A JSON object is expected.')
  let body: unknown
  try {
    body = JSON.parse(text)
  } catch (error) {
    throw new Problem('bad-body', 'The body is not JSON.', { cause: error })
  }
  if (!isRecord(body)) throw new Problem('bad-body', 'The body is not a JSON object.')
  const sent: Sent = new Map()
  const names = memberNames(text)
  if (names.length > max) throw tooMany(max)
  const members = new Map<string, unknown>(Object.entries(body))
  for (const name of names) add(sent, name, members.get(name))
  return sent
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function tooMany(max: number): Problem {
  return new Problem('bad-parameters', `There are more than ${max} parameters.`)
}

function add(sent: Sent, name: string, value: unknown): void {
  const values = sent.get(name)
  if (values === undefined) sent.set(name, [value])
  else values.push(value)
}

/** The names of the members of the object that `json`, known to be valid, spells: in order, repeated ones too. */
function memberNames(json: string): string[] {
  const names: string[] = []
  let depth = 0
  for (const [token, isName] of json.matchAll(/"(?:[^"\\]|\\.)*"(\s*:)?|[[\]{}]/g)) {
    if (token === '{' || token === '[') depth += 1
    else if (token === '}' || token === ']') depth -= 1
    else if (depth === 1 && isName !== undefined)
      names.push(String(JSON.parse(token.slice(0, token.length - isName.length))))
  }
  return names
}
