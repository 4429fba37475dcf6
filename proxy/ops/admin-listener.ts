// The admin listener: its routes, the dashboard, and the gauges and history behind them.
import type { FastifyInstance } from 'fastify'
import type { HotKeys } from '../cache/hot-keys.ts'
import type { LogFollower } from '../coherence/follower.ts'
import { type PurgeRequest, purger } from '../coherence/purge.ts'
import type { Config } from '../config/schema.ts'
import type { AnswerSource } from '../sources.ts'
import { adminRoutes, type Reloaded } from './admin.ts'
import { adminServer } from './admin-server.ts'
import { dashboardRoutes } from './dashboard.ts'
import { measureEventLoopLag } from './event-loop-lag.ts'
import { gaugeReadings, registerGauges } from './gauges.ts'
import { History } from './history.ts'
import type { Observers } from './observers.ts'
import { type StateParts, stateOf, stepGaugesOf } from './process-state.ts'
import { type DescribedRoute, statsOf } from './stats.ts'

/** The routes, for inspection, purge and reload. */
export interface AdministeredRoutes {
  describe(): readonly DescribedRoute[]
  /** Throws `bad-parameters` for a route or parameters that do not exist. */
  tagsOf(request: PurgeRequest): string[]
  /** Throws a Refusal that lists every fault of the configuration returned by `read`. */
  reload(read: () => Config): Promise<Reloaded>
}

export interface AdminListenerParts
  extends Omit<StateParts, 'logFollower'>,
    Pick<Observers, 'metrics' | 'recentEvents' | 'refreshStats' | 'readiness'> {
  logFollower: Pick<LogFollower, 'state' | 'publish'>
  config: Config
  readConfig(): Config
  routing: AdministeredRoutes
  hotKeys: HotKeys
  sources: readonly AnswerSource[]
  version: string
  nodeVersion: string
  random(): number
  opened: AsyncDisposableStack
}

/** Makes the admin listener, not yet listening. Whatever it opens is closed with `opened`. */
export function adminListener(parts: AdminListenerParts): FastifyInstance {
  const { metrics, sources, clock, hotKeys, recentEvents, routing, opened } = parts
  const { token } = parts.config.admin
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
    isRoute: (name) => routing.describe().some((route) => route.name === name),
    hotKeys: (route) => hotKeys.of(route),
    slowest: (route) => recentEvents.slowest(route),
  })
  const purge = purger(parts.logFollower, parts.memory, parts.farther)
  adminRoutes(server, {
    ...parts,
    token,
    stats,
    state: () => stateOf(parts),
    now: () => clock.now(),
    routes: () => routing.describe(),
    purge: (request) => purge(routing.tagsOf(request), request.soft),
    reload: () => routing.reload(parts.readConfig),
  })
  return server
}
