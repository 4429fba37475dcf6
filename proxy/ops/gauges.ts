// What is read when metrics are, rather than counted.
import { Gauge, type Registry } from 'prom-client'
import type { BreakerState } from '../observation.ts'
import { type DegradationLevel, degradationLevels } from './degradation.ts'
import { type BreakerReading, breakersOf, type StateParts } from './process-state.ts'

/** What is read when metrics are, rather than counted as it happens. */
export interface GaugeReadings {
  tiers(): { tier: string; bytes: number; entries: number }[]
  connections(): { total: number; idle: number; waiting: number }
  breakers(): BreakerReading[]
  /** Connections of clients that are open. */
  clients(): number
  degradationLevel(): DegradationLevel
  /** The place in the invalidation log; for how long altogether this process could not tell whether it had missed any. */
  coherence(): { logPosition: number; isDegraded: boolean; degradedSeconds: number }
  /** How the database is followed. */
  changes(): { mode: string; state: string }
  /** The 99th percentile since the last time it was read. */
  eventLoopLagSeconds(): number
}

const breakerValues: Record<BreakerState, number> = { closed: 0, open: 1, 'half-open': 2 }

/** What the gauges of a process with these parts read; `lagSeconds` reads how late its event loop is. */
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

/** Adds what is read when somebody looks, rather than counted as it happens, to `registry`. */
export function registerGauges(registry: Registry, gauges: GaugeReadings, version: string, nodeVersion: string): void {
  const gauge = (
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

  gauge('tier_bytes', 'Bytes held, keys and overhead counted.', ['tier'], (set) => {
    for (const { tier, bytes } of gauges.tiers()) set({ tier }, bytes)
  })
  gauge('tier_entries', 'Entries held.', ['tier'], (set) => {
    for (const { tier, entries } of gauges.tiers()) set({ tier }, entries)
  })
  gauge('pool_connections', 'Connections to PostgreSQL; waiting are those who would like one.', ['state'], (set) => {
    const { total, idle, waiting } = gauges.connections()
    set({ state: 'active' }, total - idle)
    set({ state: 'idle' }, idle)
    set({ state: 'waiting' }, waiting)
  })
  gauge('client_connections', 'Connections of clients that are open.', [], (set) => set({}, gauges.clients()))
  gauge('breaker_state', '0 closed (in use), 1 open (bypassed), 2 half-open (being tried).', ['name'], (set) => {
    for (const { name, state } of gauges.breakers()) set({ name }, breakerValues[state])
  })
  gauge(
    'degradation_level',
    `Degradation level: ${degradationLevels.map((level, i) => `${i} ${level}`).join(', ')}.`,
    [],
    (set) => set({}, degradationLevels.indexOf(gauges.degradationLevel())),
  )
  gauge('log_position', 'The last invalidation applied, in the log; -1 while it is not followed.', [], (set) =>
    set({}, gauges.coherence().logPosition),
  )
  gauge('degraded', '1 while this process cannot tell whether it has missed an invalidation.', [], (set) =>
    set({}, gauges.coherence().isDegraded ? 1 : 0),
  )
  gauge('degraded_seconds', 'For how long that has been so, since the start.', [], (set) =>
    set({}, gauges.coherence().degradedSeconds),
  )
  const changes = gauge('following', '1 for how the database is followed now.', ['mode', 'state'], (set) => {
    changes.reset()
    set({ ...gauges.changes() }, 1)
  })
  gauge('event_loop_lag_seconds', 'The 99th percentile since the last scrape.', [], (set) =>
    set({}, gauges.eventLoopLagSeconds()),
  )
  gauge('build_info', 'Always 1.', ['version', 'node'], (set) => set({ version, node: nodeVersion }, 1))
}
