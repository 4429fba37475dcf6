// Whether this process is synchronized or degraded, and for how long it has been.
import type { Clock } from '../clock.ts'
import type { Coherence, Observe } from '../observation.ts'

/** Tells when what is held can be verified, and when not any more; a start has `startingMs` until it counts as degraded. */
export class CoherenceState {
  readonly #clock: Clock
  readonly #observe: Observe
  readonly #startingUntil: number
  #state: Coherence = 'starting'
  #degradedSince = 0
  #degradedMs = 0

  constructor(startingMs: number, clock: Clock, observe: Observe) {
    this.#clock = clock
    this.#observe = observe
    this.#startingUntil = clock.now() + startingMs
  }

  get state(): Coherence {
    return this.#state
  }

  /** Of this process's life. */
  get degradedSeconds(): number {
    const now = this.#state === 'degraded' ? this.#clock.now() - this.#degradedSince : 0
    return (this.#degradedMs + now) / 1000
  }

  /** Compares `verifiedUntil`, as the ledger has it, with the clock; a change of the state is observed. */
  update(verifiedUntil: number): void {
    const now = this.#clock.now()
    const state: Coherence = now <= verifiedUntil ? 'synchronized' : 'degraded'
    const isStillStarting = this.#state === 'starting' && now < this.#startingUntil
    if (state === this.#state || (state === 'degraded' && isStillStarting)) return
    if (state === 'degraded') this.#degradedSince = now
    else if (this.#state === 'degraded') this.#degradedMs += now - this.#degradedSince
    const before = this.#state
    this.#state = state
    if (before !== 'starting' || state === 'degraded') this.#observe({ kind: 'coherence', state, before })
  }
}
