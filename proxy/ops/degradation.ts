// How much of the cache is in use: healthy, memory-only, stale-only, shedding.
import type { Clock } from '../clock.ts'
import {
  type DegradationLevel,
  type FactTable,
  lookUpFact,
  type Observe,
  type RejectionReason,
} from '../observation.ts'
import { errorFields } from './error-fields.ts'
import { events } from './events.ts'

export type { DegradationLevel }

/**
 * How much of the cache is in use, best first. `healthy`: every cache tier. `memory-only`: a tier behind memory is bypassed.
 * `stale-only`: the circuit breaker of the database is open, and cached entries are served. `shedding`: some requests are rejected.
 */
export const degradationLevels = [
  'healthy',
  'memory-only',
  'stale-only',
  'shedding',
] as const satisfies readonly DegradationLevel[]

/** After a rejected request the level stays `shedding` for this time. */
const sheddingMs = 5000

/** What rejects requests, and what the operator can do. */
interface Overload {
  cause: string
  action: string
}

const slowDatabase = 'Check that PostgreSQL answers. If it does, look at the route with the most SQL on the dashboard.'

/**
 * By the reason for a rejection. An open circuit breaker is no overload: that of the database makes the level
 * `stale-only`, that of a route changes no level.
 */
const overloads: Record<Exclude<RejectionReason, 'breaker-open'>, (route: string) => Overload> = {
  'queue-full': (route) => ({
    cause: `PostgreSQL answers too slowly, or not at all: the queue of the route ${route} is full`,
    action: slowDatabase,
  }),
  'too-late': (route) => ({
    cause: `PostgreSQL answers too slowly, or not at all: statements of the route ${route} wait past their deadline`,
    action: slowDatabase,
  }),
  overloaded: () => ({
    cause: 'this process is overloaded: its event loop is late',
    action: 'Add a process, or remove the CPU limit of this one.',
  }),
  'upstream-full': () => ({
    cause: 'the upstream has upstream.maxRequests open requests',
    action: 'Check why the upstream is slow. Raise upstream.maxRequests only if the upstream has room.',
  }),
}

/**
 * Determines the degradation level from the facts it observes, and reports each change of it.
 *
 * The worst condition decides: with an open circuit breaker of the database and without Redis the level is `stale-only`.
 */
export class DegradationMonitor {
  readonly #clock: Clock
  readonly #observe: Observe
  /** Conditions that keep a tier from being used: for each the label of the tier and the error. */
  readonly #outages = new Map<string, { label: string; error: unknown }>()
  /** The latest error of each tier. */
  readonly #tierErrors = new Map<string, unknown>()
  #originError: unknown
  #isOriginCircuitOpen = false
  /** The latest cause of overload, while it lasts. */
  #overload: Overload | undefined
  #cancel = () => {}
  #level: DegradationLevel = 'healthy'
  #since: number

  /** Takes each fact that the level, or its reason, depends on. */
  readonly #taking = {
    'tier-error': ({ tier, error }) => void this.#tierErrors.set(tier, error),
    'tier-bypassed': ({ tier, label }) =>
      void this.#outages.set(`bypassed ${tier}`, { label, error: this.#tierErrors.get(tier) }),
    'tier-back': ({ tier }) => void this.#outages.delete(`bypassed ${tier}`),
    'redis-connection': ({ state, error }) => {
      if (state === 'lost') this.#outages.set('connection', { label: 'Redis', error })
      else this.#outages.delete('connection')
    },
    'origin-query': ({ outcome, error }) => {
      if (outcome !== 'ok') this.#originError = error
    },
    'origin-connection-lost': ({ error }) => {
      this.#originError = error
    },
    breaker: ({ name, state }) => {
      if (name === 'origin') this.#isOriginCircuitOpen = state !== 'closed'
    },
    shed: ({ route, reason }) => {
      if (reason !== 'breaker-open') this.#shed(overloads[reason](route))
    },
  } satisfies FactTable<void>

  constructor(clock: Clock, observe: Observe) {
    this.#clock = clock
    this.#observe = observe
    this.#since = clock.now()
  }

  get level(): DegradationLevel {
    return this.#level
  }

  /** Milliseconds since the level changed. */
  get forMs(): number {
    return this.#clock.now() - this.#since
  }

  /** Why the level is not `healthy`: each dependency and its latest error. */
  get reason(): string | undefined {
    if (this.#level === 'healthy') return undefined
    // A lost connection says more than the errors of a bypassed tier of the same label, so it is set last.
    const lost = this.#outages.get('connection')
    const outages = [...this.#outages.values(), ...(lost === undefined ? [] : [lost])]
    const byLabel = new Map(outages.map(({ label, error }) => [label, error]))
    const causes = [
      this.#overload?.cause,
      this.#isOriginCircuitOpen ? withError('PostgreSQL', this.#originError) : undefined,
      ...[...byLabel].map(([label, error]) => withError(label, error)),
    ]
    return causes.filter((cause) => cause !== undefined).join('; ')
  }

  /** The next step of the operator, unless the level is `healthy`. */
  get action(): string | undefined {
    if (this.#overload !== undefined) return this.#overload.action
    return this.#level === 'healthy' ? undefined : events[`degraded-${this.#level}`].action
  }

  readonly observe: Observe = (fact) => {
    if (fact.kind === 'response') return
    lookUpFact(this.#taking, fact)
    this.#update()
  }

  #shed(overload: Overload): void {
    this.#cancel()
    this.#overload = overload
    this.#cancel = this.#clock.after(sheddingMs, () => {
      this.#overload = undefined
      this.#update()
    })
  }

  #update(): void {
    const level = this.#judge()
    if (level === this.#level) return
    const before = this.#level
    this.#level = level
    this.#since = this.#clock.now()
    this.#observe({ kind: 'degradation', level, before, reason: this.reason })
  }

  #judge(): DegradationLevel {
    if (this.#overload !== undefined) return 'shedding'
    if (this.#isOriginCircuitOpen) return 'stale-only'
    return this.#outages.size > 0 ? 'memory-only' : 'healthy'
  }
}

function withError(dependency: string, error: unknown): string {
  const { error: message = 'not available', sqlState, errorCode } = errorFields(error)
  const code = sqlState ?? errorCode
  return `${dependency}: ${message}${code === undefined || message.includes(code) ? '' : ` (${code})`}`
}
