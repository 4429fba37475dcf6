// Whether traffic should come: not while it warms up, and not while it drains.
import type { Clock } from '../clock.ts'
import type { Observe } from '../observation.ts'

/** What `/ready` says: no before everything that `warm` lists has been read, and from the moment the process is asked to end. */
export class Readiness {
  readonly #clock: Clock
  readonly #observe: Observe
  #isWarm = false
  #drainingSince: number | undefined

  constructor(clock: Clock, observe: Observe) {
    this.#clock = clock
    this.#observe = observe
  }

  /** Nothing, or why no traffic should come. */
  get why(): string | undefined {
    if (this.#drainingSince !== undefined) return 'it is draining'
    return this.#isWarm ? undefined : 'it is warming up'
  }

  warmed(): void {
    this.#isWarm = true
  }

  /** From here on it is not ready; `signal` is what asked for it. */
  drain(signal: string): void {
    this.#drainingSince = this.#clock.now()
    this.#observe({ kind: 'draining', signal })
  }

  /** Everything under way is done. An end that nobody asked for, such as a refused start, is no drain. */
  drained(): void {
    if (this.#drainingSince === undefined) return
    this.#observe({ kind: 'drained', seconds: (this.#clock.now() - this.#drainingSince) / 1000 })
  }
}
