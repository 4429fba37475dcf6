// An answer as it is kept, and as one binary value.
import { hash } from 'node:crypto'
import type { Stamp } from '../coherence/ledger.ts'
import type { Key } from './key.ts'
import { type Ahead, drift } from './redis-time.ts'

export type Encoding = 'br' | 'gzip'
export type Variants = Readonly<Partial<Record<Encoding, Buffer | null>>>

/**
 * An answer as it is kept: the bytes PostgreSQL wrote, the tags of what they were made from, the stamp of when.
 *
 * It holds no lifetime: the route's settings of the moment judge its age.
 */
export interface Entry {
  readonly body: Buffer
  /** Rows in the answer. None makes it a negative entry, with a lifetime of its own. */
  readonly rows: number
  readonly tags: readonly string[]
  readonly stamp: Stamp
  /**
   * When it was read, on this host's monotonic clock, in milliseconds: not before this moment. For an entry of this process it is the moment
   * its SQL was sent. Negative if that was before the process began.
   */
  readonly readAt: number
  /** The same, not after this moment: for an entry of this process, when the answer came. */
  readonly readBy: number
  /** How long the origin took, in milliseconds: an answer that is dear to make is refreshed earlier. */
  readonly fillMs: number
  /** 0 to 1, drawn once: how much of the jittered part of its lifetime this entry does without. */
  readonly jitter: number
  /** Strong validator of the body as it is, without the quotes. */
  readonly etag: string
  /** The body compressed, once somebody who can read it has asked; null where that is of no use. Only ever set on entries in memory. */
  readonly variants?: Variants
  /** Not to be refreshed before this moment, on the clock of `readAt`: the last try failed. */
  refreshNotBefore?: number
  /** How many tries in a row have failed. */
  failures?: number
}

/** A strong validator for `body`: the same bytes have the same one, whoever read them. */
export function etagOf(body: Buffer): string {
  return hash('sha256', body, 'base64url').slice(0, 22)
}

/** A copy of `bytes` in memory of its own: a slice of a pooled or received buffer would keep the whole of it alive. */
export function ownBytes(bytes: Uint8Array | string): Buffer {
  const length = typeof bytes === 'string' ? Buffer.byteLength(bytes) : bytes.length
  const own = Buffer.allocUnsafeSlow(length)
  if (typeof bytes === 'string') own.write(bytes)
  else own.set(bytes)
  return own
}

/*
 * The one binary value of an entry in Redis:
 *
 *   4 bytes   "onr" and the format version
 *   16 bytes  SHA-256 of all that follows, cut
 *   4 bytes   length of the header, big-endian
 *   n bytes   header, JSON
 *   the rest  body
 *
 * It says its own key, so that a value copied or renamed under another key is not believed. The key holds the version of
 * the route. Whoever changes the header or its meaning changes the format version: an unknown one is a miss.
 */
const format = Buffer.from('onr\x03')
const digestBytes = 16
const headerAt = format.length + digestBytes + 4

interface Header {
  key: string
  rows: number
  tags: readonly string[]
  /** The prefix of the invalidation log its filler had applied. */
  pos: number
  id: string
  /** Between which moments it was read, on the clock of Redis, in milliseconds: how late Redis took it, and gave it back, is nothing to it. */
  readAt: number
  readBy: number
  fillMs: number
  jitter: number
  etag: string
}

/** Writes `entry` as Redis keeps it, whose clock is `ahead` of ours. `entry.stamp` must name a prefix of the log. */
export function encodeEntry(key: Key, entry: Entry, ahead: Ahead): Buffer {
  const { rows, tags, stamp, fillMs, jitter, etag, body } = entry
  const { pos, id } = stamp
  const [readAt, readBy] = [entry.readAt + ahead.least, entry.readBy + ahead.most]
  const header: Header = { key, rows, tags, pos, id, readAt, readBy, fillMs, jitter, etag }
  const headerBytes = Buffer.from(JSON.stringify(header))
  const value = Buffer.allocUnsafe(headerAt + headerBytes.length + body.length)
  format.copy(value)
  value.writeUInt32BE(headerBytes.length, headerAt - 4)
  headerBytes.copy(value, headerAt)
  body.copy(value, headerAt + headerBytes.length)
  digestOf(value).copy(value, format.length)
  return value
}

/** What is wrong with a value read from Redis; each is a miss and is counted under this word. */
export type Oddity = 'format' | 'length' | 'digest' | 'header' | 'key' | 'time'

/**
 * Reads what {@link encodeEntry} wrote, or says what is odd about it. Never throws, whatever `value` holds.
 *
 * The clock of Redis is `ahead` of this process's, which says `now`. The stamp's `seq` is left for the reader to set: it belongs to the process
 * that serves the entry, not to the one that wrote it.
 */
export function decodeEntry(key: Key, value: Buffer, ahead: Ahead, now: number): Entry | Oddity {
  if (value.length < headerAt) return 'length'
  if (!value.subarray(0, format.length).equals(format)) return 'format'
  if (!digestOf(value).equals(value.subarray(format.length, format.length + digestBytes))) return 'digest'
  const bodyAt = headerAt + value.readUInt32BE(headerAt - 4)
  if (bodyAt > value.length) return 'length'
  const header = parseHeader(value.toString('utf8', headerAt, bodyAt))
  if (header === undefined) return 'header'
  if (header.key !== key) return 'key'
  const { rows, tags, pos, id, fillMs, jitter, etag } = header
  const soonest = header.readAt - ahead.most
  // Read later than now: the clock of Redis was set back.
  if (soonest > now) return 'time'
  // What is known of both clocks is of this moment.
  const drifted = (now - soonest) * drift
  const readAt = soonest - drifted
  const readBy = Math.min(now, header.readBy - ahead.least + drifted)
  return {
    body: ownBytes(value.subarray(bodyAt)),
    rows,
    tags,
    stamp: { seq: 0, pos, id },
    readAt,
    readBy,
    fillMs,
    jitter,
    etag,
  }
}

function digestOf(value: Buffer): Buffer {
  return hash('sha256', value.subarray(format.length + digestBytes), 'buffer').subarray(0, digestBytes)
}

function parseHeader(json: string): Header | undefined {
  let header: Header
  try {
    header = JSON.parse(json)
  } catch {
    return undefined // told apart from a good header by the caller, and counted there
  }
  if (typeof header !== 'object' || header === null) return undefined
  const { key, rows, tags, pos, id, readAt, readBy, fillMs, jitter, etag } = header
  const numbers = [rows, pos, readAt, readBy, fillMs, jitter].every(
    (n) => typeof n === 'number' && Number.isFinite(n) && n >= 0,
  )
  const strings = [key, id, etag].every((s) => typeof s === 'string')
  const isTagList = Array.isArray(tags) && tags.every((tag) => typeof tag === 'string')
  return numbers && readAt <= readBy && jitter <= 1 && strings && isTagList && /^[\w-]{22}$/.test(etag)
    ? header
    : undefined
}
