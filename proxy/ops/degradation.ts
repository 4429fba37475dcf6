// How much of the cache is in use: healthy, memory-only, stale-only, shedding.
import type { Clock } from '../clock.ts'
import type { Observation, Observe } from '../observation.ts'

/**
 * How much of the cache is in use, best first. `healthy`: every tier there is. `memory-only`: Redis is passed by. `stale-only`: the
 * database is left alone, what is held is served. `shedding`: some of those who come are refused.
 */
export const degradationLevels = ['healthy', 'memory-only', 'stale-only', 'shedding'] as const
export type DegradationLevel = (typeof degradationLevels)[number]

/** For how long one refusal keeps the program on the last level. */
const shedForMs = 5000

/**
 * Knows on which level of the ladder the program stands, from nothing but what it observes, and tells when that changes.
 *
 * The worst that is so decides: a database left alone while Redis is gone too is `stale-only`.
 */
export class DegradationMonitor {
  readonly #clock: Clock
  readonly #changed: (level: DegradationLevel, before: DegradationLevel) => void
  #isRedisLost = false
  #isRedisBypassed = false
  #isOriginCircuitOpen = false
  #isShedding = false
  #cancel = () => {}
  #level: DegradationLevel = 'healthy'
  #since: number

  constructor(clock: Clock, changed: (level: DegradationLevel, before: DegradationLevel) => void) {
    this.#clock = clock
    this.#changed = changed
    this.#since = clock.now()
  }

  get level(): DegradationLevel {
    return this.#level
  }

  /** Milliseconds on the present level. */
  get forMs(): number {
    return this.#clock.now() - this.#since
  }

  readonly observe: Observe = (fact) => {
    if (this.#take(fact)) this.#step()
  }

  #step(): void {
    const level = this.#judge()
    if (level === this.#level) return
    const before = this.#level
    this.#level = level
    this.#since = this.#clock.now()
    this.#changed(level, before)
  }

  /** Whether `fact` is one that the level depends on. */
  #take(fact: Observation): boolean {
    switch (fact.kind) {
      case 'tier-bypassed':
      case 'tier-back':
        this.#isRedisBypassed = fact.kind === 'tier-bypassed'
        return true
      case 'redis-connection':
        this.#isRedisLost = fact.state === 'lost'
        return true
      case 'breaker':
        if (fact.name === 'origin') this.#isOriginCircuitOpen = fact.state !== 'closed'
        return fact.name === 'origin'
      case 'shed':
        // Left alone is not overloaded: that is the level above.
        if (fact.reason === 'breaker-open') return false
        this.#cancel()
        this.#isShedding = true
        this.#cancel = this.#clock.after(shedForMs, () => {
          this.#isShedding = false
          this.#step()
        })
        return true
      default:
        return false
    }
  }

  #judge(): DegradationLevel {
    if (this.#isShedding) return 'shedding'
    if (this.#isOriginCircuitOpen) return 'stale-only'
    return this.#isRedisLost || this.#isRedisBypassed ? 'memory-only' : 'healthy'
  }
}
