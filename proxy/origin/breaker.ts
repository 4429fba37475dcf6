// Circuit breaker: pure.
import type { Clock } from '../clock.ts'
import type { BreakerState } from '../observation.ts'

/** The outcome of one request through the breaker. `ignored`: it says nothing about the guarded service. */
export type BreakerOutcome = 'ok' | 'slow' | 'failed' | 'ignored'

export interface BreakerLimits {
  /** Minimum number of outcomes within `windowMs` before they are evaluated. */
  samples: number
  windowMs: number
  /** The shares of failed and slow outcomes, 0 to 1, at which the breaker opens. */
  failedShare: number
  slowShare: number
  /** How long it stays open: the first time, and at most. Each failed trial doubles it. */
  openMs: number
  longestMs: number
  /** A trial that has no outcome after this time counts as failed. */
  tryMs: number
}

const none: Readonly<Record<BreakerOutcome, number>> = { ok: 0, failed: 0, slow: 0, ignored: 0 }

/** The reason for an opening after which the circuit had not been closed. */
export const trialFailed = 'the trial statement failed'

/**
 * Stops requests to a service that mostly fails or is mostly slow.
 *
 * `enter` says whether a request may proceed; a request that may must report its outcome to `leave`. While the breaker
 * is open no request may proceed. After that one trial request may, and all others wait for its outcome, so that no
 * herd arrives. A trial without an outcome counts as failed:
 *   1. the breaker is half-open, one trial is in flight
 *   2. the trial hangs, and its caller is gone
 *   3. without a timer no request would ever be let through again
 * Outcomes of requests that entered before a change of state are ignored.
 */
export class Breaker {
  readonly #limits: BreakerLimits
  readonly #clock: Clock
  readonly #changed: (state: BreakerState, why?: string) => void
  #state: BreakerState = 'closed'
  /** The latest outcomes, oldest first, and their number by kind. */
  #outcomes: { at: number; outcome: BreakerOutcome }[] = []
  #counts = { ...none }
  #openUntil = 0
  #openMs: number
  /** Incremented by each change of state. */
  #term = 0
  #cancelTry = () => {}

  /** `changed` is called with each new state, and with the reason when it opens. */
  constructor(limits: BreakerLimits, clock: Clock, changed: (state: BreakerState, why?: string) => void) {
    this.#limits = limits
    this.#clock = clock
    this.#changed = changed
    this.#openMs = limits.openMs
  }

  get state(): BreakerState {
    return this.#state
  }

  /** Milliseconds until a trial may enter; 0 if a request may enter now. */
  get waitMs(): number {
    return this.#state === 'open' ? Math.max(0, this.#openUntil - this.#clock.now()) : 0
  }

  /** Whether `enter` would let a request through now. */
  get mayEnter(): boolean {
    return this.#state !== 'half-open' && this.waitMs === 0
  }

  /** A term to pass to `leave`, or nothing if the request may not proceed. */
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
    // A success opens nothing: when older ones leave the window, the share of failures of a past fault rises again.
    if (outcome === 'ok' || all < samples) return
    const { failed, slow } = this.#counts
    if (failed / all >= failedShare || slow / all >= slowShare)
      this.#open(this.#limits.openMs, `${failed} of ${all} statements failed, ${slow} were slow`)
  }

  #judgeTry(outcome: BreakerOutcome): void {
    this.#cancelTry()
    if (outcome === 'ignored') {
      // The trial gave no information: another may start at once.
      this.#openUntil = this.#clock.now()
      return void this.#become('open')
    }
    if (outcome === 'ok') return void this.#become('closed')
    this.#open(Math.min(this.#openMs * 2, this.#limits.longestMs), trialFailed)
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
