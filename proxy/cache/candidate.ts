// The best answer known for a read: found in a tier, judged once, replaced by one rule.
import type { Clock } from '../clock.ts'
import type { Ledger, Verdict } from '../coherence/ledger.ts'
import type { Answer, FallbackReason, Read } from './answer.ts'
import type { Entry } from './entry.ts'
import { freshFor, type Use, useOf } from './lifetime.ts'

export interface Candidate {
  readonly entry: Entry
  /** What it may be used for, at the moment it was judged. */
  readonly use: Use
  /** The tier it was found in. */
  readonly from: string
}

/**
 * The one rule: whether `found` may take the place of `held`. It was surely read later. An older one never does, however long it may
 * still live: the ledger cannot tell the two apart by a change it has not heard of yet.
 */
export function isSurelyLater(found: Entry, held: Entry | undefined): boolean {
  return held === undefined || found.readAt >= held.readBy
}

/** Whether both are of one fill: a farther tier gives back what this process has kept there. */
export function isSameFill(entry: Entry, other: Entry): boolean {
  return entry.jitter === other.jitter
}

/** Judges entries by their route's lifetime, the ledger's verdict and the time of the moment, and makes answers of them. */
export class Judge {
  readonly #ledger: Ledger
  readonly #clock: Clock

  constructor(ledger: Ledger, clock: Clock) {
    this.#ledger = ledger
    this.#clock = clock
  }

  /** What an entry that memory holds may be used for. */
  useOf(entry: Entry, read: Read, now = this.#clock.now()): Use {
    return useFor(read, entry, this.#ledger.verdict(read.key, entry, now), now)
  }

  /** An entry of this process, as a candidate. */
  own(entry: Entry, read: Read, from: string = 'memory'): Candidate {
    return { entry, use: this.useOf(entry, read), from }
  }

  /**
   * An entry that another process may have written, as a candidate. Judged valid this very moment, it holds every invalidation applied so far,
   * and gets this process's stamp; else it stays older than them.
   */
  shared(entry: Entry, read: Read, from: string): Candidate {
    const now = this.#clock.now()
    const verdict = this.#ledger.verdictShared(read.key, entry, now)
    const use = useFor(read, entry, verdict, now)
    return { entry: verdict === 'invalid' ? entry : { ...entry, stamp: this.#ledger.stamp() }, use, from }
  }

  isYoungEnough(entry: Entry, { maxAgeMs }: Read): boolean {
    return maxAgeMs === undefined || this.#clock.now() - entry.readAt < maxAgeMs
  }

  answer(
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

  /** `candidate`, to a reader for whom the origin was asked in vain. */
  inPlace({ entry, use, from }: Candidate, read: Read, reason: FallbackReason): Answer {
    const state = use === 'fresh' ? 'fresh' : 'stale'
    const answer = this.answer(entry, read, from, state)
    return {
      ...answer,
      forwarded: state === 'fresh' ? 'request' : 'stale',
      fallbackReason: this.#reasonFor(entry, read, reason),
    }
  }

  /** `candidate`, to a reader for whom the origin is not asked, since it has just failed: nothing is forwarded. */
  duringBackOff({ entry, use, from }: Candidate, read: Read): Answer {
    const answer = this.answer(entry, read, from, use === 'fresh' ? 'fresh' : 'stale')
    return { ...answer, fallbackReason: this.#reasonFor(entry, read, 'stale-only') }
  }

  #reasonFor(entry: Entry, { key }: Read, reason: FallbackReason): FallbackReason {
    return this.#ledger.verdict(key, entry, this.#clock.now()) === 'invalid' ? 'after-invalidation' : reason
  }
}

function useFor({ lifetime, readSince }: Read, entry: Entry, verdict: Verdict, now: number): Use {
  return readSince !== undefined && entry.readAt < readSince ? 'no' : useOf(entry, lifetime, verdict, now)
}
