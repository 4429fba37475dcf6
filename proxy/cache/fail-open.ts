// Lets reads go on when a tier cannot answer.
import type { Clock } from '../clock.ts'
import type { Observe } from '../observation.ts'
import type { Entry } from './entry.ts'
import type { Key } from './key.ts'
import type { Tier } from './tier.ts'

export interface FailOpenLimits {
  /** The most one operation may take, in milliseconds. */
  deadlineMs: number
  /** Failures in a row that open the circuit: the tier is bypassed then. */
  failuresToOpen: number
  /** For how long it stays open, in milliseconds. */
  openMs: number
  /** Whether this process has been late with its own work in the last moments. */
  isLate(): boolean
}

// A timer that fires this much late says that this process was busy, not that the tier is slow.
const lateMs = 50
/** The most that is waited for an answer on its way to a process that is late, in milliseconds. */
const longestMs = 1000

/**
 * A tier that never rejects, around one that may.
 *
 * A `get` that fails or outlasts `deadlineMs` is a miss; a `set` that fails is dropped. Both are observed. After
 * `failuresToOpen` in a row the tier is not asked at all for `openMs`, so that a dead Redis costs a request nothing instead
 * of one deadline each; then the first operation tries it again, while the others still bypass it. A deadline that passes
 * while this process is late is not held against the tier.
 */
export class FailOpenTier implements Tier {
  readonly name: string
  readonly label: string
  readonly #tier: Tier
  readonly #limits: FailOpenLimits
  readonly #clock: Clock
  readonly #observe: Observe
  #failures = 0
  #isOpen = false
  #openUntil = 0
  #isTrying = false
  /** Raised by each opening: what was asked before one says nothing about the time after it. */
  #openings = 0
  #answeredAt = Number.NEGATIVE_INFINITY
  /** When that was asked whose timeout was counted last. */
  #countedFrom = Number.NEGATIVE_INFINITY

  constructor(tier: Tier, limits: FailOpenLimits, clock: Clock, observe: Observe) {
    this.name = tier.name
    this.label = tier.label
    this.#tier = tier
    this.#limits = limits
    this.#clock = clock
    this.#observe = observe
  }

  /** Whether the tier is bypassed. */
  get isOpen(): boolean {
    return this.#isOpen
  }

  /** Whether the last answer was a failure: whoever has just met it has paid one deadline, and need not pay another. */
  get isFailing(): boolean {
    return this.#failures > 0
  }

  get(key: Key): Promise<Entry | undefined> {
    return this.#guard('get', () => this.#tier.get(key), undefined)
  }

  set(key: Key, entry: Entry, keepMs: number): Promise<boolean> {
    return this.#guard('set', () => this.#tier.set(key, entry, keepMs), false)
  }

  /** Runs something else that asks the same server, under the same limits; `otherwise` where that cannot be done. */
  guard<T>(run: () => Promise<T>, otherwise: T): Promise<T> {
    return this.#guard('lease', run, otherwise)
  }

  async #guard<T>(operation: 'get' | 'set' | 'lease', run: () => T | Promise<T>, otherwise: T): Promise<T> {
    const isTry = this.#isOpen
    if (isTry && (this.#isTrying || this.#clock.now() < this.#openUntil)) return otherwise
    if (isTry) this.#isTrying = true
    const openings = this.#openings
    const begun = this.#clock.now()
    try {
      const result = await within(this.#limits, this.#clock, () => this.#answeredAt > begun, run)
      if (openings === this.#openings) this.#succeeded()
      return result
    } catch (error) {
      const reason = error instanceof Outlasted ? 'timeout' : 'error'
      this.#observe({ kind: 'tier-error', tier: this.name, operation, reason, error })
      if (openings === this.#openings) this.#failed(error, begun)
      return otherwise
    } finally {
      if (isTry) this.#isTrying = false
    }
  }

  #succeeded(): void {
    this.#answeredAt = this.#clock.now()
    this.#countedFrom = Number.NEGATIVE_INFINITY
    this.#failures = 0
    if (this.#isOpen) this.#observe({ kind: 'tier-back', tier: this.name, label: this.label })
    this.#isOpen = false
  }

  /** Counts a failure of what was asked at `begun`. What is asked at the same moment fails at the same moment: that is one pause of the server, not several failures. */
  #failed(error: unknown, begun: number): void {
    const { deadlineMs, failuresToOpen, openMs } = this.#limits
    if (error instanceof Outlasted) {
      if (error.isOurFault || begun - this.#countedFrom < deadlineMs / failuresToOpen) return
      this.#countedFrom = begun
    }
    this.#failures += 1
    if (this.#failures < failuresToOpen) return
    if (!this.#isOpen) this.#observe({ kind: 'tier-bypassed', tier: this.name, label: this.label, forMs: openMs })
    this.#isOpen = true
    this.#openings += 1
    this.#openUntil = this.#clock.now() + openMs
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
