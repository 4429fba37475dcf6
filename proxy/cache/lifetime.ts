// What an entry may be used for at its age: pure.
import type { Verdict } from '../coherence/ledger.ts'
import type { Entry } from './entry.ts'

/** How long entries of a route live, in milliseconds; `stale` and `staleIfError` count from the end of `fresh` (RFC 5861). */
export interface Lifetime {
  fresh: number
  stale: number
  staleIfError: number
  /** `fresh` of an entry without rows, which is never served past that. */
  negative: number
  /** Whether an entry may be served if the origin fails though what it was made from is known to have changed. */
  afterInvalidation?: boolean
}

/** How much of `fresh` is jittered away, so that what was filled together does not run out together. */
const jitterShare = 0.1

/** Fresh: served. Stale: served while it is refreshed. If-error: served if the origin fails. No: dead, never served. */
export type Use = 'fresh' | 'stale' | 'if-error' | 'no'

/** What `entry` may be used for at `now`, by its route's lifetime of the moment and the ledger's verdict. */
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

/** For how long `entry` is served while nobody knows whether what it was made from has changed: 2 to 5 s. */
function unverifiedFor(entry: Entry): number {
  return 2000 + 3000 * entry.jitter
}

/** For how long `entry` is fresh, counted from when it was read: its jitter is taken off. */
export function freshFor(entry: Entry, lifetime: Lifetime): number {
  return lifetimeOf(entry, lifetime).fresh * (1 - jitterShare * entry.jitter)
}

/** For how long `entry` can be of any use, counted from when it was read. */
export function keepFor(entry: Entry, lifetime: Lifetime): number {
  const { fresh, stale, staleIfError } = lifetimeOf(entry, lifetime)
  return fresh + Math.max(stale, staleIfError)
}

/**
 * XFetch (Vattani, Chierichetti and Lowenstein, 2015): whether to refresh `entry` ahead of its end. By chance (`random`, 0 to
 * 1), the earlier the dearer it is to make, so that of many processes one or two do it, and no reader ever waits for it.
 */
export function isEarlyRefreshDue(entry: Entry, ttlMs: number, random: () => number): boolean {
  return ttlMs < entry.fillMs * 20 && -entry.fillMs * Math.log(random()) >= ttlMs
}

function lifetimeOf(entry: Entry, lifetime: Lifetime): Omit<Lifetime, 'negative'> {
  return entry.rows === 0 ? { fresh: lifetime.negative, stale: 0, staleIfError: 0 } : lifetime
}
