// An answer as it is kept.
import { hash } from 'node:crypto'
import type { Stamp } from '../coherence/ledger.ts'

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
