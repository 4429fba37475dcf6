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
export interface OverloadDetector {
  /** It has more to do than it can. */
  readonly isOverloaded: boolean
  /** It has just been late: what it was sent may not have been read. */
  readonly isLate: boolean
  stop(): void
}

export function detectOverload(clock: Clock, waitedMs: () => number): OverloadDetector {
  let tooLate = 0
  let sinceLate = lateSamples
  let dueAt = 0
  let cancel = () => {}
  const sample = () => {
    dueAt = clock.now() + everyMs
    cancel = clock.after(everyMs, () => {
      const lateness = clock.now() - dueAt
      const isTooLate = Math.max(lateness, waitedMs()) > overloadedMs
      // One at a time in both directions: a process at its limit takes on a little now and then, not all at once.
      tooLate = isTooLate ? Math.min(samplesToDecide, tooLate + 1) : Math.max(0, tooLate - 1)
      sinceLate = lateness > lateMs ? 0 : sinceLate + 1
      sample()
    })
  }
  sample()
  return {
    get isOverloaded() {
      return tooLate >= samplesToDecide
    },
    get isLate() {
      return sinceLate < lateSamples || clock.now() - dueAt > lateMs
    },
    stop: () => cancel(),
  }
}
