// The reply an answer makes: pure.
import Negotiator from 'negotiator'
import type { Answer } from '../cache/answer.ts'
import type { Encoding, Entry } from '../cache/entry.ts'
import { isCompressible } from '../cache/variants.ts'
import { Problem } from '../errors.ts'
import { type ProblemReply, problemReply } from '../problem-reply.ts'

/** The reply of a route. Made by pure functions: a faster way to the socket can use the same. */
export interface Reply extends ProblemReply {
  /** What the client would rather have had, and may have once it is built. */
  wanted?: Encoding | undefined
}

/** What of a request decides how a stored answer is sent. */
export interface Conditions {
  method: string
  ifNoneMatch: string | undefined
  acceptEncoding: string | undefined
}

/** The reply that `answer` makes to a GET, HEAD or POST: 200, 304, or 404 where the route's one row does not exist. */
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
    const missing = problemReply(new Problem('no-row', 'The database holds no row for these parameters.'))
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
  // Said of every body that has or may have variants, also while there are none: a shared cache must not give the
  // plain one to everybody for good, nor the compressed one to a client that cannot read it.
  if (isCompressible(entry)) headers.Vary = 'Accept-Encoding'
  const matched = conditions.method === 'POST' ? undefined : matchingEtag(entry, conditions, chosen)
  if (matched !== undefined) return { status: 304, headers: { ...headers, ETag: matched }, body: nothing }
  const body = (encoding && entry.variants?.[encoding]) ?? entry.body
  headers['Content-Type'] = 'application/json'
  if (encoding !== undefined) headers['Content-Encoding'] = encoding
  headers['Content-Length'] = String(body.length)
  return { status: 200, headers, body, wanted }
}

/** The best coding this client can read of those not known to be of no use, unless there is a variant in that. */
function missing({ variants = {} }: Entry, { acceptEncoding }: Conditions): Encoding | undefined {
  const best = chooseEncoding(acceptEncoding, { br: true, gzip: true, ...variants })
  return best !== undefined && variants[best] === undefined ? best : undefined
}

const nothing = Buffer.alloc(0)

/** The Cache-Status field (RFC 9211) of an answer. `ttl` in whole seconds, rounded down: negative as soon as it is stale. */
export function cacheStatus({ source, ttlMs, forwarded, collapsed, stored, fallbackReason }: Answer): string {
  const ttl = `ttl=${Math.floor(ttlMs / 1000)}`
  const detail = fallbackReason ?? source
  if (forwarded === undefined) return `onramp; hit; ${ttl}; detail=${detail}`
  // The origin was asked and has not answered: what was there is served, older than its route would like.
  if (source !== 'origin') return `onramp; fwd=${forwarded}${collapsed ? '; collapsed' : ''}; ${ttl}; detail=${detail}`
  return `onramp; fwd=${forwarded}${collapsed ? '; collapsed' : ''}${stored ? '; stored' : ''}; detail=${source}`
}

const suffix: Record<Encoding, string> = { br: '-br', gzip: '-gzip' }

/** A strong validator names bytes, so each variant has its own (RFC 9110, 8.8.3). */
function etag(entry: Entry, encoding: Encoding | undefined): string {
  return `"${entry.etag}${encoding === undefined ? '' : suffix[encoding]}"`
}

/**
 * The validator in If-None-Match that names these bytes, by weak comparison (RFC 9110, 13.1.2), or nothing.
 *
 * A client may hold another variant than the one it would get now, because that was not built yet or has been evicted: what
 * it holds is just as current, so the validator of any variant that it can read matches, and is the one confirmed.
 */
function matchingEtag(entry: Entry, { ifNoneMatch, acceptEncoding }: Conditions, chosen: string): string | undefined {
  if (ifNoneMatch === undefined) return undefined
  if (ifNoneMatch.trim() === '*') return chosen
  const listed = new Set(ifNoneMatch.match(/"[\x21\x23-\x7e\x80-\xff]*"/g))
  // Without the field, any coding is acceptable (12.5.3).
  const isReadable = (name: Encoding) =>
    acceptEncoding === undefined || chooseEncoding(acceptEncoding, { [name]: true })
  const readable = preference.filter(isReadable)
  return [chosen, etag(entry, undefined), ...readable.map((name) => etag(entry, name))].find((own) => listed.has(own))
}

/** The variant to send, by Accept-Encoding with its q-values; `undefined` is the plain body (RFC 9110, 12.5.3). */
export function chooseEncoding(
  acceptEncoding: string | undefined,
  available: Partial<Record<Encoding, unknown>>,
): Encoding | undefined {
  if (acceptEncoding === undefined || acceptEncoding === '') return undefined
  // Nearly every browser's: no weights, so what is named is wanted.
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
// The published types lack the option that settles equal q-values.
type Encodings = (this: void, available: string[], options: { preferred: string[] }) => string[]
