// A read of the cache, and the answer to it.
import type { Position } from '../coherence/ledger.ts'
import { Problem } from '../errors.ts'
import type { Entry } from './entry.ts'
import type { Key } from './key.ts'
import type { Lifetime } from './lifetime.ts'

/** What the origin answers: the JSON it wrote, and how many rows that holds. */
export interface Loaded {
  json: string
  rows: number
}

/** One read: which entry, how long it lives, and how to make it. */
export interface Read {
  key: Key
  route: string
  /** What a purge can name; asked for only when an entry is to be made. */
  tags(): readonly string[]
  lifetime: Lifetime
  /** How old an entry may be for this reader, in milliseconds, who else has the origin asked (RFC 9111, 5.2.1.4: no-cache). */
  maxAgeMs?: number | undefined
  /** What the reader has seen elsewhere: it is never answered older than this place in the invalidation log. */
  atLeast?: Position | undefined
  /** On the clock: nothing read before this moment will do, whatever happens. */
  readSince?: number
  /** Throws what `load` would at once, where there is no room for it. */
  admit?(): void
  /** Asks the origin. Called at most once a flight; it calls `sent` in the tick its statement is sent. */
  load(sent: () => void): Promise<Loaded>
}

export interface Answer {
  entry: Entry
  /** The tier it was found in, or the origin. */
  source: string
  state: 'fresh' | 'stale' | 'miss'
  /** Milliseconds of freshness left; negative when stale. */
  ttlMs: number
  ageMs: number
  /**
   * Why the origin was asked, where this answer waited for that: nothing usable, only an entry too old, or one too old for
   * this reader (RFC 9211 `fwd`).
   */
  forwarded?: ForwardReason
  /** Another reader's fill was awaited. */
  collapsed?: boolean
  /** What the origin said is kept in memory. */
  stored?: boolean
  /** Why it is served in place of a fresh answer. */
  fallbackReason?: FallbackReason
}

export type ForwardReason = 'uri-miss' | 'stale' | 'request'

/**
 * The origin has not answered within the soft timeout; it has failed, or is not asked for a while; it had no room. Or, whichever of these: what is
 * served is known to have changed since, and its route allows that.
 */
export type FallbackReason = 'soft-timeout' | 'stale-only' | 'shed' | 'after-invalidation'

/** What became of the origin, as the answer says that is served in place of its own. */
export function fallbackReasonFor(error: unknown): FallbackReason {
  return error instanceof Problem && error.code === 'shed' ? 'shed' : 'stale-only'
}
