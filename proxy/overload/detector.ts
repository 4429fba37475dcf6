// Whether this process is late, or has more to do than it can.
import type { Clock } from '../clock.ts'

/** How often this process looks at itself, in milliseconds. */
const everyMs = 20
/** A look that is late by more than this, or finds a request that has waited for longer, is one of a process that has too much to do, in milliseconds. */
const overloadedMs = 100
/** A look is late by more than this, in milliseconds. */
const lateMs = 50
/** So many more looks must be too late than are not: one pause, however long, is no overload, and what has piled up meanwhile is soon done. */
const samplesToDecide = 10
/** For so many looks it counts as late after one that was. */
const lateSamples = 5

/**
 * Knows whether this process has more to do than it can, from how late its timers are and how long (`waitedMs`) the next request has waited
 * to begin. Looks until stopped.
 */
export class OverloadDetector {
  readonly #clock: Clock
  readonly #waitedMs: () => number
  #tooLate = 0
  #sinceLate = lateSamples
  #dueAt = 0
  #cancel = () => {}

  constructor(clock: Clock, waitedMs: () => number) {
    this.#clock = clock
    this.#waitedMs = waitedMs
    this.#lookLater()
  }

  /** It has more to do than it can. */
  get isOverloaded(): boolean {
    return this.#tooLate >= samplesToDecide
  }

  /** It has just been late: what it was sent may not have been read. */
  get isLate(): boolean {
    return this.#sinceLate < lateSamples || this.#clock.now() - this.#dueAt > lateMs
  }

  stop(): void {
    this.#cancel()
  }

  #lookLater(): void {
    this.#dueAt = this.#clock.now() + everyMs
    this.#cancel = this.#clock.after(everyMs, () => this.#look())
  }

  #look(): void {
    const lateness = this.#clock.now() - this.#dueAt
    const isTooLate = Math.max(lateness, this.#waitedMs()) > overloadedMs
    // One at a time in both directions: a process at its limit takes on a little now and then, not all at once.
    this.#tooLate = isTooLate ? Math.min(samplesToDecide, this.#tooLate + 1) : Math.max(0, this.#tooLate - 1)
    this.#sinceLate = lateness > lateMs ? 0 : this.#sinceLate + 1
    this.#lookLater()
  }
}
