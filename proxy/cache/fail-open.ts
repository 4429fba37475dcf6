// Lets reads go on when a tier cannot answer.
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

export interface FailOpenLimits {
  /** The most one operation may take, in milliseconds. */
  deadlineMs: number
  /** Failures in a row after which the tier is left alone. */
  failuresToOpen: number
  /** For how long it is left alone, in milliseconds. */
  openMs: number
  /** Whether this process has been late with its own work in the last moments. */
  isLate(): boolean
}

// A timer that fires this much late says that this process was busy, not that the tier is slow.
const lateMs = 50
/** The most that is waited for an answer on its way to a process that is late, in milliseconds. */
const longestMs = 1000

/**
 * Lets reads go on when `tier` cannot answer.
 *
 * A `get` that fails or outlasts `deadlineMs` is a miss; a `set` that fails is dropped. Both are observed. After
 * `failuresToOpen` in a row the tier is not asked at all for `openMs`, so that a dead Redis costs a request nothing instead
 * of one deadline each; then the first operation tries it again, while the others still pass it by. A deadline that passes
 * while this process is late is not held against the tier.
 */
export function failOpen(tier: Tier, limits: FailOpenLimits, clock: Clock, observe: Observe): FailOpenTier {
  let failures = 0
  let isOpen = false
  let openUntil = 0
  let isTrying = false
  /** Raised by each opening: what was asked before one says nothing about the time after it. */
  let openings = 0
  let answeredAt = Number.NEGATIVE_INFINITY
  /** When that was asked whose timeout was counted last. */
  let countedFrom = Number.NEGATIVE_INFINITY

  function succeeded(): void {
    answeredAt = clock.now()
    countedFrom = Number.NEGATIVE_INFINITY
    failures = 0
    if (isOpen) observe({ kind: 'tier-back', tier: tier.name, label: tier.label })
    isOpen = false
  }

  function failed(): void {
    failures += 1
    if (failures < limits.failuresToOpen) return
    if (!isOpen) observe({ kind: 'tier-bypassed', tier: tier.name, label: tier.label, forMs: limits.openMs })
    isOpen = true
    openings += 1
    openUntil = clock.now() + limits.openMs
  }

  async function guarded<T>(operation: 'get' | 'set' | 'lease', run: () => T | Promise<T>, otherwise: T): Promise<T> {
    const isTry = isOpen
    if (isTry && (isTrying || clock.now() < openUntil)) return otherwise
    if (isTry) isTrying = true
    const asked = openings
    const begun = clock.now()
    // What is asked at the same moment fails at the same moment: that is one pause of the server, not several failures.
    const isCounted = () => begun - countedFrom >= limits.deadlineMs / limits.failuresToOpen
    try {
      const result = await within(limits, clock, () => answeredAt > begun, run)
      if (asked === openings) succeeded()
      return result
    } catch (error) {
      const isTimeout = error instanceof Outlasted
      observe({ kind: 'tier-error', tier: tier.name, operation, reason: isTimeout ? 'timeout' : 'error', error })
      if (asked !== openings || (isTimeout && (error.isOurFault || !isCounted()))) return otherwise
      if (isTimeout) countedFrom = begun
      failed()
      return otherwise
    } finally {
      if (isTry) isTrying = false
    }
  }

  return {
    name: tier.name,
    label: tier.label,
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
 * To a process that is late an answer may have come a while ago, and not have been read: it is given another `lateMs`. And as long
 * as the process stays late and the tier answers others (`isAnswering`), it is given that again: what would be done instead, to ask the
 * database, is more work for a process that has too much. A server answers in the order it was asked, so ours is on its way.
 */
function within<T>(
  { deadlineMs, isLate }: FailOpenLimits,
  clock: Clock,
  isAnswering: () => boolean,
  run: () => T | Promise<T>,
): Promise<T> {
  const begun = clock.now()
  let dueAt = begun + deadlineMs
  let wasLate = false
  return new Promise((resolve, reject) => {
    const isOurFault = () => wasLate || clock.now() - dueAt > lateMs || isLate()
    const due = () => {
      const now = clock.now()
      const mayWait = !wasLate || (isAnswering() && now - begun < longestMs)
      const isLateNow = now - dueAt > lateMs || isLate()
      if (!isLateNow || !mayWait) return reject(new Outlasted(deadlineMs, isOurFault()))
      wasLate = true
      dueAt = now + lateMs
      cancel = clock.after(lateMs, due)
    }
    let cancel = clock.after(deadlineMs, due)
    const ended = () => cancel()
    // A failure that late is one too: another timer of this process was quicker to run than the answer to be read.
    const failed = (error: unknown) => reject(isOurFault() ? new Outlasted(deadlineMs, true) : error)
    Promise.try(run).then(resolve, failed).then(ended)
  })
}
