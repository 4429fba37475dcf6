// What is counted of each route, and of all.
import type { AuditOutcome } from '../observation.ts'
import type { Histogram } from './histogram.ts'

/** By what came of them; `worstStaleSeconds`: the age of the oldest entry that was found out of date. */
export type AuditCounts = Record<AuditOutcome, number> & { worstStaleSeconds: number }

/** The counts of one route since the start, or of all. */
export interface RouteCounts {
  requests: number
  /** How many of them each source answered, by its name. */
  bySource: Map<string, number>
  stale: number
  errors: number
  collapsed: number
  shed: number
  queries: number
  failedQueries: number
  /** Where a route has audits. */
  audit?: AuditCounts
  /** The ages of what the cache answered, added up. */
  ageSecondsSum: number
}

/** Everything counted since the start. The objects are those being counted in: copy what is to stay. */
export interface Counts {
  total: RouteCounts
  routes: ReadonlyMap<string, RouteCounts>
  /** How long responses took, by route and source. */
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
