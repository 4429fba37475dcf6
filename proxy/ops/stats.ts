// The content of /stats and /events, which the dashboard shows.
import type { Lifetime } from '../cache/lifetime.ts'
import { type AnswerSource, cacheAnswers } from '../sources.ts'
import type { Advice } from './advice.ts'
import type { AuditCounts, RouteCounts } from './counts.ts'
import type { Figures } from './figures.ts'
import type { History } from './history.ts'
import type { Metrics } from './metrics.ts'
import { type ProcessState, type StateParts, stateOf } from './process-state.ts'
import type { RecentEvent, RecentEvents, RecentInvalidation } from './recent-events.ts'
import type { RefreshStats } from './refresh-stats.ts'

/** Number of latest changes, and of latest invalidations, shown. */
const mostRecent = 20

/** Counts since the start and the latest figures, of a route or in total. */
export interface RouteStats extends Omit<RouteCounts, 'bySource'> {
  hitRatio: number | null
  /** Figures of the latest window; null for a route whose first request came after it. */
  now: Figures | null
  /** Under the name of a source: its number of responses. */
  [source: string]: number | null | Figures | AuditCounts | undefined
}

/** The content of /stats, and of each event of /events, one a second. */
export interface Stats extends ProcessState {
  version: string
  /** A purge needs the admin token. */
  needsToken: boolean
  sources: readonly AnswerSource[]
  /** Length of the window of `now`. */
  nowSeconds: number
  total: RouteStats & { now: Figures }
  routes: Record<string, RouteStats>
  invalidations: number
  evictions: number
  recentEvents: { changes: RecentEvent[]; invalidations: RecentInvalidation[] }
  /** Number of history steps since the start. */
  historySteps: number
  advice: Advice[]
}

export interface StatsParts extends StateParts {
  version: string
  needsToken: boolean
  sources: readonly AnswerSource[]
  metrics: Metrics
  history: History
  recentEvents: RecentEvents
  refreshStats: RefreshStats
}

export function statsOf(parts: StatsParts): Stats {
  const { version, needsToken, sources, metrics, history, recentEvents, refreshStats, memory } = parts
  const { total, routes, invalidations, evictions } = metrics.counts()
  const latest = history.latest()
  const ofRoutes = [...routes].map(([name, counts]) => [
    name,
    routeStats(counts, latest.routes.get(name) ?? null, sources),
  ])
  return {
    version,
    needsToken,
    ...stateOf(parts),
    sources,
    nowSeconds: latest.overSeconds,
    total: routeStats(total, latest.total, sources),
    routes: Object.fromEntries(ofRoutes),
    invalidations,
    evictions,
    recentEvents: {
      changes: recentEvents.changes().slice(0, mostRecent),
      invalidations: recentEvents.invalidations().slice(0, mostRecent),
    },
    historySteps: history.steps,
    advice: refreshStats.advice((route) => routes.get(route)?.requests ?? 0, memory.maxBytes),
  }
}

function routeStats<Now extends Figures | null>(
  { bySource, ...counts }: RouteCounts,
  now: Now,
  sources: readonly AnswerSource[],
): RouteStats & { now: Now } {
  const countOf = (source: string) => bySource.get(source) ?? 0
  const { hits, answered } = cacheAnswers(sources, countOf)
  return {
    ...Object.fromEntries(sources.map(({ name }) => [name, countOf(name)])),
    ...counts,
    hitRatio: answered === 0 ? null : hits / answered,
    now,
  }
}

/** The part of a route's description in `/routes` that the dashboard shows. */
export interface DescribedRoute {
  name: string
  path: string
  methods: readonly string[]
  lifetime: Lifetime
  cacheControl: string
  /** As configured. */
  tags: readonly string[]
  /** Tags that a person can purge: its tables, and its configured tags up to their first parameter. */
  purgeTags: readonly string[]
  tables: readonly string[]
  sql: string
}
