// What /stats, /events and the dashboard show.
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

/** How many of the latest changes, and of the latest invalidations, are shown. */
const mostRecent = 20

/** A route, or all: what was counted since the start, and what has just happened. */
export interface RouteStats extends Omit<RouteCounts, 'bySource'> {
  hitRatio: number | null
  /** What has just happened, a second; of a route that has just been called for the first time, nothing yet. */
  now: Figures | null
  /** By the name of a source: how many responses came from there. */
  [source: string]: number | null | Figures | AuditCounts | undefined
}

/** All that /stats shows, and /events each second. */
export interface Stats extends ProcessState {
  version: string
  /** Whether a purge needs the admin token. */
  needsToken: boolean
  sources: readonly AnswerSource[]
  /** `now` is over so many seconds. */
  nowSeconds: number
  total: RouteStats & { now: Figures }
  routes: Record<string, RouteStats>
  invalidations: number
  evictions: number
  recentEvents: { changes: RecentEvent[]; invalidations: RecentInvalidation[] }
  /** How many steps of the past there have been. */
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

/** Of a route in `/routes`, what the page shows. */
export interface DescribedRoute {
  name: string
  path: string
  methods: readonly string[]
  lifetime: Lifetime
  cacheControl: string
  /** As the configuration has them. */
  tags: readonly string[]
  /** What a person can purge of it: its tables, and its own tags up to their first parameter. */
  purgeTags: readonly string[]
  tables: readonly string[]
  sql: string
}
