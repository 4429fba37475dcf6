// How much of the cache is in use: healthy, memory-only, stale-only, shedding.
import type { Clock } from '../clock.ts'
import { type FactTable, lookUpFact, type Observe } from '../observation.ts'

/**
 * How much of the cache is in use, best first. `healthy`: every tier there is. `memory-only`: a tier behind memory is bypassed.
 * `stale-only`: the database's circuit breaker is open, and what is cached is served. `shedding`: some requests are rejected.
 */
export const degradationLevels = ['healthy', 'memory-only', 'stale-only', 'shedding'] as const
export type DegradationLevel = (typeof degradationLevels)[number]

/** For how long one refusal keeps the program on the last level. */
const sheddingMs = 5000

/**
 * Knows the degradation level of the program, from nothing but what it observes, and reports each change of it.
 *
 * The worst that is so decides: with the database's breaker open and Redis gone too it is `stale-only`.
 */
export class DegradationMonitor {
  readonly #clock: Clock
  readonly #observe: Observe
  /** What keeps tiers from being used: for each of these the label of its tier. */
  readonly #outages = new Map<string, string>()
  #isOriginCircuitOpen = false
  #isShedding = false
  #cancel = () => {}
  #level: DegradationLevel = 'healthy'
  #since: number

  /** Takes each fact that the level depends on. */
  readonly #taking = {
    'tier-bypassed': ({ tier, label }) => void this.#outages.set(`bypassed ${tier}`, label),
    'tier-back': ({ tier }) => void this.#outages.delete(`bypassed ${tier}`),
    'redis-connection': ({ state }) => {
      if (state === 'lost') this.#outages.set('connection', 'Redis')
      else this.#outages.delete('connection')
    },
    breaker: ({ name, state }) => {
      if (name === 'origin') this.#isOriginCircuitOpen = state !== 'closed'
    },
    shed: ({ reason }) => {
      // An open breaker is no overload: that is the level above.
      if (reason !== 'breaker-open') this.#shed()
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

  /** Milliseconds on the present level. */
  get forMs(): number {
    return this.#clock.now() - this.#since
  }

  /** Why it is not on the best level, as a sentence without its end; nothing where it is. */
  get reason(): string | undefined {
    return this.#reasonFor(this.#level)
  }

  readonly observe: Observe = (fact) => {
    if (fact.kind === 'response') return
    lookUpFact(this.#taking, fact)
    this.#update()
  }

  #shed(): void {
    this.#cancel()
    this.#isShedding = true
    this.#cancel = this.#clock.after(sheddingMs, () => {
      this.#isShedding = false
      this.#update()
    })
  }

  #update(): void {
    const level = this.#judge()
    if (level === this.#level) return
    const before = this.#level
    this.#level = level
    this.#since = this.#clock.now()
    this.#observe({ kind: 'degradation', level, before, reason: this.#reasonFor(level) })
  }

  #judge(): DegradationLevel {
    if (this.#isShedding) return 'shedding'
    if (this.#isOriginCircuitOpen) return 'stale-only'
    return this.#outages.size > 0 ? 'memory-only' : 'healthy'
  }

  #reasonFor(level: DegradationLevel): string | undefined {
    switch (level) {
      case 'healthy':
        return undefined
      case 'memory-only':
        return `${[...new Set(this.#outages.values())].join(' and ')} cannot be used`
      case 'stale-only':
        return "the database's circuit breaker is open"
      case 'shedding':
        return 'more is asked for than can be done'
      default:
        return level satisfies never
    }
  }
}
