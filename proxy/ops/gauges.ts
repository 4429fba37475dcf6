// Gauges of /metrics, read at each scrape.
import { Gauge, type Registry } from 'prom-client'
import type { BreakerState } from '../observation.ts'
import { type DegradationLevel, degradationLevels } from './degradation.ts'
import { type BreakerReading, breakersOf, type StateParts } from './process-state.ts'

/** The readings behind the gauges, taken at each scrape. */
export interface GaugeReadings {
  tiers(): { tier: string; bytes: number; entries: number }[]
  connections(): { total: number; idle: number; waiting: number }
  breakers(): BreakerReading[]
  /** Open client connections. */
  clients(): number
  degradationLevel(): DegradationLevel
  /** Position in the invalidation log; `degradedSeconds`: total time in which missed invalidations were possible. */
  coherence(): { logPosition: number; isDegraded: boolean; degradedSeconds: number }
  /** Method and state of following the database. */
  changes(): { mode: string; state: string }
  /** The 99th percentile since the previous reading. */
  eventLoopLagSeconds(): number
}

const breakerValues: Record<BreakerState, number> = { closed: 0, open: 1, 'half-open': 2 }

/** Takes the readings from the parts of the process; `lagSeconds` reads the lag of its event loop. */
export function gaugeReadings(parts: StateParts, lagSeconds: () => number): GaugeReadings {
  const { memory, origin, degradation, ledger, logFollower, changes, listener } = parts
  return {
    tiers: () => [{ tier: memory.name, bytes: memory.bytes, entries: memory.entries }],
    connections: () => origin.connections,
    breakers: () => breakersOf(parts),
    degradationLevel: () => degradation.level,
    coherence: () => ({
      logPosition: ledger.position.pos,
      isDegraded: logFollower.state.state === 'degraded',
      degradedSeconds: logFollower.state.degradedSeconds,
    }),
    changes: () => ({ mode: changes.mode, state: changes.state }),
    clients: () => listener.clients,
    eventLoopLagSeconds: lagSeconds,
  }
}

/** Adds every gauge to `registry`. */
export function registerGauges(registry: Registry, gauges: GaugeReadings, version: string, nodeVersion: string): void {
  const gauge = gaugeMaker(registry)
  gauge('tier_bytes', 'Bytes of cached entries, keys and overhead included, by tier', ['tier'], (set) => {
    for (const { tier, bytes } of gauges.tiers()) set({ tier }, bytes)
  })
  gauge('tier_entries', 'Cached entries, by tier', ['tier'], (set) => {
    for (const { tier, entries } of gauges.tiers()) set({ tier }, entries)
  })
  const pool = 'Connections to PostgreSQL (active, idle) and statements without one (waiting), by state'
  gauge('pool_connections', pool, ['state'], (set) => {
    const { total, idle, waiting } = gauges.connections()
    set({ state: 'active' }, total - idle)
    set({ state: 'idle' }, idle)
    set({ state: 'waiting' }, waiting)
  })
  gauge('client_connections', 'Open client connections', [], (set) => set({}, gauges.clients()))
  gauge('breaker_state', 'Circuit breaker state (0 closed, 1 open, 2 half-open), by name', ['name'], (set) => {
    for (const { name, state } of gauges.breakers()) set({ name }, breakerValues[state])
  })
  const levels = degradationLevels.map((level, i) => `${i} ${level}`).join(', ')
  gauge('degradation_level', `Degradation level: ${levels}`, [], (set) =>
    set({}, degradationLevels.indexOf(gauges.degradationLevel())),
  )
  gauge('log_position', 'Position of the last applied event in the invalidation log (-1: none)', [], (set) =>
    set({}, gauges.coherence().logPosition),
  )
  gauge('degraded', 'Unverified invalidations: 1 while invalidations may be missing, otherwise 0', [], (set) =>
    set({}, gauges.coherence().isDegraded ? 1 : 0),
  )
  gauge('degraded_seconds', 'Total time with unverified invalidations since the start, in seconds', [], (set) =>
    set({}, gauges.coherence().degradedSeconds),
  )
  const following = 'Method of following the database (1 for the current one), by mode and state'
  const changes = gauge('following', following, ['mode', 'state'], (set) => {
    changes.reset()
    set({ ...gauges.changes() }, 1)
  })
  gauge('event_loop_lag_seconds', 'Event loop lag since the last scrape, 99th percentile, in seconds', [], (set) =>
    set({}, gauges.eventLoopLagSeconds()),
  )
  gauge(
    'build_info',
    'Running version of onramp and Node.js (always 1), by version and node',
    ['version', 'node'],
    (set) => set({ version, node: nodeVersion }, 1),
  )
}

/** Makes gauges of `registry`; `collect` sets the values at each scrape. */
function gaugeMaker(registry: Registry) {
  return (
    name: string,
    help: string,
    labelNames: string[],
    collect: (set: (labels: Record<string, string>, value: number) => void) => void,
  ) =>
    new Gauge({
      name: `onramp_${name}`,
      help,
      labelNames,
      registers: [registry],
      collect() {
        collect((labels, value) => this.set(labels, value))
      },
    })
}
