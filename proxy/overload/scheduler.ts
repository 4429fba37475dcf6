// Work begins in slices of 10 ms, between which the event loop turns.
import type { Clock } from '../clock.ts'

/** For so long at a time work is begun, in milliseconds. */
const timeSliceMs = 10

/**
 * Has work begin in slices of ten milliseconds, between which the event loop turns: what Redis and PostgreSQL have answered is read, timers
 * run, connections are accepted. What comes when there is no time left waits, in the order of coming; what has begun goes on before.
 *
 * Without it a turn takes as long as all that has been asked meanwhile: a hundred milliseconds and more in a process that has much to do.
 * The database is idle then, for each of its connections is given one statement a turn.
 */
export class Scheduler {
  readonly #clock: Clock
  readonly #nextTurn: (run: () => void) => void
  readonly #coming = new FifoQueue()
  readonly #goingOn = new FifoQueue()
  #startedAt = Number.NEGATIVE_INFINITY
  #isTurnAsked = false

  /** `nextTurn` runs something once what has come meanwhile has been read. */
  constructor(clock: Clock, nextTurn: (run: () => void) => void = setImmediate) {
    this.#clock = clock
    this.#nextTurn = nextTurn
  }

  /** How long the next one that comes has waited, in milliseconds; 0 when none waits. */
  get waitedMs(): number {
    const since = this.#coming.firstSince
    return since === undefined ? 0 : this.#clock.now() - since
  }

  /** Whether what comes at `now` may begin at once. That a slice is over is known by its time alone: a turn is asked for only where something waits. */
  mayBegin(now: number): boolean {
    return now - this.#startedAt < timeSliceMs && this.#coming.isEmpty && this.#goingOn.isEmpty
  }

  /** Has `begin` called in its turn; to be called when it may not begin at once. */
  wait(now: number, begin: () => void): void {
    this.#coming.push(now, begin)
    this.#ask()
  }

  /** For what has begun and goes on: nothing when it may at once, else resolves in its turn. */
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
      await undefined // what that has made ready is part of it
    }
    this.#isTurnAsked = false
    if (!this.#goingOn.isEmpty || !this.#coming.isEmpty) this.#ask()
  }
}

/** First come, first served, at a price that does not depend on how many wait. */
class FifoQueue {
  #waiting: { since: number; begin: () => void }[] = []
  /** Of those waiting, how many have been taken. */
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
    // Not one by one: each time, all that still wait are moved.
    if (this.#taken * 2 >= this.#waiting.length) {
      this.#waiting = this.#waiting.slice(this.#taken)
      this.#taken = 0
    }
    return first.begin
  }
}
