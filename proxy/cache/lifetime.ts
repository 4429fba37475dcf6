// Lifetimes: what an entry may be used for at its age: pure.
import type { Verdict } from '../coherence/ledger.ts'
import type { Entry } from './entry.ts'

/** Lifetime of a route's entries, in milliseconds; `stale` and `staleIfError` count from the end of `fresh` (RFC 5861). */
export interface Lifetime {
  fresh: number
  stale: number
  staleIfError: number
  /** `fresh` of an entry without rows, which is never served after that. */
  negative: number
  /** Whether an entry that is known to have changed may be served if the origin fails. */
  afterInvalidation?: boolean
}

/** The largest share of `fresh` that jitter takes off, so that entries filled together do not become stale together. */
const jitterShare = 0.1

/** Fresh: served. Stale: served while it is refreshed. If-error: served only if the origin fails. No: dead, never served. */
export type Use = 'fresh' | 'stale' | 'if-error' | 'no'

/** What `entry` may be used for at `now`, by the current lifetime of its route and the ledger's verdict. */
export function useOf(entry: Entry, lifetime: Lifetime, verdict: Verdict, now: number): Use {
  const ageMs = now - entry.readAt
  const { fresh, stale, staleIfError, afterInvalidation } = lifetimeOf(entry, lifetime)
  if (verdict === 'invalid' && !afterInvalidation) return 'no'
  const isForErrors =
    verdict === 'invalid' || verdict === 'missed' || (verdict === 'unverified' && ageMs >= unverifiedFor(entry))
  if (isForErrors) return ageMs < fresh + staleIfError ? 'if-error' : 'no'
  if (verdict !== 'soft' && ageMs < freshFor(entry, lifetime)) return 'fresh'
  if (ageMs < fresh + stale) return 'stale'
  return ageMs < fresh + staleIfError ? 'if-error' : 'no'
}

/** Age up to which `entry` is served while it cannot be verified, in milliseconds: 2 to 5 s. */
function unverifiedFor(entry: Entry): number {
  return 2000 + 3000 * entry.jitter
}

/** Freshness of `entry` in milliseconds, counted from its read. Its jitter is taken off. */
export function freshFor(entry: Entry, lifetime: Lifetime): number {
  return lifetimeOf(entry, lifetime).fresh * (1 - jitterShare * entry.jitter)
}

/** Milliseconds after its read in which `entry` can be of any use. */
export function keepFor(entry: Entry, lifetime: Lifetime): number {
  const { fresh, stale, staleIfError } = lifetimeOf(entry, lifetime)
  return fresh + Math.max(stale, staleIfError)
}

/**
 * XFetch (Vattani, Chierichetti and Lowenstein, 2015): whether to refresh `entry` before it becomes stale. By chance
 * (`random`, 0 to 1), and the earlier the slower its fill is. So one or two of many processes refresh it, and no reader
 * waits for it.
 */
export function isEarlyRefreshDue(entry: Entry, ttlMs: number, random: () => number): boolean {
  return ttlMs < entry.fillMs * 20 && -entry.fillMs * Math.log(random()) >= ttlMs
}

function lifetimeOf(entry: Entry, lifetime: Lifetime): Omit<Lifetime, 'negative'> {
  return entry.rows === 0 ? { fresh: lifetime.negative, stale: 0, staleIfError: 0 } : lifetime
}
