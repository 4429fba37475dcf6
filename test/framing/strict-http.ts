// A strict parser of HTTP/1.1 (RFC 9112) that shares no code with any other parser.
import { type Field, valuesOf } from '../wire/fields.ts'

export interface StrictRequest {
  method: string
  target: string
  version: string
  fields: Field[]
  content: string
  trailers: Field[]
}

export interface StrictAnswer {
  status: number
  fields: Field[]
  content: string
  /** Method and target of its request, as written by the strict upstream; '' if another part answered. */
  answers: string
}

/** A violation of RFC 9112. */
export class Violation extends Error {}

export interface Input {
  bytes: string
  isEnded: boolean
}

/** Reads from an input, and pauses (yields) while it needs more. */
export type Reading<T> = Generator<void, T, void>

const token = /^[!#$%&'*+\-.^_`|~\w]+$/
const chunkHead =
  /^([\da-f]+)(?:[ \t]*;[ \t]*[!#$%&'*+\-.^`|~\w]+(?:[ \t]*=[ \t]*(?:[!#$%&'*+\-.^`|~\w]+|"(?:[^"\\]|\\.)*"))?)*$/i
/** RFC 3986, 3.2.2: a registered name or an address in brackets, and a port. */
const uriHost = /^(?:\[[\da-f:.]+\]|(?:[\w.~!$&'()*+,;=-]|%[\da-f]{2})+)(?::\d*)?$/i
const absolute = /^[a-z][a-z\d+.-]*:\/\/([^/?#]+)/i
const mayNotTrail = new Set(['content-length', 'transfer-encoding', 'host'])

export function bad(what: string, text: string): Violation {
  return new Violation(`${what}: ${JSON.stringify(text.slice(0, 120))}`)
}

/** Visible characters, and bytes above ASCII; a field value has spaces and tabs besides. */
function isText(text: string, spaces = true): boolean {
  for (let i = 0; i < text.length; i += 1) {
    const code = text.charCodeAt(i)
    if (code === 0x7f || (code <= 0x20 && !(spaces && (code === 0x20 || code === 0x09)))) return false
  }
  return true
}

/** The text before the next CRLF. A CR or an LF by itself is a violation. */
function* line(input: Input): Reading<string> {
  for (;;) {
    const end = input.bytes.indexOf('\n')
    const text = end === -1 ? input.bytes : input.bytes.slice(0, end)
    const inner = text.endsWith('\r') ? text.slice(0, -1) : text
    if (inner.includes('\r')) throw bad('a bare CR', text)
    if (end !== -1) {
      if (inner === text) throw bad('a bare LF', text)
      input.bytes = input.bytes.slice(end + 1)
      return inner
    }
    yield
  }
}

function* take(input: Input, length: number): Reading<string> {
  while (input.bytes.length < length) yield
  const taken = input.bytes.slice(0, length)
  input.bytes = input.bytes.slice(length)
  return taken
}

/** A header or trailer section, with the empty line that ends it. */
function* section(input: Input): Reading<Field[]> {
  const fields: Field[] = []
  for (;;) {
    const text = yield* line(input)
    if (text === '') return fields
    const colon = text.indexOf(':')
    const name = text.slice(0, Math.max(colon, 0))
    const value = text.slice(colon + 1).replace(/^[ \t]+|[ \t]+$/g, '')
    if (!token.test(name)) throw bad('no field name', text)
    if (!isText(value)) throw bad('no field value', text)
    fields.push([name, value])
  }
}

function* chunks(input: Input): Reading<{ content: string; trailers: Field[] }> {
  let content = ''
  for (;;) {
    const text = yield* line(input)
    const size = Number.parseInt(chunkHead.exec(isText(text) ? text : '')?.[1] ?? '', 16)
    if (!Number.isSafeInteger(size)) throw bad('no chunk size', text)
    if (size === 0) break
    content += yield* take(input, size)
    const end = yield* take(input, 2)
    if (end !== '\r\n') throw bad('no CRLF behind a chunk', end)
  }
  const trailers = yield* section(input)
  for (const [name] of trailers) if (mayNotTrail.has(name.toLowerCase())) throw bad('in a trailer', name)
  return { content, trailers }
}

/** A number of bytes, 'chunked', or nothing. At most one of them, once. */
function lengthOf(fields: readonly Field[]): number | 'chunked' | undefined {
  const lengths = valuesOf(fields, 'content-length')
  const codings = valuesOf(fields, 'transfer-encoding')
  if (lengths.length + codings.length > 1) throw bad('more than one length', [...lengths, ...codings].join(' and '))
  for (const coding of codings) {
    if (coding.toLowerCase() !== 'chunked') throw bad('an unknown transfer coding', coding)
    return 'chunked'
  }
  for (const length of lengths) {
    if (!/^\d+$/.test(length) || !Number.isSafeInteger(Number(length))) throw bad('no length', length)
    return Number(length)
  }
  return undefined
}

/** The method, target and version. */
function* requestLine(input: Input): Reading<{ method: string; target: string; version: string }> {
  const text = yield* line(input)
  const [method = '', target = '', version = '', ...more] = text.split(' ')
  if (more.length > 0 || !token.test(method)) throw bad('no request line', text)
  if (version !== 'HTTP/1.1' && version !== 'HTTP/1.0') throw bad('no version', text)
  // Visible ASCII beyond RFC 3986 is accepted: the upstream gets it as browsers and clients send it.
  if (target === '' || [...target].some((c) => c <= ' ' || c > '~' || c === '#')) throw bad('no target', text)
  return { method, target, version }
}

/** Requires one Host, except in HTTP/1.0; a target in absolute form must name the same. */
function checkHost(method: string, target: string, version: string, fields: readonly Field[]): void {
  const [host, ...more] = valuesOf(fields, 'host')
  if (more.length > 0 || (host === undefined && version === 'HTTP/1.1')) throw bad('not one Host', more.join())
  if (host !== undefined && !uriHost.test(host)) throw bad('no Host', host)
  if (target.startsWith('/') || (target === '*' && method === 'OPTIONS')) return
  const authority = absolute.exec(target)?.[1]
  if (authority === undefined || authority.toLowerCase() !== host?.toLowerCase()) throw bad('no target', target)
}

/** Reads a request; `headRead` gets its fields before its content is read. */
export function* readRequest(input: Input, headRead: (fields: Field[]) => void): Reading<StrictRequest> {
  const { method, target, version } = yield* requestLine(input)
  const fields = yield* section(input)
  checkHost(method, target, version, fields)
  // Programs that turn field names into variables mistake these for the real fields.
  for (const [name] of fields)
    if (/^(content_length|transfer_encoding)$/i.test(name)) throw bad('looks like a length', name)
  const length = lengthOf(fields)
  if (length === 'chunked' && version === 'HTTP/1.0') throw bad('a transfer coding in HTTP/1.0', target)
  if (method === 'TRACE' && length !== undefined && length !== 0) throw bad('TRACE with content', target)
  headRead(fields)
  const rest = length === 'chunked' ? yield* chunks(input) : { content: yield* take(input, length ?? 0), trailers: [] }
  return { method, target, version, fields, ...rest }
}

/** Reads an answer, or an informational response. */
export function* readAnswer(input: Input, isToHead: () => boolean): Reading<StrictAnswer> {
  const start = yield* line(input)
  const status = Number(/^HTTP\/1\.1 (\d{3})(?: |$)/.exec(start)?.[1])
  if (Number.isNaN(status)) throw bad('no status line', start)
  const fields = yield* section(input)
  const answers = valuesOf(fields, 'x-answers').join()
  if (status < 200 || status === 204 || status === 304 || isToHead()) return { status, fields, content: '', answers }
  const length = lengthOf(fields)
  if (length === 'chunked') return { status, fields, content: (yield* chunks(input)).content, answers }
  if (length !== undefined) return { status, fields, content: yield* take(input, length), answers }
  while (!input.isEnded) yield
  return { status, fields, content: yield* take(input, input.bytes.length), answers }
}
