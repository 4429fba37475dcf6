// An entry as it is served to one reader.
import type { Clock } from '../clock.ts'
import type { Ledger, Position } from '../coherence/ledger.ts'
import { Problem } from '../errors.ts'
import type { Entry } from './entry.ts'
import type { Key } from './key.ts'
import { freshFor, type Lifetime, type Use, useOf } from './lifetime.ts'

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
  /** The name of the tier it was found in, or `origin`. */
  source: string
  state: 'fresh' | 'stale' | 'miss'
  /** Milliseconds of freshness left; negative when stale. */
  ttlMs: number
  ageMs: number
  /**
   * Why the origin was asked, where this answer waited for that: nothing usable, only an entry too old, or one too old for
   * this reader (RFC 9211 `fwd`).
   */
  forwarded?: 'uri-miss' | 'stale' | 'request'
  /** Another reader's fill was awaited. */
  collapsed?: boolean
  /** What the origin said is kept in memory. */
  stored?: boolean
  /** Why an entry that should have been replaced is served all the same. */
  fallbackReason?: FallbackReason
}

/**
 * The origin has not answered within the soft timeout; it has failed, or is left alone; it had no room. Or, whichever of these: what is
 * served is known to have changed since, and its route allows that.
 */
export type FallbackReason = 'soft-timeout' | 'stale-only' | 'shed' | 'after-invalidation'

/** What became of the origin, as the answer says that is served in place of its own. */
export function fallbackReasonFor(error: unknown): FallbackReason {
  return error instanceof Problem && error.code === 'shed' ? 'shed' : 'stale-only'
}

/** Makes answers out of entries: by their route's lifetime, the ledger's verdict, and the time of the moment. */
export class Answers {
  readonly #ledger: Ledger
  readonly #clock: Clock

  constructor(ledger: Ledger, clock: Clock) {
    this.#ledger = ledger
    this.#clock = clock
  }

  /** What an entry of this process may be used for now. */
  useOf(entry: Entry, { key, lifetime, readSince }: Read, now = this.#clock.now()): Use {
    if (readSince !== undefined && entry.readAt < readSince) return 'no'
    return useOf(entry, lifetime, this.#ledger.verdict(key, entry, now), now)
  }

  /** What an entry may be used for that another process may have written. */
  useOfShared(entry: Entry, { key, lifetime, readSince }: Read): Use {
    if (readSince !== undefined && entry.readAt < readSince) return 'no'
    const now = this.#clock.now()
    return useOf(entry, lifetime, this.#ledger.verdictShared(key, entry, now), now)
  }

  of(
    entry: Entry,
    { lifetime }: Read,
    source: Answer['source'],
    state: Answer['state'],
    now = this.#clock.now(),
  ): Answer {
    const ageMs = Math.max(0, now - entry.readAt)
    const ttlMs = freshFor(entry, lifetime) - ageMs
    // Stale by a soft invalidation: no freshness is left, whatever its age.
    return { entry, source, state, ageMs, ttlMs: state === 'stale' ? Math.min(ttlMs, -1) : ttlMs }
  }

  /** `entry`, to a reader for whom the origin was asked in vain. */
  inPlace(entry: Entry, read: Read, source: Answer['source'], fallbackReason: FallbackReason): Answer {
    const isFresh = this.useOf(entry, read) === 'fresh'
    const answer = this.of(entry, read, source, isFresh ? 'fresh' : 'stale')
    return {
      ...answer,
      forwarded: isFresh ? 'request' : 'stale',
      fallbackReason: this.#whyOf(entry, read, fallbackReason),
    }
  }

  /** `entry`, to a reader for whom the origin is not asked, since it has just failed: nothing is forwarded. */
  duringBackOff(entry: Entry, read: Read): Answer {
    const state = this.useOf(entry, read) === 'fresh' ? 'fresh' : 'stale'
    return { ...this.of(entry, read, 'memory', state), fallbackReason: this.#whyOf(entry, read, 'stale-only') }
  }

  #whyOf(entry: Entry, { key }: Read, fallbackReason: FallbackReason): FallbackReason {
    const isOutdated = this.#ledger.verdict(key, entry, this.#clock.now()) === 'invalid'
    return isOutdated ? 'after-invalidation' : fallbackReason
  }

  isYoungEnough(entry: Entry, { maxAgeMs }: Read): boolean {
    return maxAgeMs === undefined || this.#clock.now() - entry.readAt < maxAgeMs
  }
}
