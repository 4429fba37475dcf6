// Candidates: entries that may answer a read, how they are judged, and which one replaces another.
import type { Clock } from '../clock.ts'
import type { Ledger, Verdict } from '../coherence/ledger.ts'
import type { Answer, FallbackReason, Read } from './answer.ts'
import type { Entry } from './entry.ts'
import { freshFor, type Use, useOf } from './lifetime.ts'

export interface Candidate {
  readonly entry: Entry
  /** What the entry may be used for, as judged when it was found. */
  readonly use: Use
  /** The tier that had it. */
  readonly from: string
}

/**
 * The one rule for replacing an entry: `found` replaces `held` only if it was surely read later. An older entry never
 * does, however long it may still live: a change between the two reads may not have reached the ledger yet.
 */
export function isSurelyLater(found: Entry, held: Entry | undefined): boolean {
  return held === undefined || found.readAt >= held.readBy
}

/** Whether both come from the same fill: a farther tier returns the entries that this process has written there. */
export function isSameFill(entry: Entry, other: Entry): boolean {
  return entry.jitter === other.jitter
}

/** Judges entries by the current lifetime of their route, the ledger's verdict and the time, and turns them into answers. */
export class Judge {
  readonly #ledger: Ledger
  readonly #clock: Clock

  constructor(ledger: Ledger, clock: Clock) {
    this.#ledger = ledger
    this.#clock = clock
  }

  /** What an entry in this process's memory may be used for. */
  useOf(entry: Entry, read: Read, now = this.#clock.now()): Use {
    return useFor(read, entry, this.#ledger.verdict(read.key, entry, now), now)
  }

  /** An entry of this process, as a candidate. */
  own(entry: Entry, read: Read, from: string = 'memory'): Candidate {
    return { entry, use: this.useOf(entry, read), from }
  }

  /**
   * An entry that another process may have written, as a candidate. If it is not invalid now, it reflects every
   * invalidation applied so far, and gets this process's stamp. An invalid one keeps its own stamp, which is older than
   * them.
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
    // An entry made stale by a soft invalidation has no freshness left, whatever its age.
    return { entry, source, state, ageMs, ttlMs: state === 'stale' ? Math.min(ttlMs, -1) : ttlMs }
  }

  /** The candidate as a fallback, for a reader whose fill failed or took too long. */
  inPlace({ entry, use, from }: Candidate, read: Read, reason: FallbackReason): Answer {
    const state = use === 'fresh' ? 'fresh' : 'stale'
    const answer = this.answer(entry, read, from, state)
    return {
      ...answer,
      forwarded: state === 'fresh' ? 'request' : 'stale',
      fallbackReason: this.#reasonFor(entry, read, reason),
    }
  }

  /** The candidate as a fallback while its key is backing off. The origin is not asked, so nothing is forwarded. */
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
