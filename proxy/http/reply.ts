// The HTTP response to an answer from the cache: status, validators, encodings, Cache-Status: pure.
import Negotiator from 'negotiator'
import type { Answer } from '../cache/answer.ts'
import type { Encoding, Entry } from '../cache/entry.ts'
import { isCompressible } from '../cache/variants.ts'
import { Problem } from '../errors.ts'
import { type ProblemReply, problemReply } from '../problem-reply.ts'

/** The reply of a route. It is made by pure functions, so that a faster path to the socket can use them too. */
export interface Reply extends ProblemReply {
  /** The preferred encoding of the client, which is available once it is built. */
  wanted?: Encoding | undefined
}

/** The parts of a request that determine how a stored answer is sent. */
export interface Conditions {
  method: string
  ifNoneMatch: string | undefined
  acceptEncoding: string | undefined
}

/** The reply to a GET, HEAD or POST: 200, 304, or 404 if the route's one row does not exist. */
export function replyWith(
  answer: Answer,
  returns: 'rows' | 'row',
  cacheControl: string,
  conditions: Conditions,
): Reply {
  const { entry } = answer
  const status = cacheStatus(answer)
  const age = String(Math.floor(answer.ageMs / 1000))
  if (returns === 'row' && entry.rows === 0) {
    const missing = problemReply(new Problem('no-row', 'No row matches these parameters.'))
    return { ...missing, headers: { ...missing.headers, Age: age, 'Cache-Status': status } }
  }
  const encoding = entry.variants && chooseEncoding(conditions.acceptEncoding, entry.variants)
  const wanted = isCompressible(entry) && encoding !== preference[0] ? missing(entry, conditions) : undefined
  const chosen = etag(entry, encoding)
  const headers: Record<string, string> = {
    ETag: chosen,
    'Cache-Control': cacheControl,
    Age: age,
    'Cache-Status': status,
  }
  // Sent with every body that has or may get variants, even before one is built. Otherwise a shared cache could give the
  // plain body to every client, or the compressed body to a client that cannot read it.
  if (isCompressible(entry)) headers.Vary = 'Accept-Encoding'
  const matched = conditions.method === 'POST' ? undefined : matchingEtag(entry, conditions, chosen)
  if (matched !== undefined) return { status: 304, headers: { ...headers, ETag: matched }, body: nothing }
  const body = (encoding && entry.variants?.[encoding]) ?? entry.body
  headers['Content-Type'] = 'application/json'
  if (encoding !== undefined) headers['Content-Encoding'] = encoding
  headers['Content-Length'] = String(body.length)
  return { status: 200, headers, body, wanted }
}

/** The best coding for this client that has not proved useless, unless a variant in it exists. */
function missing({ variants = {} }: Entry, { acceptEncoding }: Conditions): Encoding | undefined {
  const best = chooseEncoding(acceptEncoding, { br: true, gzip: true, ...variants })
  return best !== undefined && variants[best] === undefined ? best : undefined
}

const nothing = Buffer.alloc(0)

/**
 * The Cache-Status field (RFC 9211) of an answer. `ttl` is in whole seconds, rounded down, so that it is negative as
 * soon as the entry is stale.
 */
export function cacheStatus({ source, ttlMs, forwarded, collapsed, stored, fallbackReason }: Answer): string {
  const ttl = `ttl=${Math.floor(ttlMs / 1000)}`
  const detail = fallbackReason ?? source
  if (forwarded === undefined) return `onramp; hit; ${ttl}; detail=${detail}`
  // The origin was asked and did not answer: an older entry is served as a fallback.
  if (source !== 'origin') return `onramp; fwd=${forwarded}${collapsed ? '; collapsed' : ''}; ${ttl}; detail=${detail}`
  return `onramp; fwd=${forwarded}${collapsed ? '; collapsed' : ''}${stored ? '; stored' : ''}; detail=${source}`
}

const suffix: Record<Encoding, string> = { br: '-br', gzip: '-gzip' }

/** A strong validator identifies bytes, so each variant has its own (RFC 9110, 8.8.3). */
function etag(entry: Entry, encoding: Encoding | undefined): string {
  return `"${entry.etag}${encoding === undefined ? '' : suffix[encoding]}"`
}

/**
 * The validator in If-None-Match that names these bytes, by weak comparison (RFC 9110, 13.1.2), or nothing.
 *
 * A client may have another variant than the one it would get now, which is not built yet or was evicted. Its variant
 * is equally current. So the validator of any variant that the client can read matches, and is the one confirmed.
 */
function matchingEtag(entry: Entry, { ifNoneMatch, acceptEncoding }: Conditions, chosen: string): string | undefined {
  if (ifNoneMatch === undefined) return undefined
  if (ifNoneMatch.trim() === '*') return chosen
  const listed = new Set(ifNoneMatch.match(/"[\x21\x23-\x7e\x80-\xff]*"/g))
  // Without the field any coding is acceptable (12.5.3).
  const isReadable = (name: Encoding) =>
    acceptEncoding === undefined || chooseEncoding(acceptEncoding, { [name]: true })
  const readable = preference.filter(isReadable)
  return [chosen, etag(entry, undefined), ...readable.map((name) => etag(entry, name))].find((own) => listed.has(own))
}

/** The variant to send, by Accept-Encoding with its q-values; `undefined` means the plain body (RFC 9110, 12.5.3). */
export function chooseEncoding(
  acceptEncoding: string | undefined,
  available: Partial<Record<Encoding, unknown>>,
): Encoding | undefined {
  if (acceptEncoding === undefined || acceptEncoding === '') return undefined
  // The form nearly every browser sends: without weights, so every named coding is acceptable.
  if (/^[\w\-, \t]*$/.test(acceptEncoding))
    return preference.find((name) => available[name] != null && named[name].test(acceptEncoding))
  const offered = preference.filter((name) => available[name] != null)
  const negotiator = new Negotiator({ headers: { 'accept-encoding': acceptEncoding } })
  const best = (negotiator.encodings.bind(negotiator) as Encodings)([...offered, 'identity'], {
    preferred: preference,
  })[0]
  return offered.find((name) => name === best)
}

const preference: Encoding[] = ['br', 'gzip']
const named: Record<Encoding, RegExp> = {
  br: /(?:^|,)[ \t]*br[ \t]*(?:,|$)/i,
  gzip: /(?:^|,)[ \t]*gzip[ \t]*(?:,|$)/i,
}
// The published types lack the option that decides between equal q-values.
type Encodings = (this: void, available: string[], options: { preferred: string[] }) => string[]
