// The listener for people and probes: its routes, the dashboard, the gauges and the history behind them.
import type { FastifyInstance } from 'fastify'
import type { HotKeys } from '../cache/hot-keys.ts'
import type { AnswerSource } from '../sources.ts'
import { type AdminDependencies, adminRoutes } from './admin.ts'
import { adminServer } from './admin-server.ts'
import { dashboardRoutes } from './dashboard.ts'
import { measureEventLoopLag } from './event-loop-lag.ts'
import { gaugeReadings, registerGauges } from './gauges.ts'
import { History } from './history.ts'
import type { Observers } from './observers.ts'
import { type StateParts, stateOf, statsOf, stepGaugesOf } from './stats.ts'

export interface AdminListenerParts
  extends StateParts,
    Pick<Observers, 'metrics' | 'recentEvents' | 'refreshStats' | 'readiness'>,
    Pick<AdminDependencies, 'token' | 'routes' | 'purge' | 'reload'> {
  hotKeys: HotKeys
  sources: readonly AnswerSource[]
  version: string
  nodeVersion: string
  random(): number
  opened: AsyncDisposableStack
}

/** Makes the admin listener. Not yet listening; what is opened is closed with `opened`. */
export function adminListener(parts: AdminListenerParts): FastifyInstance {
  const { token, metrics, sources, clock, hotKeys, recentEvents, routes, opened } = parts
  const lag = measureEventLoopLag()
  opened.defer(() => lag.stop())
  registerGauges(metrics.registry, gaugeReadings(parts, lag.read), parts.version, parts.nodeVersion)
  const history = new History(clock, sources, metrics.counts, () => stepGaugesOf(parts))
  opened.defer(() => history.stop())
  history.listen(() => hotKeys.settle())
  history.start()
  const statsParts = { ...parts, history, needsToken: token !== undefined }
  const stats = () => statsOf(statsParts)
  const server = adminServer(parts.random)
  dashboardRoutes(server, {
    stats,
    history,
    isRoute: (name) => routes().some((route) => route.name === name),
    hotKeys: (route) => hotKeys.of(route),
    slowest: (route) => recentEvents.slowest(route),
  })
  adminRoutes(server, { ...parts, stats, state: () => stateOf(parts), now: () => clock.now() })
  return server
}
