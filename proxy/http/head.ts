// Validation of a request's head: the head, or the reason to reject it: pure.
import { METHODS } from 'node:http'
import { Problem } from '../errors.ts'

/** Safe methods (RFC 9110, 9.2.1). */
export const safeMethods: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE'])

/** The head of a request from Node's parser. */
export interface RawHead {
  method?: string | undefined
  /** The request target, byte for byte (latin1). */
  url?: string | undefined
  httpVersion: string
  /** Names and values in turn, unmodified. */
  rawHeaders: readonly string[]
}

/** A request head that every reader interprets in the same way. */
export interface RequestHead {
  method: string
  httpVersion: '1.0' | '1.1'
  /** The request target, byte for byte. */
  target: string
  /** The target's path, unmodified, and its query without the `?`. */
  path: string
  query: string
  rawHeaders: readonly string[]
  /** The names of `rawHeaders`, in lower case, one per pair. */
  names: readonly string[]
  host: string | undefined
  /** The length of the content: a number of bytes, 'chunked', or none. */
  content: number | 'chunked' | undefined
  /** The options of Connection, in lower case. */
  connection: readonly string[]
  expectsContinue: boolean
  /** How many more intermediaries an OPTIONS or a TRACE may pass (RFC 9110, 7.6.2). */
  maxForwards: number | undefined
}

/** RFC 9110, 7.2: a registered name or an address, optionally with a port. */
const hostPattern = /^(?:\[[\da-f:.]+\]|(?:[\w.~!$&'()*+,;=-]|%[\da-f]{2})+)(?::\d*)?$/i
const absoluteForm = /^https?:\/\/([^/?#]*)/i
const methods = new Set(METHODS)
methods.delete('SOURCE') // Icecast's, not HTTP's
/**
 * Names that programs which turn field names into variables (`_` for `-`) may mistake for a field that frames the
 * message.
 */
const lookalike = /^(content_length|transfer_encoding)$/

/**
 * Reads the head of a request, or returns the reason to reject it.
 *
 * Node's parser already rejects most ambiguous messages (RFC 9112, 11.2: both lengths, repeated or malformed ones, bare
 * CR and LF, folded lines, space before the colon). This function rejects what the parser lets through:
 *
 * - transfer codings other than one plain `chunked`, and chunked in HTTP/1.0
 * - two Host fields or none, a target that names another authority or contains a fragment
 * - HTTP/0.9, methods of other protocols, lengths that exceed a safe integer
 */
export function readRequestHead({ method = '', url = '', httpVersion, rawHeaders }: RawHead): RequestHead | Problem {
  if (httpVersion !== '1.1' && httpVersion !== '1.0')
    return refused(`HTTP/${httpVersion} is not supported. Use HTTP/1.1.`)
  if (!methods.has(method) || method === 'CONNECT')
    return new Problem('not-implemented', `The method ${method} is not supported.`)
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
  if (head.host === undefined && httpVersion === '1.1') return refused('Missing Host header.')
  if (method === 'TRACE' && head.content !== undefined && head.content !== 0)
    return refused('A TRACE request must not have content.')
  return readTarget(head) ?? head
}

/** Reads one field into `head`, or returns the reason to reject the request. */
function readField(head: RequestHead, name: string, value: string): Problem | undefined {
  switch (name) {
    case 'host':
      if (head.host !== undefined) return refused('More than one Host header.')
      if (!hostPattern.test(value)) return refused('Invalid Host header.')
      head.host = value
      return undefined
    case 'transfer-encoding':
      return readTransferEncoding(head, value)
    case 'content-length':
      if (head.content !== undefined) return refused('More than one Content-Length or Transfer-Encoding header.')
      if (!/^\d{1,16}$/.test(value) || !Number.isSafeInteger(Number(value)))
        return refused('Invalid Content-Length header.')
      head.content = Number(value)
      return undefined
    case 'connection':
      head.connection = withOptions(head.connection, value)
      return undefined
    case 'expect':
      if (value.toLowerCase() !== '100-continue')
        return new Problem('expectation-failed', 'Unsupported Expect header: only 100-continue is supported.')
      head.expectsContinue = true
      return undefined
    case 'max-forwards':
      if ((head.method === 'OPTIONS' || head.method === 'TRACE') && /^\d{1,9}$/.test(value))
        head.maxForwards = Number(value)
      return undefined
    default:
      if (name.includes('_') && lookalike.test(name))
        return refused('A header name with an underscore could be mistaken for Content-Length or Transfer-Encoding.')
      return undefined
  }
}

function readTransferEncoding(head: RequestHead, value: string): Problem | undefined {
  if (head.content !== undefined) return refused('More than one Content-Length or Transfer-Encoding header.')
  if (value.toLowerCase() !== 'chunked')
    return new Problem('not-implemented', 'Unsupported transfer coding: only chunked is supported.')
  if (head.httpVersion === '1.0') return refused('Transfer-Encoding is not allowed in HTTP/1.0.')
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

/** Path and query of a target in origin form, in absolute form with the authority of Host, or `*` (RFC 9112, 3.2). */
function originForm({ target, method, host }: RequestHead): string | Problem {
  if (target.includes('#')) return refused('The request target must not contain a fragment (#).')
  if (target.startsWith('/')) return target
  if (target === '*') return method === 'OPTIONS' ? target : refused('Only OPTIONS may use the target *.')
  const absolute = absoluteForm.exec(target)
  if (absolute === null) return refused('Invalid request target.')
  const [prefix, authority = ''] = absolute
  if (authority.toLowerCase() !== host?.toLowerCase())
    return refused('The request target and the Host header name different hosts.')
  const rest = target.slice(prefix.length)
  return rest.startsWith('/') ? rest : `/${rest}`
}

const noOptions: readonly string[] = []

/** `options` plus the options of another Connection field. */
function withOptions(options: readonly string[], value: string): readonly string[] {
  // The most common values; they name no field.
  if (value === '' || value === 'keep-alive') return options
  const more = value.toLowerCase().split(',')
  return [...options, ...more.map((option) => option.trim()).filter((option) => option !== '')]
}

function refused(detail: string): Problem {
  return new Problem('bad-request', detail)
}
