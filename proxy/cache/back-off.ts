// Back-off: a key whose fill failed is not filled again for a while.
import type { Clock } from '../clock.ts'

/**
 * In milliseconds: the first pause and the longest. Each failure in a row doubles it. `jitter`: the largest share that
 * chance takes off.
 */
const pauseMs = { first: 1000, longest: 30_000, jitter: 0.25 }
/** Limit of remembered keys, about ten megabytes. A forgotten key is asked for again at once, and its pauses start anew. */
const mostKeys = 100_000

/**
 * Remembers the keys whose last fill failed or was shed. Such a key is not filled again for a while if there is an
 * entry to serve for it. Chance shortens each pause, so that keys which failed together are not retried together.
 */
export class BackOff {
  readonly #clock: Clock
  readonly #random: () => number
  readonly #maxKeys: number
  /** In the order of their last pause, oldest first. */
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

  /** Begins a pause. A shed fill is not a failure: repeated shedding does not lengthen the pause. */
  begin(key: string, hasFailed: boolean): void {
    const failures = (this.#keys.get(key)?.failures ?? 0) + (hasFailed ? 1 : 0)
    const fullMs = hasFailed ? Math.min(pauseMs.first * 2 ** (failures - 1), pauseMs.longest) : pauseMs.first
    this.#keys.delete(key) // re-inserted as the newest
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
