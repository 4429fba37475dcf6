// One piece of work a key at a time.
import type { Clock } from '../clock.ts'

/** One piece of work under way for a key, and whether someone who arrives now may still share its result. */
export interface Flight<T> {
  readonly result: Promise<T>
  /** On the clock, in milliseconds. */
  readonly startedAt: number
  mayJoin(): boolean
}

/**
 * Runs one piece of work a key at a time; whoever asks meanwhile gets the same result, or the same failure.
 *
 * A flight that may no longer be joined is replaced, not waited for:
 *   1. a fill of `k` has sent its SQL
 *   2. an invalidation touches `k`
 *   3. a reader arrives: what 1 brings may be older than 2, so it starts a second fill
 *   4. the first fill ends: it must not remove the second from the map
 */
export class SingleFlight<T> {
  readonly #flights = new Map<string, Flight<T>>()
  readonly #clock: Clock

  constructor(clock: Clock) {
    this.#clock = clock
  }

  get size(): number {
    return this.#flights.size
  }

  /** The flight under way for `key` if it may be joined. */
  current(key: string): Flight<T> | undefined {
    const flight = this.#flights.get(key)
    return flight?.mayJoin() ? flight : undefined
  }

  /** Starts `work` for `key`. `mayJoin` is asked for each later arrival. */
  start(key: string, mayJoin: () => boolean, work: () => Promise<T>): Flight<T> {
    const flight: Flight<T> = {
      mayJoin,
      startedAt: this.#clock.now(),
      result: work().finally(() => this.#flights.get(key) === flight && this.#flights.delete(key)),
    }
    this.#flights.set(key, flight)
    return flight
  }
}
