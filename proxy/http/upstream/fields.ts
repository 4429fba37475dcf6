// Which fields go on, either way; who a request came from: pure.
import type { RequestHead } from '../head.ts'

/** Whom a request came from, as far as it can be believed. */
export interface Sender {
  /** The address of the peer; none on a Unix socket. */
  address: string | undefined
  isEncrypted: boolean
  /** Whether the configuration trusts this peer to say whom it speaks for. */
  isTrusted: boolean
  /** The fields that say who it is, for one Host: the same for nearly every request on its connection. */
  forwarding?: { host: string | undefined; fields: readonly string[] }
}

/** What a trusted peer says of whom it speaks for; lists end with a comma, what it does not say is empty. */
interface ForwardedClaims {
  for: string
  forwarded: string
  host: string
  proto: string
}

/** RFC 9110, 7.6.1. Trailer is not among them, but announces what is carried only where both sides are chunked. */
const hopByHop = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])
/** Never dropped because Connection names them: without them a message is another message. */
const framing = new Set(['content-length', 'host'])
/** What may not come in a trailer section (RFC 9110, 6.5.1), beside what frames a message. */
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
/** Says what a client should not be able to say, in all the spellings that readers of variables take for one. */
const forwarding = /^(x[-_]forwarded([-_].*)?|forwarded|x[-_]real[-_]ip|proxy)$/
const pseudonym = '1.1 onramp'
/** How many onramps a request may pass: more is a loop, of an upstream that leads back here. */
const maxHops = 8

/** Asked of every field of every request, so most are told by their first letter. */
function isForwarding(name: string): boolean {
  const first = name.charCodeAt(0)
  return (first === 0x78 || first === 0x66 || first === 0x70) && forwarding.test(name)
}

/**
 * The fields of `head` as the upstream gets them, names and values in turn, without those that frame the message.
 *
 * Hop-by-hop fields and those that Connection names are taken out. `Proxy` is too: programs that make variables of fields
 * would take it for their own proxy (CVE-2016-5387). What says whom the request came from is replaced by what is known here;
 * after a trusted peer, added to what it said (RFC 7239). `sender.forwarding` remembers that for the next request.
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

/** Takes a field of a trusted peer into `claims`. Says whether it is dealt with: the others go on as they came. */
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

/** Who a request came from, in all the fields that say so; after what a trusted peer has said itself. */
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

/** Whether `head` has come through here too often to be anything but going in circles. */
export function isLooping({ rawHeaders, names }: RequestHead): boolean {
  let hops = 0
  for (let i = 0; i < names.length; i += 1) {
    if (names[i] === 'via') hops += (rawHeaders[2 * i + 1] ?? '').split(' onramp').length - 1
  }
  return hops >= maxHops
}

/** The head of a response of the upstream, as it came. */
export interface UpstreamHead {
  status: number
  rawHeaders: readonly string[]
}

/**
 * The fields of a response as the client gets them, names and values in turn; nothing when the message cannot be trusted to be
 * what it says (a transfer coding other than chunked has been taken off by nobody).
 *
 * `canChunk`: whether the response to the client is chunked, so that Trailer announces something that comes.
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
      // RFC 9110, 8.6: neither has one, whatever the upstream says.
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

/** `fields` but those that Connection names; never the one that frames the message. */
function without(fields: readonly string[], connection: readonly string[]): string[] {
  const isNamed = (name: string) => connection.includes(name) && name !== 'content-length'
  return fields.filter((_text, i) => !isNamed((fields[i - (i % 2)] ?? '').toLowerCase()))
}

/** What may come in a trailer section: nothing that frames, routes or authenticates a message (RFC 9110, 6.5.1). */
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

/** Whether a trailer section holds what frames a message: where this one ended, and the next begins, is then not sure. */
export function isFramedByTrailers(rawTrailers: readonly string[]): boolean {
  return rawTrailers.some((name, i) => i % 2 === 0 && /^(content-length|transfer-encoding)$/i.test(name))
}

/**
 * Whether a head with `fields` may be written before its content is there: Node writes a head without content as UTF-8, and one in front
 * of content, or of the end, as the bytes there are.
 */
export function isAscii(fields: readonly string[]): boolean {
  return fields.every((text) => !/[\x80-\xff]/.test(text))
}
