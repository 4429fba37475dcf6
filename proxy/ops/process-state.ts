// The present state of the process, read from its parts.
import type { MemoryTier } from '../cache/memory.ts'
import type { Changes } from '../changes/changes.ts'
import type { Clock } from '../clock.ts'
import type { LogFollower } from '../coherence/follower.ts'
import type { Ledger } from '../coherence/ledger.ts'
import type { BreakerState } from '../observation.ts'
import type { GuardedOrigin } from '../origin/guard.ts'
import type { DegradationLevel, DegradationMonitor } from './degradation.ts'
import type { StepGauges } from './history.ts'

export interface BreakerReading {
  name: string
  state: BreakerState
}

/** The present state of the process; /ready and /stats show it. */
export interface ProcessState {
  uptimeSeconds: number
  degradationLevel: DegradationLevel
  degradationSeconds: number
  /** The cause, unless it is healthy: each dependency and its error. */
  degradationReason?: string
  /** What the operator can do; unless it is healthy. */
  degradationAction?: string
  memory: Pick<MemoryTier, 'bytes' | 'maxBytes' | 'entries'>
  /** Only with a Redis tier. */
  redis?: { connected: boolean }
  coherence: LogFollower['state'] & { follow: Pick<Changes, 'mode' | 'state' | 'why'> }
  postgres: GuardedOrigin['connections']
  breakers: BreakerReading[]
  /** Open connections of clients. */
  clients: number
  /** Fills in progress. */
  flights: number
  /** Only with an upstream. */
  upstream?: { underWay: number }
}

/** The parts whose state is shown. */
export interface StateParts {
  clock: Clock
  degradation: DegradationMonitor
  memory: MemoryTier
  /** The tiers behind memory. */
  farther: readonly { readonly name: string; readonly isOpen: boolean }[]
  redis: { readonly isConnected: boolean } | undefined
  ledger: Pick<Ledger, 'position'>
  logFollower: Pick<LogFollower, 'state'>
  changes: Pick<Changes, 'mode' | 'state' | 'why'>
  origin: Pick<GuardedOrigin, 'connections' | 'breakers'>
  listener: { readonly clients: number }
  cache: { readonly flights: number }
  upstream: { readonly underWay: number } | undefined
}

export function stateOf(parts: StateParts): ProcessState {
  const { clock, degradation, memory, redis, logFollower, changes, origin, cache, upstream } = parts
  const { reason, action } = degradation
  return {
    uptimeSeconds: clock.now() / 1000,
    degradationLevel: degradation.level,
    degradationSeconds: degradation.forMs / 1000,
    ...(reason !== undefined && { degradationReason: reason }),
    ...(action !== undefined && { degradationAction: action }),
    memory: { bytes: memory.bytes, maxBytes: memory.maxBytes, entries: memory.entries },
    ...(redis && { redis: { connected: redis.isConnected } }),
    coherence: { ...logFollower.state, follow: { mode: changes.mode, state: changes.state, why: changes.why } },
    postgres: origin.connections,
    breakers: breakersOf(parts),
    clients: parts.listener.clients,
    flights: cache.flights,
    ...(upstream && { upstream: { underWay: upstream.underWay } }),
  }
}

/** The circuit breakers of the tiers behind memory, of the database and of routes. */
export function breakersOf({ farther, origin }: Pick<StateParts, 'farther' | 'origin'>): BreakerReading[] {
  return [
    ...farther.map(({ name, isOpen }): BreakerReading => ({ name, state: isOpen ? 'open' : 'closed' })),
    ...origin.breakers,
  ]
}

/** Values for the history, read at the end of each step. */
export function stepGaugesOf({ origin, memory, listener }: StateParts): StepGauges {
  const { total, idle, waiting } = origin.connections
  const { bytes, entries } = memory
  return { poolActive: total - idle, poolWaiting: waiting, memoryBytes: bytes, entries, clients: listener.clients }
}
