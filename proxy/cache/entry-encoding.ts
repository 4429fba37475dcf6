// The encoding of an entry as one binary value in Redis.
import { hash } from 'node:crypto'
import { type Entry, ownBytes } from './entry.ts'
import type { Key } from './key.ts'
import { type Ahead, drift } from './redis-time.ts'

/*
 * The binary value of an entry in Redis:
 *
 *   4 bytes   "onr" and the format version
 *   16 bytes  SHA-256 of everything after it, truncated
 *   4 bytes   length of the header, big-endian
 *   n bytes   header, JSON
 *   the rest  body
 *
 * The header repeats the key, so a value copied or renamed to another key is a miss. The key contains the version of
 * the route. Whoever changes the header or its meaning must change the format version: an unknown version is a miss.
 */
const format = Buffer.from('onr\x03')
const digestBytes = 16
const headerAt = format.length + digestBytes + 4

interface Header {
  key: string
  rows: number
  tags: readonly string[]
  /** The prefix of the invalidation log that the filling process had applied. */
  pos: number
  id: string
  /**
   * Bounds of the moment it was read, on the clock of Redis, in milliseconds. How late Redis stores or returns it does
   * not matter.
   */
  readAt: number
  readBy: number
  fillMs: number
  jitter: number
  etag: string
}

/** Encodes `entry` for Redis, whose clock is `ahead` of this process's. `entry.stamp` must name a prefix of the log. */
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

/** The fault of a value read from Redis. Each is a miss, and is counted under this word. */
export type Oddity = 'format' | 'length' | 'digest' | 'header' | 'key' | 'time'

/**
 * Decodes what {@link encodeEntry} wrote, or returns its fault. Never throws, whatever `value` holds.
 *
 * The clock of Redis is `ahead` of this process's, which reads `now`. The caller sets the stamp's `seq`: it belongs to
 * the process that serves the entry, not to the one that wrote it.
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
  // The read lies in the future: the clock of Redis was set back.
  if (soonest > now) return 'time'
  // `ahead` holds for now. Since the read, the clocks may have drifted apart, so both bounds are widened.
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
  let header: unknown
  try {
    header = JSON.parse(json)
  } catch {
    return undefined // the caller reports it as a fault, which is counted
  }
  return isHeader(header) ? header : undefined
}

function isHeader(header: unknown): header is Header {
  if (typeof header !== 'object' || header === null) return false
  const { key, rows, tags, pos, id, readAt, readBy, fillMs, jitter, etag }: { [name in keyof Header]?: unknown } =
    header
  return (
    [rows, pos, fillMs].every(isCount) &&
    isCount(readAt) &&
    isCount(readBy) &&
    readAt <= readBy &&
    isCount(jitter) &&
    jitter <= 1 &&
    isText(key) &&
    isText(id) &&
    Array.isArray(tags) &&
    tags.every(isText) &&
    isText(etag) &&
    /^[\w-]{22}$/.test(etag)
  )
}

const isCount = (value: unknown): value is number => typeof value === 'number' && Number.isFinite(value) && value >= 0
const isText = (value: unknown): value is string => typeof value === 'string'
