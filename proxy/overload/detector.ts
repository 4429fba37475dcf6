// Overload detector: tells from late timers and waiting requests whether this process is overloaded.
import type { Clock } from '../clock.ts'

/** Interval between samples, in milliseconds. */
const everyMs = 20
/** A sample shows overload if its timer is late by more than this, or a request has waited longer, in milliseconds. */
const overloadedMs = 100
/** A sample counts as late if its timer is late by more than this, in milliseconds. */
const lateMs = 50
/**
 * Balance of overloaded samples over others at which the process counts as overloaded. A single pause, however long, is
 * not overload: its backlog is done quickly.
 */
const samplesToDecide = 10
/** Number of samples for which the process counts as late after a late one. */
const lateSamples = 5

/**
 * Detects overload of this process, from the lateness of its timers and from `waitedMs`, the time that the first
 * waiting request has waited to begin. Samples until stopped.
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

  /** Whether this process has more work than it can do. */
  get isOverloaded(): boolean {
    return this.#tooLate >= samplesToDecide
  }

  /** Whether this process was late a moment ago: replies may have arrived that it has not read yet. */
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
    // One step at a time in both directions: a process at its limit takes on a little work at a time, not all at once.
    this.#tooLate = isTooLate ? Math.min(samplesToDecide, this.#tooLate + 1) : Math.max(0, this.#tooLate - 1)
    this.#sinceLate = lateness > lateMs ? 0 : this.#sinceLate + 1
    this.#lookLater()
  }
}
