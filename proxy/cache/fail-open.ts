import type { Clock } from '../clock.ts'
import type { Observe } from '../observation.ts'
import type { Tier } from './tier.ts'

export interface FailOpenTier extends Tier {
  /** Whether the tier is passed by. */
  readonly isOpen: boolean
  /** Whether the last answer was a failure: whoever has just met it has paid one deadline, and need not pay another. */
  readonly isFailing: boolean
  /** Runs something else that asks the same server, under the same limits; `otherwise` where that cannot be done. */
  guard<T>(run: () => Promise<T>, otherwise: T): Promise<T>
}

export interface Limits {
  /** The most one operation may take, in milliseconds. */
  deadlineMs: number
  /** Failures in a row after which the tier is left alone. */
  failuresToOpen: number
  /** For how long it is left alone, in milliseconds. */
  openMs: number
}

// A timer that fires this much late says that this process was busy, not that the tier is slow.
const lateMs = 50

/**
 * Lets reads go on when `tier` cannot answer.
 *
 * A `get` that fails or outlasts `deadlineMs` is a miss; a `set` that fails is dropped. Both are observed. After
 * `failuresToOpen` in a row the tier is not asked at all for `openMs`, so that a dead Redis costs a request nothing instead
 * of one deadline each; then the first operation tries it again, while the others still pass it by. A deadline whose own
 * timer fired late is not held against the tier.
 */
export function failOpen(tier: Tier, limits: Limits, clock: Clock, observe: Observe): FailOpenTier {
  let failures = 0
  let isOpen = false
  let openUntil = 0
  let isTrying = false
  /** Raised by each opening: what was asked before one says nothing about the time after it. */
  let openings = 0

  function succeeded(): void {
    failures = 0
    if (isOpen) observe({ kind: 'tier-back', tier: tier.name })
    isOpen = false
  }

  function failed(): void {
    failures += 1
    if (failures < limits.failuresToOpen) return
    if (!isOpen) observe({ kind: 'tier-bypassed', tier: tier.name, forMs: limits.openMs })
    isOpen = true
    openings += 1
    openUntil = clock.now() + limits.openMs
  }

  async function guarded<T>(operation: 'get' | 'set' | 'lease', run: () => T | Promise<T>, otherwise: T): Promise<T> {
    const isTry = isOpen
    if (isTry && (isTrying || clock.now() < openUntil)) return otherwise
    if (isTry) isTrying = true
    const asked = openings
    try {
      const result = await within(limits.deadlineMs, clock, run)
      if (asked === openings) succeeded()
      return result
    } catch (error) {
      const isTimeout = error instanceof Outlasted
      observe({ kind: 'tier-error', tier: tier.name, operation, reason: isTimeout ? 'timeout' : 'error', error })
      if (asked === openings && !(isTimeout && error.isOurFault)) failed()
      return otherwise
    } finally {
      if (isTry) isTrying = false
    }
  }

  return {
    name: tier.name,
    get isOpen() {
      return isOpen
    },
    get isFailing() {
      return failures > 0
    },
    guard: (run, otherwise) => guarded('lease', run, otherwise),
    get: (key) => guarded('get', () => tier.get(key), undefined),
    set: (key, entry, keepMs) => guarded('set', () => tier.set(key, entry, keepMs), false),
  }
}

/** A deadline passed; `isOurFault` when this process was too busy to say whose delay it was. */
class Outlasted extends Error {
  readonly isOurFault: boolean
  constructor(deadlineMs: number, isOurFault: boolean) {
    super(`no answer within ${deadlineMs} ms`)
    this.isOurFault = isOurFault
  }
}

/**
 * The result of `run`, or a rejection once `deadlineMs` have passed; what comes later than that is let go.
 *
 * A timer that fires late finds an answer that may have been here for a while, and has not been read because this process was busy:
 * it is given another `lateMs`, once, to be read.
 */
function within<T>(deadlineMs: number, clock: Clock, run: () => T | Promise<T>): Promise<T> {
  const begun = clock.now()
  return new Promise((resolve, reject) => {
    const isOurFault = () => clock.now() - begun > deadlineMs + lateMs
    const tooLate = () => reject(new Outlasted(deadlineMs, isOurFault()))
    let cancel = clock.after(deadlineMs, () => {
      if (!isOurFault()) return tooLate()
      cancel = clock.after(lateMs, tooLate)
    })
    const ended = () => cancel()
    // A failure that late is one too: another timer of this process was quicker to run than the answer to be read.
    const failed = (error: unknown) => reject(isOurFault() ? new Outlasted(deadlineMs, true) : error)
    Promise.try(run).then(resolve, failed).then(ended)
  })
}
