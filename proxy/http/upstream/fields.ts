// Header fields passed on in both directions, and the forwarding fields: pure.
import type { RequestHead } from '../head.ts'

/** The sender of a request, as far as it is trustworthy. */
export interface Sender {
  /** The address of the peer; undefined on a Unix socket. */
  address: string | undefined
  isEncrypted: boolean
  /** Whether the configuration trusts this peer's forwarding fields. */
  isTrusted: boolean
  /** The forwarding fields for one Host, remembered: nearly every request on a connection has the same. */
  forwarding?: { host: string | undefined; fields: readonly string[] }
}

/** The forwarding claims of a trusted peer. Lists end with a comma; a missing claim is empty. */
interface ForwardedClaims {
  for: string
  forwarded: string
  host: string
  proto: string
}

/**
 * RFC 9110, 7.6.1. Trailer is not hop-by-hop there, but announces fields that are passed on only if both sides are
 * chunked.
 */
const hopByHop = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])
/** Never dropped when Connection names them: without them the message would be a different one. */
const framing = new Set(['content-length', 'host'])
/** Fields forbidden in a trailer section (RFC 9110, 6.5.1), besides those that frame a message. */
const notInTrailers = new Set([
  'authorization',
  'cache-control',
  'content-encoding',
  'content-range',
  'content-type',
  'cookie',
  'expect',
  'range',
  'set-cookie',
  'via',
])
/** Fields that only a proxy may set, in all spellings that readers of variables treat as equal. */
const forwarding = /^(x[-_]forwarded([-_].*)?|forwarded|x[-_]real[-_]ip|proxy)$/
const pseudonym = '1.1 onramp'
/** Maximum number of onramps on a request's path. More means a loop: the upstream leads back here. */
const maxHops = 8

/** Called for every field of every request, so most names are excluded by their first letter. */
function isForwarding(name: string): boolean {
  const first = name.charCodeAt(0)
  return (first === 0x78 || first === 0x66 || first === 0x70) && forwarding.test(name)
}

/**
 * The fields of `head` for the upstream, names and values in turn, without those that frame the message.
 *
 * Hop-by-hop fields, and fields that Connection names, are removed. So is `Proxy`: programs that turn fields into
 * variables would take it for their own proxy (CVE-2016-5387). Forwarding fields are replaced by what is known here;
 * from a trusted peer they are extended instead (RFC 7239). `sender.forwarding` remembers the result for the next
 * request.
 */
export function upstreamFields(head: RequestHead, sender: Sender): string[] {
  const { rawHeaders, names, connection, host, httpVersion, maxForwards } = head
  const fields: string[] = []
  let via = ''
  let takesTrailers = false
  const claims: ForwardedClaims = { for: '', forwarded: '', host: '', proto: '' }
  for (let i = 0; i < names.length; i += 1) {
    const name = names[i] ?? ''
    const value = rawHeaders[2 * i + 1] ?? ''
    if (name === 'te') takesTrailers ||= /(^|,)\s*trailers\s*(,|$)/i.test(value)
    if (hopByHop.has(name) || name === 'content-length' || name === 'expect') continue
    if (connection.length > 0 && connection.includes(name) && !framing.has(name)) continue
    if (name === 'max-forwards' && maxForwards !== undefined) fields.push('Max-Forwards', String(maxForwards - 1))
    else if (name === 'via') via += `${value}, `
    else if (!isForwarding(name) || (sender.isTrusted && !takeClaim(claims, name, value)))
      fields.push(rawHeaders[2 * i] ?? '', value)
  }
  fields.push(...forwardingFieldsOf(sender, host, claims))
  fields.push('Via', `${via}${httpVersion} onramp`)
  if (takesTrailers) fields.push('TE', 'trailers')
  return fields
}

/**
 * Reads a forwarding field of a trusted peer into `claims`. Returns whether it did; other fields are passed on
 * unchanged.
 */
function takeClaim(claims: ForwardedClaims, name: string, value: string): boolean {
  if (name === 'x-forwarded-for') claims.for += `${value}, `
  else if (name === 'forwarded') claims.forwarded += `${value}, `
  else if (name === 'x-forwarded-host') claims.host = value
  else if (name === 'x-forwarded-proto') claims.proto = value
  else return name === 'proxy' || name.includes('_')
  return true
}

function forwardingFieldsOf(sender: Sender, host: string | undefined, claims: ForwardedClaims): readonly string[] {
  if (sender.isTrusted) return forwardingFields(sender, host, claims)
  if (sender.forwarding === undefined || sender.forwarding.host !== host)
    sender.forwarding = { host, fields: forwardingFields(sender, host, claims) }
  return sender.forwarding.fields
}

