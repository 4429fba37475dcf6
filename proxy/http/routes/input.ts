// Parser of parameter names and values in a query string or a JSON body.
import { Problem } from '../../errors.ts'
import { decode, undecodable } from './parameters.ts'

/** The values sent for each name; several if a name was repeated. */
type Sent = Map<string, unknown[]>

/**
 * The names and values of a query string (without its `?`). `+` is a space, as in forms. Throws `bad-parameters` if
 * there are more than `max`, declared or not.
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
    // A name that cannot be decoded belongs to no parameter; it is ignored like every undeclared name.
    if (name === undecodable) continue
    add(sent, name, equals === -1 ? '' : decode(pair.slice(equals + 1).replaceAll('+', ' ')))
  }
  return sent
}

/**
 * The members of the JSON object `text`, at most `max`. Throws `bad-body` for anything else.
 *
 * A repeated name keeps all its values, where JSON.parse would silently take the last: every reader of a request must
 * see the same.
 */
export function readBody(text: unknown, max = Number.POSITIVE_INFINITY): Sent {
  if (typeof text !== 'string') throw new Problem('bad-body', 'The body must be a JSON object.')
  let body: unknown
  try {
    body = JSON.parse(text)
  } catch (error) {
    throw new Problem('bad-body', 'The body is not valid JSON.', { cause: error })
  }
  if (!isRecord(body)) throw new Problem('bad-body', 'The body must be a JSON object.')
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
  return new Problem('bad-parameters', `The request has more than ${max} parameters, the limit.`)
}

function add(sent: Sent, name: string, value: unknown): void {
  const values = sent.get(name)
  if (values === undefined) sent.set(name, [value])
  else values.push(value)
}

/** The member names of the object in `json`, which must be valid: in order, with repetitions. */
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
