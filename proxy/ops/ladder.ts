import type { Clock } from '../clock.ts'
import type { Observation, Observe } from '../observation.ts'

/**
 * How much of the cache is in use, best first. `full`: every tier there is. `memory-only`: Redis is passed by. `stale-only`: the
 * database is left alone, what is held is served. `shed`: some of those who come are refused.
 */
export const rungs = ['full', 'memory-only', 'stale-only', 'shed'] as const
export type Rung = (typeof rungs)[number]

/** For how long one refusal keeps the program on the last rung. */
const shedForMs = 5000

/**
 * Knows on which rung of the ladder the program stands, from nothing but what it observes, and tells when that changes.
 *
 * The worst that is so decides: a database left alone while Redis is gone too is `stale-only`.
 */
export class Ladder {
  readonly #clock: Clock
  readonly #changed: (rung: Rung, before: Rung) => void
  #isRedisLost = false
  #isRedisPassedBy = false
  #isOriginLeftAlone = false
  #isShedding = false
  #cancel = () => {}
  #rung: Rung = 'full'
  #since: number

  constructor(clock: Clock, changed: (rung: Rung, before: Rung) => void) {
    this.#clock = clock
    this.#changed = changed
    this.#since = clock.now()
  }

  get rung(): Rung {
    return this.#rung
  }

  /** Milliseconds on the present rung. */
  get forMs(): number {
    return this.#clock.now() - this.#since
  }

  readonly observe: Observe = (fact) => {
    if (this.#take(fact)) this.#step()
  }

  #step(): void {
    const rung = this.#judge()
    if (rung === this.#rung) return
    const before = this.#rung
    this.#rung = rung
    this.#since = this.#clock.now()
    this.#changed(rung, before)
  }

  /** Whether `fact` is one that the rung depends on. */
  #take(fact: Observation): boolean {
    switch (fact.kind) {
      case 'tier-bypassed':
      case 'tier-back':
        this.#isRedisPassedBy = fact.kind === 'tier-bypassed'
        return true
      case 'redis-connection':
        this.#isRedisLost = fact.state === 'lost'
        return true
      case 'breaker':
        if (fact.name === 'origin') this.#isOriginLeftAlone = fact.state !== 'closed'
        return fact.name === 'origin'
      case 'shed':
        // Left alone is not overloaded: that is the rung above.
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

  #judge(): Rung {
    if (this.#isShedding) return 'shed'
    if (this.#isOriginLeftAlone) return 'stale-only'
    return this.#isRedisLost || this.#isRedisPassedBy ? 'memory-only' : 'full'
  }
}
