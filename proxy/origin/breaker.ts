// A circuit breaker: pure.
import type { Clock } from '../clock.ts'
import type { BreakerState } from '../observation.ts'

/** What came of one piece of work. `ignored`: it says nothing of the one it was asked of. */
export type BreakerOutcome = 'ok' | 'slow' | 'failed' | 'ignored'

export interface BreakerLimits {
  /** Outcomes within `windowMs` before any of them is judged. */
  samples: number
  windowMs: number
  /** Shares of the outcomes, 0 to 1, from which on it opens. */
  failedShare: number
  slowShare: number
  /** For how long it stays open: the first time, and at most; each failed try doubles it. */
  openMs: number
  longestMs: number
  /** After which a try that has not come back counts as failed. */
  tryMs: number
}

const none: Readonly<Record<BreakerOutcome, number>> = { ok: 0, failed: 0, slow: 0, ignored: 0 }

/**
 * Leaves alone what fails, or is slow, most of the time.
 *
 * `enter` says whether one may ask; whoever may, has to tell `leave` what came of it. While it is open nobody may; after that one
 * is let through, and all others wait for what comes of it: not a herd. A try that never comes back is a failed one:
 *   1. the breaker is half-open, one try is under way
 *   2. the try hangs, and its caller is gone
 *   3. without a timer nobody would ever be let through again
 * An answer to what was asked before it opened changes nothing.
 */
export class Breaker {
  readonly #limits: BreakerLimits
  readonly #clock: Clock
  readonly #changed: (state: BreakerState, why?: string) => void
  #state: BreakerState = 'closed'
  /** The latest, oldest first, and how many there are of each kind. */
  #outcomes: { at: number; outcome: BreakerOutcome }[] = []
  #counts = { ...none }
  #openUntil = 0
  #openMs: number
  /** Raised by each change of state. */
  #term = 0
  #cancelTry = () => {}

  /** `changed` is told each new state, and why it opened. */
  constructor(limits: BreakerLimits, clock: Clock, changed: (state: BreakerState, why?: string) => void) {
    this.#limits = limits
    this.#clock = clock
    this.#changed = changed
    this.#openMs = limits.openMs
  }

  get state(): BreakerState {
    return this.#state
  }

  /** Milliseconds until one may be let through again; 0 when one may be now. */
  get waitMs(): number {
    return this.#state === 'open' ? Math.max(0, this.#openUntil - this.#clock.now()) : 0
  }

  /** Whether `enter` would let one through now. */
  get mayEnter(): boolean {
    return this.#state !== 'half-open' && this.waitMs === 0
  }

  /** A term to give to `leave`, or nothing: it may not be asked now. */
  enter(): number | undefined {
    if (!this.mayEnter) return undefined
    if (this.#state === 'open') {
      this.#become('half-open')
      const term = this.#term
      this.#cancelTry = this.#clock.after(this.#limits.tryMs, () => this.leave(term, 'failed'))
    }
    return this.#term
  }

  leave(term: number, outcome: BreakerOutcome): void {
    if (term !== this.#term) return
    if (this.#state === 'half-open') return void this.#judgeTry(outcome)
    if (outcome === 'ignored') return
    const { samples, windowMs, failedShare, slowShare } = this.#limits
    const now = this.#clock.now()
    this.#outcomes.push({ at: now, outcome })
    this.#counts[outcome] += 1
    for (let [oldest] = this.#outcomes; oldest !== undefined; [oldest] = this.#outcomes) {
      if (now - oldest.at < windowMs && this.#outcomes.length <= samples * 5) break
      this.#outcomes.shift()
      this.#counts[oldest.outcome] -= 1
    }
    const all = this.#outcomes.length
    if (all < samples) return
    const { failed, slow } = this.#counts
    if (failed / all >= failedShare || slow / all >= slowShare)
      this.#open(this.#limits.openMs, `${failed} of ${all} failed, ${slow} were slow`)
  }

  #judgeTry(outcome: BreakerOutcome): void {
    this.#cancelTry()
    if (outcome === 'ignored') {
      // It told nothing: the next may try at once.
      this.#openUntil = this.#clock.now()
      return void this.#become('open')
    }
    if (outcome === 'ok') return void this.#become('closed')
    this.#open(Math.min(this.#openMs * 2, this.#limits.longestMs), 'a try failed')
  }

  #open(ms: number, why: string): void {
    this.#openMs = ms
    this.#openUntil = this.#clock.now() + ms
    this.#become('open', why)
  }

  #become(state: BreakerState, why?: string): void {
    this.#state = state
    this.#term += 1
    this.#outcomes = []
    this.#counts = { ...none }
    this.#changed(state, why)
  }
}
