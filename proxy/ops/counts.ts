// Shape of the counts kept for each route and in total.
import type { AuditOutcome } from '../observation.ts'
import type { Histogram } from './histogram.ts'

/** Audits by outcome; `worstStaleSeconds`: the age of the oldest entry that an audit found outdated. */
export type AuditCounts = Record<AuditOutcome, number> & { worstStaleSeconds: number }

/** Counts since the start, of one route or in total. */
export interface RouteCounts {
  requests: number
  /** Requests answered by each source, by its name. */
  bySource: Map<string, number>
  stale: number
  errors: number
  collapsed: number
  shed: number
  queries: number
  failedQueries: number
  /** Present once the route has had an audit. */
  audit?: AuditCounts
  /** Sum of the ages of the answers from the cache, in seconds. */
  ageSecondsSum: number
}

/** Everything counted since the start. The objects are live: copy values that must not change. */
export interface Counts {
  total: RouteCounts
  routes: ReadonlyMap<string, RouteCounts>
  /** Response times, by route and source. */
  times: ReadonlyMap<string, ReadonlyMap<string, Histogram>>
  invalidationLag: Histogram
  invalidations: number
  evictions: number
}

export function noCounts(): RouteCounts {
  return {
    requests: 0,
    bySource: new Map(),
    stale: 0,
    errors: 0,
    collapsed: 0,
    shed: 0,
    queries: 0,
    failedQueries: 0,
    ageSecondsSum: 0,
  }
}
