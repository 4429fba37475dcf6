// Single-flight: one flight a key at a time.
import type { Answer } from './answer.ts'
import type { Flight } from './flight.ts'

/** A flight under way. */
export interface Flying {
  readonly flight: Pick<Flight, 'startedAt' | 'mayJoin'>
  /** The answer for all its readers. */
  readonly result: Promise<Answer>
}

/**
 * Keeps one flight a key under way. Readers that ask meanwhile get the same answer, or the same failure.
 *
 * A flight that may no longer be joined is replaced, not waited for:
 *   1. a fill of `k` has sent its SQL
 *   2. an invalidation touches `k`
 *   3. a reader arrives: the answer of 1 may be older than 2, so the reader starts a second fill
 *   4. the first fill ends: it must not remove the second from the map
 */
export class SingleFlight {
  readonly #flying = new Map<string, Flying>()

  get size(): number {
    return this.#flying.size
  }

  /** The flight under way for `key`, if it may be joined. */
  current(key: string): Flying | undefined {
    const flying = this.#flying.get(key)
    return flying?.flight.mayJoin() ? flying : undefined
  }

  start(key: string, flight: Pick<Flight, 'startedAt' | 'mayJoin' | 'run'>): Flying {
    const result = flight.run().finally(() => this.#flying.get(key) === flying && this.#flying.delete(key))
    const flying: Flying = { flight, result }
    this.#flying.set(key, flying)
    return flying
  }
}