/** The forwarding fields for a sender, after the claims of a trusted peer. */
function forwardingFields(
  { address, isEncrypted }: Sender,
  host: string | undefined,
  claims: ForwardedClaims,
): string[] {
  const proto = isEncrypted ? 'https' : 'http'
  return [
    ...(address === undefined && claims.for === '' ? [] : ['X-Forwarded-For', claims.for + (address ?? 'unknown')]),
    ...['X-Forwarded-Proto', claims.proto || proto],
    ...(host === undefined ? [] : ['X-Forwarded-Host', claims.host || host]),
    ...['Forwarded', claims.forwarded + forwardedElement(address, host, proto)],
  ]
}

/** RFC 7239, 4: an IPv6 address, and a host with a port, are quoted. */
function forwardedElement(address: string | undefined, host: string | undefined, proto: string): string {
  const node = address === undefined ? 'unknown' : address.includes(':') ? `"[${address}]"` : address
  return `for=${node}${host === undefined ? '' : `;host="${host}"`};proto=${proto}`
}

/** Whether `head` has passed through onramp so often that it must be in a loop. */
export function isLooping({ rawHeaders, names }: RequestHead): boolean {
  let hops = 0
  for (let i = 0; i < names.length; i += 1) {
    if (names[i] === 'via') hops += (rawHeaders[2 * i + 1] ?? '').split(' onramp').length - 1
  }
  return hops >= maxHops
}

/** The head of a response of the upstream, unmodified. */
export interface UpstreamHead {
  status: number
  rawHeaders: readonly string[]
}

/**
 * The fields of a response for the client, names and values in turn. Returns nothing if the framing of the
 * message cannot be trusted: a transfer coding other than chunked is still applied.
 *
 * `canChunk`: whether the response to the client is chunked, so that trailers can follow a Trailer field.
 */
export function downstreamFields({ status, rawHeaders }: UpstreamHead, canChunk: boolean): string[] | undefined {
  const fields: string[] = []
  const announced: string[] = []
  let connection: string[] = []
  let isChunked = false
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const spelled = rawHeaders[i] ?? ''
    const name = spelled.toLowerCase()
    const value = rawHeaders[i + 1] ?? ''
    if (!hopByHop.has(name)) {
      // RFC 9110, 8.6: a 1xx or a 204 has no Content-Length, whatever the upstream sends.
      if (name !== 'content-length' || (status !== 204 && status >= 200)) fields.push(spelled, value)
    } else if (name === 'connection') {
      if (value !== 'keep-alive' && value !== 'close')
        connection = [...connection, ...value.toLowerCase().split(/[ \t]*,[ \t]*/)]
    } else if (name === 'trailer') announced.push(spelled, value)
    else if (name === 'transfer-encoding') {
      if (isChunked || value.toLowerCase() !== 'chunked') return undefined
      isChunked = true
    }
  }
  if (isChunked && canChunk) fields.push(...announced)
  const kept = connection.length === 0 ? fields : without(fields, connection)
  kept.push('Via', pseudonym)
  return kept
}

/** `fields` without those that Connection names; the framing field stays. */
function without(fields: readonly string[], connection: readonly string[]): string[] {
  const isNamed = (name: string) => connection.includes(name) && name !== 'content-length'
  return fields.filter((_text, i) => !isNamed((fields[i - (i % 2)] ?? '').toLowerCase()))
}

/** The allowed fields of a trailer section: none that frames, routes or authenticates a message (RFC 9110, 6.5.1). */
export function trailerFields(rawTrailers: readonly string[]): [string, string][] {
  const pairs: [string, string][] = []
  for (let i = 0; i < rawTrailers.length; i += 2) {
    const spelled = rawTrailers[i] ?? ''
    const name = spelled.toLowerCase()
    if (hopByHop.has(name) || framing.has(name) || notInTrailers.has(name) || isForwarding(name)) continue
    pairs.push([spelled, rawTrailers[i + 1] ?? ''])
  }
  return pairs
}

/** Whether a trailer section contains framing fields: then the boundary to the next message is uncertain. */
export function isFramedByTrailers(rawTrailers: readonly string[]): boolean {
  return rawTrailers.some((name, i) => i % 2 === 0 && /^(content-length|transfer-encoding)$/i.test(name))
}

/**
 * Whether a head with `fields` may be written before its content. Node writes a head alone as UTF-8, but a head
 * together with content, or with the end, byte for byte.
 */
export function isAscii(fields: readonly string[]): boolean {
  return fields.every((text) => !/[\x80-\xff]/.test(text))
}
