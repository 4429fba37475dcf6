// How the process is at the moment, out of its parts.
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

/** How the process is at the moment: what /ready shows too. */
export interface ProcessState {
  uptimeSeconds: number
  degradationLevel: DegradationLevel
  degradationSeconds: number
  /** Unless it is healthy. */
  degradationReason?: string
  /** What the operator can do; unless it is healthy. */
  degradationAction?: string
  memory: Pick<MemoryTier, 'bytes' | 'maxBytes' | 'entries'>
  /** Where there is one. */
  redis?: { connected: boolean }
  coherence: LogFollower['state'] & { follow: Pick<Changes, 'mode' | 'state' | 'why'> }
  postgres: GuardedOrigin['connections']
  breakers: BreakerReading[]
  /** Connections of clients that are open. */
  clients: number
  /** Fills under way. */
  flights: number
  /** Where there is one. */
  upstream?: { underWay: number }
}

/** What the process is made of, as far as its state is shown. */
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
  const { reason } = degradation
  return {
    uptimeSeconds: clock.now() / 1000,
    degradationLevel: degradation.level,
    degradationSeconds: degradation.forMs / 1000,
    ...(reason !== undefined && { degradationReason: reason }),
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

/** How things stand, for the history: read at the end of each step. */
export function stepGaugesOf({ origin, memory, listener }: StateParts): StepGauges {
  const { total, idle, waiting } = origin.connections
  const { bytes, entries } = memory
  return { poolActive: total - idle, poolWaiting: waiting, memoryBytes: bytes, entries, clients: listener.clients }
}
