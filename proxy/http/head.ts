// A request's head, or why it is refused: pure.
import { METHODS } from 'node:http'
import { Problem } from '../errors.ts'

/** Methods that change nothing (RFC 9110, 9.2.1). */
export const safeMethods: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE'])

/** The head of a request as Node's parser gives it. */
export interface RawHead {
  method?: string | undefined
  /** The request target, byte for byte (latin1). */
  url?: string | undefined
  httpVersion: string
  /** Names and values in turn, as they came. */
  rawHeaders: readonly string[]
}

/** A request head that means one thing only, to everybody who reads it. */
export interface RequestHead {
  method: string
  httpVersion: '1.0' | '1.1'
  /** The request target, byte for byte. */
  target: string
  /** The target's path as it came, and its query without the `?`. */
  path: string
  query: string
  rawHeaders: readonly string[]
  /** The names of `rawHeaders`, in lower case, one for each pair. */
  names: readonly string[]
  host: string | undefined
  /** Of the content: a number of bytes, 'chunked', or none at all. */
  content: number | 'chunked' | undefined
  /** The options of Connection, in lower case. */
  connection: readonly string[]
  expectsContinue: boolean
  /** How many more intermediaries an OPTIONS or a TRACE may pass (RFC 9110, 7.6.2). */
  maxForwards: number | undefined
}

/** RFC 9110, 7.2: a registered name or an address, with a port or without. */
const hostPattern = /^(?:\[[\da-f:.]+\]|(?:[\w.~!$&'()*+,;=-]|%[\da-f]{2})+)(?::\d*)?$/i
const absoluteForm = /^https?:\/\/([^/?#]*)/i
const methods = new Set(METHODS)
methods.delete('SOURCE') // Icecast's, not HTTP's
/** What programs that make variables of field names, `_` for `-`, may take for a field that frames the message. */
const lookalike = /^(content_length|transfer_encoding)$/

/**
 * Reads the head of a request, or says why it is refused.
 *
 * Node's parser has refused most of what can be read in two ways (RFC 9112, 11.2: both lengths, repeated or malformed ones,
 * bare CR and LF, folded lines, space before the colon). This refuses what it lets through: transfer codings other than
 * one plain `chunked`, chunked in HTTP/1.0, two Hosts or none, a target that names another authority or holds a fragment,
 * HTTP/0.9, methods of other protocols, lengths above what a number holds.
 */
export function readRequestHead({ method = '', url = '', httpVersion, rawHeaders }: RawHead): RequestHead | Problem {
  if (httpVersion !== '1.1' && httpVersion !== '1.0') return refused(`HTTP/${httpVersion} is not spoken here.`)
  if (!methods.has(method) || method === 'CONNECT')
    return new Problem('not-implemented', `${method} is not carried here.`)
  const names: string[] = []
  const head: RequestHead = {
    method,
    httpVersion,
    target: url,
    path: '',
    query: '',
    rawHeaders,
    names,
    host: undefined,
    content: undefined,
    connection: noOptions,
    expectsContinue: false,
    maxForwards: undefined,
  }
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = (rawHeaders[i] ?? '').toLowerCase()
    names.push(name)
    const problem = readField(head, name, rawHeaders[i + 1] ?? '')
    if (problem !== undefined) return problem
  }
  if (head.host === undefined && httpVersion === '1.1') return refused('It has no Host field.')
  if (method === 'TRACE' && head.content !== undefined && head.content !== 0) return refused('TRACE has no content.')
  return readTarget(head) ?? head
}

/** Takes one field into `head`, or says why the whole request is refused for it. */
function readField(head: RequestHead, name: string, value: string): Problem | undefined {
  switch (name) {
    case 'host':
      if (head.host !== undefined) return refused('It has two Host fields.')
      if (!hostPattern.test(value)) return refused('Its Host is not one.')
      head.host = value
      return undefined
    case 'transfer-encoding':
      return readTransferEncoding(head, value)
    case 'content-length':
      if (head.content !== undefined) return refused('Its length is given twice.')
      if (!/^\d{1,16}$/.test(value) || !Number.isSafeInteger(Number(value))) return refused('Its length is not one.')
      head.content = Number(value)
      return undefined
    case 'connection':
      head.connection = withOptions(head.connection, value)
      return undefined
    case 'expect':
      if (value.toLowerCase() !== '100-continue')
        return new Problem('expectation-failed', 'Only 100-continue can be expected.')
      head.expectsContinue = true
      return undefined
    case 'max-forwards':
      if ((head.method === 'OPTIONS' || head.method === 'TRACE') && /^\d{1,9}$/.test(value))
        head.maxForwards = Number(value)
      return undefined
    default:
      if (name.includes('_') && lookalike.test(name)) return refused('A field looks like its length and is none.')
      return undefined
  }
}

function readTransferEncoding(head: RequestHead, value: string): Problem | undefined {
  if (head.content !== undefined) return refused('Its length is given twice.')
  if (value.toLowerCase() !== 'chunked')
    return new Problem('not-implemented', 'No transfer coding but chunked is taken.')
  if (head.httpVersion === '1.0') return refused('HTTP/1.0 has no transfer codings.')
  head.content = 'chunked'
  return undefined
}

function readTarget(head: RequestHead): Problem | undefined {
  const origin = originForm(head)
  if (origin instanceof Problem) return origin
  const mark = origin.indexOf('?')
  head.path = mark === -1 ? origin : origin.slice(0, mark)
  if (mark !== -1) head.query = origin.slice(mark + 1)
  return undefined
}

/** Path and query of a target in origin form, in absolute form for this very Host, or `*` (RFC 9112, 3.2). */
function originForm({ target, method, host }: RequestHead): string | Problem {
  if (target.includes('#')) return refused('Its target holds a fragment.')
  if (target.startsWith('/')) return target
  if (target === '*') return method === 'OPTIONS' ? target : refused('Only OPTIONS can have the target *.')
  const absolute = absoluteForm.exec(target)
  if (absolute === null) return refused('Its target is not one of HTTP.')
  const [prefix, authority = ''] = absolute
  if (authority.toLowerCase() !== host?.toLowerCase())
    return refused('Its target names another authority than its Host.')
  const rest = target.slice(prefix.length)
  return rest.startsWith('/') ? rest : `/${rest}`
}

const noOptions: readonly string[] = []

/** `options` and those that one more Connection field has. */
function withOptions(options: readonly string[], value: string): readonly string[] {
  // What nearly every client says, and what names no field.
  if (value === '' || value === 'keep-alive') return options
  const more = value.toLowerCase().split(',')
  return [...options, ...more.map((option) => option.trim()).filter((option) => option !== '')]
}

function refused(detail: string): Problem {
  return new Problem('bad-request', detail)
}
