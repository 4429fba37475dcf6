// Listeners on the bus of observations: metrics, log, events, degradation, statistics, traces.
import type { Logger } from 'pino'
import type { Clock } from '../clock.ts'
import type { Config } from '../config/schema.ts'
import { ObservationBus } from '../observation.ts'
import { DegradationMonitor } from './degradation.ts'
import { FactLogger } from './log.ts'
import { Metrics } from './metrics.ts'
import { Readiness } from './readiness.ts'
import { RecentEvents } from './recent-events.ts'
import { RefreshStats } from './refresh-stats.ts'

export interface ObserversOptions {
  config: Pick<Config, 'log' | 'traces'>
  pino: Logger
  clock: Clock
  version: string
}

export type Observers = Awaited<ReturnType<typeof startObservers>>

/** Makes the bus of observations and its listeners. Whatever this opens is closed with `opened`. */
export async function startObservers({ config, pino, clock, version }: ObserversOptions, opened: AsyncDisposableStack) {
  const bus = new ObservationBus()
  const { observe } = bus
  const metrics = new Metrics()
  const recentEvents = new RecentEvents(clock)
  const refreshStats = new RefreshStats(clock)
  const degradation = new DegradationMonitor(clock, observe)
  const readiness = new Readiness(clock, observe)
  const log = new FactLogger(pino, config.log.slow / 1000, clock)
  for (const one of [metrics, log, recentEvents, degradation, refreshStats]) bus.listen(one.observe)
  opened.defer(() => readiness.drained())
  const { url } = config.traces
  const traces = url === undefined ? undefined : await startTraces(url, version, clock, bus)
  opened.defer(() => traces?.close())
  return { observe, metrics, recentEvents, refreshStats, degradation, readiness, traces }
}

/** Loads the tracing packages, which are large, only when tracing is configured. */
async function startTraces(url: string, version: string, clock: Clock, bus: ObservationBus) {
  const { Traces } = await import('./traces.ts')
  const traces = new Traces(url, version, clock, bus.observe)
  bus.listen(traces.observe)
  return traces
}
