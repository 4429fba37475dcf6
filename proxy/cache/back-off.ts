// For how long keys are not asked for again whose origin has failed.
import type { Clock } from '../clock.ts'

/** The first pause, and the longest; each failure in a row doubles it. `jitter`: the most that chance takes off. */
const pauseMs = { first: 1000, longest: 30_000, jitter: 0.25 }
/** Keys remembered, in some ten megabytes. One forgotten is asked for again at once, and its pauses begin anew. */
const mostKeys = 100_000

/**
 * Knows which keys are not worth asking for just now, as long as there is something to serve for them: their origin has failed, or had
 * no room. Chance takes a part off each pause, so that keys which failed together do not come back together.
 */
export class BackOff {
  readonly #clock: Clock
  readonly #random: () => number
  readonly #maxKeys: number
  /** The longest untouched first. */
  readonly #keys = new Map<string, { failures: number; until: number }>()

  constructor(clock: Clock, random: () => number, maxKeys = mostKeys) {
    this.#clock = clock
    this.#random = random
    this.#maxKeys = maxKeys
  }

  isOn(key: string): boolean {
    const known = this.#keys.get(key)
    return known !== undefined && this.#clock.now() < known.until
  }

  /** Begins a pause. Work that was shed has not failed: how often that happens says nothing of how long to wait. */
  begin(key: string, hasFailed: boolean): void {
    const failures = (this.#keys.get(key)?.failures ?? 0) + (hasFailed ? 1 : 0)
    const fullMs = hasFailed ? Math.min(pauseMs.first * 2 ** (failures - 1), pauseMs.longest) : pauseMs.first
    this.#keys.delete(key) // to be the youngest again
    this.#keys.set(key, { failures, until: this.#clock.now() + fullMs * (1 - pauseMs.jitter * this.#random()) })
    for (const oldest of this.#keys.keys()) {
      if (this.#keys.size <= this.#maxKeys) break
      this.#keys.delete(oldest)
    }
  }

  end(key: string): void {
    this.#keys.delete(key)
  }
}
