// Cooperative scheduler: starts work in time slices of 10 ms, between which the event loop turns.
import type { Clock } from '../clock.ts'

/** Length of a time slice, in milliseconds. */
const timeSliceMs = 10

/**
 * Starts work in time slices of 10 ms, between which the event loop turns: replies of Redis and PostgreSQL are read,
 * timers run, connections are accepted. Work that arrives when the slice is used up waits, first come, first served.
 * Work that has begun continues before new work begins.
 *
 * Without it, a turn lasts as long as all work that arrived in the previous turn: 100 ms and more in an overloaded
 * process. The database would be idle meanwhile, because each of its connections gets one statement per turn.
 */
export class Scheduler {
  readonly #clock: Clock
  readonly #nextTurn: (run: () => void) => void
  readonly #coming = new FifoQueue()
  readonly #goingOn = new FifoQueue()
  #startedAt = Number.NEGATIVE_INFINITY
  #isTurnAsked = false

  /** `nextTurn` runs a function after pending input has been read. */
  constructor(clock: Clock, nextTurn: (run: () => void) => void = setImmediate) {
    this.#clock = clock
    this.#nextTurn = nextTurn
  }

  /** How long the first waiting request has waited, in milliseconds; 0 if none waits. */
  get waitedMs(): number {
    const since = this.#coming.firstSince
    return since === undefined ? 0 : this.#clock.now() - since
  }

  /**
   * Whether work that arrives at `now` may begin at once. Only the time tells that a slice is over: a turn is requested
   * only when work waits.
   */
  mayBegin(now: number): boolean {
    return now - this.#startedAt < timeSliceMs && this.#coming.isEmpty && this.#goingOn.isEmpty
  }

  /** Calls `begin` in its turn. Use it when work may not begin at once. */
  wait(now: number, begin: () => void): void {
    this.#coming.push(now, begin)
    this.#ask()
  }

  /**
   * For work that has begun and continues: nothing if it may continue at once, otherwise a promise that resolves in its
   * turn.
   */
  turn(): Promise<void> | undefined {
    const now = this.#clock.now()
    if (now - this.#startedAt < timeSliceMs && this.#goingOn.isEmpty) return undefined
    this.#ask()
    return new Promise((resolve) => this.#goingOn.push(now, resolve))
  }

  #ask(): void {
    if (this.#isTurnAsked) return
    this.#isTurnAsked = true
    this.#nextTurn(this.#turn)
  }

  readonly #turn = async (): Promise<void> => {
    this.#startedAt = this.#clock.now()
    while (this.#clock.now() - this.#startedAt < timeSliceMs) {
      const begin = this.#goingOn.take() ?? this.#coming.take()
      if (begin === undefined) break
      begin()
      await undefined // continuations that `begin` made ready belong to it
    }
    this.#isTurnAsked = false
    if (!this.#goingOn.isEmpty || !this.#coming.isEmpty) this.#ask()
  }
}

/** First in, first out, with a cost that does not depend on the number of waiting items. */
class FifoQueue {
  #waiting: { since: number; begin: () => void }[] = []
  /** The number of items of `#waiting` that have been taken. */
  #taken = 0

  get isEmpty(): boolean {
    return this.#waiting.length === 0
  }

  get firstSince(): number | undefined {
    return this.#waiting[this.#taken]?.since
  }

  push(since: number, begin: () => void): void {
    this.#waiting.push({ since, begin })
  }

  take(): (() => void) | undefined {
    const first = this.#waiting[this.#taken]
    if (first === undefined) return undefined
    this.#taken += 1
    // Not item by item: each removal would move all remaining items.
    if (this.#taken * 2 >= this.#waiting.length) {
      this.#waiting = this.#waiting.slice(this.#taken)
      this.#taken = 0
    }
    return first.begin
  }
}
