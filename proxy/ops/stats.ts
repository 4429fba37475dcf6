// What /stats, /events and the page show.

import type { HotKeys } from '../cache/hot-keys.ts'
import type { Lifetime } from '../cache/lifetime.ts'
import type { Source } from '../observation.ts'
import type { Advice } from './advice.ts'
import type { DegradationLevel } from './degradation.ts'
import type { Figures } from './figures.ts'
import type { BreakerState } from './gauges.ts'
import type { History, RouteColumn } from './history.ts'
import type { Counts, RouteCounts } from './metrics.ts'
import type { RecentEvents } from './recent-events.ts'

/** A route, or all, as /stats shows it: what was counted since the start, and what it comes to. */
export interface Shown extends RouteCounts {
  hitRatio: number | null
  /** What has just happened, a second. */
  now: Figures | null
}

/** The counts since the start and the figures of now, what happened lately, and how many steps of the past there are. */
export function statsOf(
  { total, routes, invalidations, evictions }: Counts,
  history: History,
  recentEvents: RecentEvents,
) {
  const now = history.now()
  const shown = (counts: RouteCounts, figures: Figures | undefined): Shown => {
    const answered = counts.memory + counts.redis + counts.origin
    const hitRatio = answered === 0 ? null : (counts.memory + counts.redis) / answered
    return { ...counts, hitRatio, now: figures ?? null }
  }
  return {
    nowSeconds: now.overSeconds,
    total: shown(total, now.total),
    routes: Object.fromEntries(Object.entries(routes).map(([name, counts]) => [name, shown(counts, now.routes[name])])),
    invalidations,
    evictions,
    recentEvents: {
      changes: recentEvents.changes().slice(0, 20),
      invalidations: recentEvents.invalidations().slice(0, 20),
    },
    historySteps: history.steps,
  }
}

// What the dashboard reads: the browser files take their types from here.

/** A place that answers come from, in the order in which it is asked. `isHit`: an answer from there is one of the cache. */
export interface ShownSource {
  name: Source
  label: string
  isHit: boolean
}

/** `/stats`, and each message of `/events`. */
export interface Stats extends ReturnType<typeof statsOf> {
  version: string
  needsToken: boolean
  uptimeSeconds: number
  degradationLevel: DegradationLevel
  degradationSeconds: number
  memory: { bytes: number; maxBytes: number; entries: number }
  postgres: { total: number; idle: number; waiting: number }
  breakers: { name: string; state: BreakerState }[]
  clients: number
  flights: number
  advice: Advice[]
  sources?: readonly ShownSource[]
}

/** `/dashboard/history`: the steps since the one that was asked for, by columns. */
export interface Past<Column extends string> {
  /** The number of steps so far. */
  steps: number
  agoSeconds: number[]
  columns: { [name in Column]?: (number | null)[] }
}

/** `/dashboard/route`. */
export interface RoutePast extends Past<RouteColumn> {
  hotKeys: ReturnType<HotKeys['of']>
  slowest: ReturnType<RecentEvents['slowest']>
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
