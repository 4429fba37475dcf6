// The coherence state of this process: starting, synchronized or degraded, and the time degraded.
import type { Clock } from '../clock.ts'
import type { Coherence, Observe } from '../observation.ts'

/**
 * Derives the state from the ledger: synchronized while cached entries can be verified, else degraded. A starting
 * process counts as degraded only after `startingMs`.
 */
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

  /** In the life of this process. */
  get degradedSeconds(): number {
    const now = this.#state === 'degraded' ? this.#clock.now() - this.#degradedSince : 0
    return (this.#degradedMs + now) / 1000
  }

  /** Compares `verifiedUntil` of the ledger with the clock. A change of the state is observed. */
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
