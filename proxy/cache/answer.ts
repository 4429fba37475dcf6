// The types of a cache read and of its answer.
import type { Position } from '../coherence/ledger.ts'
import { Problem } from '../errors.ts'
import type { Entry } from './entry.ts'
import type { Key } from './key.ts'
import type { Lifetime } from './lifetime.ts'

/** The origin's answer: the JSON it wrote, and the number of rows in it. */
export interface Loaded {
  json: string
  rows: number
}

/** One read: the key and lifetime of its entry, and the functions that fill it. */
export interface Read {
  key: Key
  route: string
  /** The tags by which invalidations and purges find the entry. Called by flights only, never for a hit in memory. */
  tags(): readonly string[]
  lifetime: Lifetime
  /**
   * Maximum age of an entry for this reader, in milliseconds. For an older one the origin is asked (RFC 9111, 5.2.1.4:
   * no-cache).
   */
  maxAgeMs?: number | undefined
  /** A position of the invalidation log that the reader has seen elsewhere. The answer is never older than that. */
  atLeast?: Position | undefined
  /** On the clock: no entry read before this moment is served, not even as a fallback. */
  readSince?: number
  /** Throws at once what `load` would throw, if the origin has no room for the query. */
  admit?(): void
  /** Queries the origin, at most once a flight. Calls `sent` in the tick in which it sends the statement. */
  load(sent: () => void): Promise<Loaded>
}

export interface Answer {
  entry: Entry
  /** The tier that had the entry, or the origin. */
  source: string
  state: 'fresh' | 'stale' | 'miss'
  /** Milliseconds of freshness left; negative when stale. */
  ttlMs: number
  ageMs: number
  /** Why this answer waited for the origin (RFC 9211 `fwd`): no usable entry, only a stale one, or one too old for this reader. */
  forwarded?: ForwardReason
  /** The reader waited for another reader's fill. */
  collapsed?: boolean
  /** The origin's answer was kept in memory. */
  stored?: boolean
  /** Why an older entry was served in place of a fresh answer. */
  fallbackReason?: FallbackReason
}

export type ForwardReason = 'uri-miss' | 'stale' | 'request'

/**
 * Why an older entry was served.
 *
 * - `soft-timeout`: the origin has not answered within the soft timeout
 * - `stale-only`: the origin has failed, or the key is backing off after a failure
 * - `shed`: the origin had no room
 * - `after-invalidation`: any of these, and the entry is known to have changed since it was read; its route allows that
 */
export type FallbackReason = 'soft-timeout' | 'stale-only' | 'shed' | 'after-invalidation'

/** The fallback reason for a fill that ended with `error`. */
export function fallbackReasonFor(error: unknown): FallbackReason {
  return error instanceof Problem && error.code === 'shed' ? 'shed' : 'stale-only'
}
