// What /stats, /events and the page show.
import type { Figures } from './figures.ts'
import type { History } from './history.ts'
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
