// Readiness for traffic: not during warm-up, and not during the drain.
import type { Clock } from '../clock.ts'
import type { Observe } from '../observation.ts'

/** The answer of `/ready`: not ready until the reads listed in `warm` are done, and again from the signal to stop. */
export class Readiness {
  readonly #clock: Clock
  readonly #observe: Observe
  #isWarm = false
  #drainingSince: number | undefined

  constructor(clock: Clock, observe: Observe) {
    this.#clock = clock
    this.#observe = observe
  }

  /** The reason why the process is not ready, as a sentence; undefined while it is ready. */
  get why(): string | undefined {
    if (this.#drainingSince !== undefined)
      return 'The process is draining: it finishes the requests under way and ends.'
    return this.#isWarm
      ? undefined
      : 'The process is reading the entries listed in warm; it is ready after that, within ten seconds.'
  }

  warmed(): void {
    this.#isWarm = true
  }

  /** Ends the readiness for good; `signal` names the signal received. */
  drain(signal: string): void {
    this.#drainingSince = this.#clock.now()
    this.#observe({ kind: 'draining', signal })
  }

  /** Reports the end of a drain. Does nothing without a drain, as after a refused start. */
  drained(): void {
    if (this.#drainingSince === undefined) return
    this.#observe({ kind: 'drained', seconds: (this.#clock.now() - this.#drainingSince) / 1000 })
  }
}
