// A cache entry, its validator and its bytes.
import { hash } from 'node:crypto'
import type { Stamp } from '../coherence/ledger.ts'

export type Encoding = 'br' | 'gzip'
export type Variants = Readonly<Partial<Record<Encoding, Buffer | null>>>

/**
 * A cache entry: the bytes PostgreSQL wrote, the tags by which invalidations find it, and the stamp of its read.
 *
 * It holds no lifetime: its age is judged by the current settings of its route.
 */
export interface Entry {
  readonly body: Buffer
  /** Rows in the answer. Zero makes it a negative entry, with a lifetime of its own. */
  readonly rows: number
  readonly tags: readonly string[]
  readonly stamp: Stamp
  /**
   * Lower bound of the moment it was read, on this host's monotonic clock, in milliseconds. For an entry of this
   * process it is the moment its SQL was sent. Negative if that was before the process began.
   */
  readonly readAt: number
  /** Upper bound of the same moment. For an entry of this process it is the moment the answer arrived. */
  readonly readBy: number
  /** How long the fill took, in milliseconds. An answer that is slow to make is refreshed earlier. */
  readonly fillMs: number
  /** 0 to 1, drawn once for each fill: the share of the jitter that is taken off its freshness. */
  readonly jitter: number
  /** Strong validator of the uncompressed body, without the quotes. */
  readonly etag: string
  /**
   * Compressed bodies, built after a client that accepts one has asked; null where compression does not help. Only set
   * in memory.
   */
  readonly variants?: Variants
}

/** A strong validator for `body`: equal bytes have equal validators, in every process. */
export function etagOf(body: Buffer): string {
  return hash('sha256', body, 'base64url').slice(0, 22)
}

/** Copies `bytes` into memory of their own: a slice of a pooled or received buffer would keep the whole buffer alive. */
export function ownBytes(bytes: Uint8Array | string): Buffer {
  const length = typeof bytes === 'string' ? Buffer.byteLength(bytes) : bytes.length
  const own = Buffer.allocUnsafeSlow(length)
  if (typeof bytes === 'string') own.write(bytes)
  else own.set(bytes)
  return own
}
