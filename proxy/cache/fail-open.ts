// Fail-open: a tier that fails or is slow is a miss, and then bypassed (circuit breaker).
import type { Clock } from '../clock.ts'
import type { Observe } from '../observation.ts'
import type { Entry } from './entry.ts'
import type { Key } from './key.ts'
import type { Tier } from './tier.ts'

export interface FailOpenLimits {
  /** Deadline of one operation, in milliseconds. */
  deadlineMs: number
  /** Failures in a row that open the circuit. While it is open, the tier is bypassed. */
  failuresToOpen: number
  /** How long the circuit stays open, in milliseconds. */
  openMs: number
  /** Whether the event loop of this process has recently been late. */
  isLate(): boolean
}

// Milliseconds. A timer that fires this much late shows that this process was late, not that the tier is slow.
const lateMs = 50
/** Longest wait of a late process for one operation, in milliseconds. */
const longestMs = 1000

/**
 * A tier that never rejects, around one that may.
 *
 * A `get` that fails or exceeds `deadlineMs` is a miss; a `set` that fails is dropped. Both are observed. After
 * `failuresToOpen` failures in a row the circuit opens: the tier is bypassed for `openMs`. So a dead Redis costs a
 * request nothing, instead of one deadline. Then one operation tries the tier, while the others still bypass it. A
 * deadline that passes while this process is late does not count as a failure of the tier.
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
  /** Incremented by each opening: the result of an operation that began before an opening says nothing about the time after it. */
  #openings = 0
  #answeredAt = Number.NEGATIVE_INFINITY
  /** When the operation began whose timeout was counted last. */
  #countedFrom = Number.NEGATIVE_INFINITY

  constructor(tier: Tier, limits: FailOpenLimits, clock: Clock, observe: Observe) {
    this.name = tier.name
    this.label = tier.label
    this.#tier = tier
    this.#limits = limits
    this.#clock = clock
    this.#observe = observe
  }

  /** Whether the circuit is open: the tier is bypassed. */
  get isOpen(): boolean {
    return this.#isOpen
  }

  /** Whether the last operation failed. A request that has just paid one deadline can skip the next operation. */
  get isFailing(): boolean {
    return this.#failures > 0
  }

  get(key: Key): Promise<Entry | undefined> {
    if (this.#tier.isUsable === false) return Promise.resolve(undefined)
    return this.#guard('get', () => this.#tier.get(key), undefined)
  }

  set(key: Key, entry: Entry, keepMs: number): Promise<boolean> {
    if (this.#tier.isUsable === false) return Promise.resolve(false)
    return this.#guard('set', () => this.#tier.set(key, entry, keepMs), false)
  }

  /** Runs another operation on the same server, under the same limits. Resolves to `otherwise` if it fails or is bypassed. */
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

  /**
   * Counts a failure of an operation that began at `begun`. Operations that began together time out together: that is
   * one pause of the server, not several failures.
   */
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

/** A deadline passed. `isOurFault`: this process was late, so the delay may be its own. */
class Outlasted extends Error {
  readonly isOurFault: boolean
  constructor(deadlineMs: number, isOurFault: boolean) {
    super(`no answer within ${deadlineMs} ms`)
    this.isOurFault = isOurFault
  }
}

/**
 * The result of `run`, or a rejection once `deadlineMs` have passed. A later result is ignored.
 *
 * In a late process the answer may have arrived and not been read yet, so the operation gets another `lateMs`. It gets
 * that again while the process stays late and the tier answers other operations (`isAnswering`), up to `longestMs` in
 * all. The alternative, a query of the database, is more work for a process that has too much already. A server answers
 * requests in order, so this answer is on its way.
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
    // A failure in a late process may be its own fault too: another of its timers ran before the answer was read.
    const failed = (error: unknown) => reject(isOurFault() ? new Outlasted(deadlineMs, true) : error)
    Promise.try(run).then(resolve, failed).then(ended)
  })
}
