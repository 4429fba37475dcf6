// Bulkhead: fair queueing of statements for the database connections: pure.
import type { Clock } from '../clock.ts'
import { Problem } from '../errors.ts'

/** A route's share of the database. */
export interface Share {
  /** Maximum number of its statements that run at once. */
  limit: number
  /** Slots reserved for it, even when other routes are waiting. */
  reserve: number
  /** Maximum number of its waiting statements; more are rejected at once. */
  queue: number
}

export type ShedReason = 'queue-full' | 'too-late'

interface Waiting {
  deadlineAt: number
  start(): void
  shed(reason: ShedReason): void
}

interface Lane {
  share: Share
  running: number
  waiting: Waiting[]
  /** Smoothed duration of its statements, in milliseconds. */
  typicalMs: number
  /** Database time it has been charged, in milliseconds. The lane with the least goes next. */
  usedMs: number
}

/** Weight of the newest duration in the smoothed duration. */
const newestWeight = 0.2

/**
 * Decides which route's statement runs next, so that a slow route does not delay the others. Pure except for its clock.
 *
 * - A statement starts if its route is below its limit, and either below its reserve or more slots are free than other
 *   routes have reserved.
 * - Among waiting statements, the route with the least database time goes next: start-time fair queueing (Goyal, Vin
 *   and Cheng, 1996). The effect is that of deficit round-robin, without a quantum to choose. Within a route: first
 *   come, first served.
 * - A statement that cannot start in time is rejected on arrival, not at its deadline. A waiting statement is rejected
 *   at its deadline.
 */
export class Bulkhead {
  readonly #slots: number
  readonly #clock: Clock
  readonly #shed: (route: string, reason: ShedReason) => void
  readonly #lanes = new Map<string, Lane>()
  #running = 0
  /**
   * `usedMs` of the lane that went last. A lane that is new, or was idle, starts there, so that it has no time to catch
   * up on.
   */
  #lastUsedMs = 0

  constructor(slots: number, clock: Clock, shed: (route: string, reason: ShedReason) => void) {
    this.#slots = slots
    this.#clock = clock
    this.#shed = shed
  }

  get running(): number {
    return this.#running
  }

  get waiting(): number {
    let count = 0
    for (const lane of this.#lanes.values()) count += lane.waiting.length
    return count
  }

  /**
   * Throws the `shed` that would reject a statement of `route` now, if it had to start by `deadlineAt` on the clock.
   */
  admit(route: string, share: Share, deadlineAt: number): void {
    const lane = this.#laneOf(route, share)
    if (this.#isNext(lane)) return
    if (lane.waiting.length >= lane.share.queue) throw this.#refused(route, 'queue-full')
    if (this.#clock.now() + this.#expectedWaitMs(lane) > deadlineAt) throw this.#refused(route, 'too-late')
  }

  /**
   * Waits for a slot, at most until `deadlineAt` on the clock. Resolves to a function that returns the slot; call it
   * once. Rejects with `shed` when the queue is full, or when no slot will be free in time.
   */
  async enter(route: string, share: Share, deadlineAt: number): Promise<() => void> {
    this.admit(route, share, deadlineAt)
    const lane = this.#laneOf(route, share)
    if (lane.running === 0 && lane.waiting.length === 0) lane.usedMs = Math.max(lane.usedMs, this.#lastUsedMs)
    if (this.#isNext(lane)) return this.#start(lane)
    const { promise, resolve, reject } = Promise.withResolvers<() => void>()
    const shed = (reason: ShedReason) => reject(this.#refused(route, reason))
    this.#wait(lane, { deadlineAt, start: () => resolve(this.#start(lane)), shed })
    return promise
  }

  #isNext(lane: Lane): boolean {
    return lane.waiting.length === 0 && this.#mayStart(lane)
  }

  #refused(route: string, reason: ShedReason): Problem {
    this.#shed(route, reason)
    return new Problem('shed', reasons[reason])
  }

  /** Whether a statement of `route` could start now, with nothing waiting, and leave one slot free. */
  hasSpare(route: string, share: Share): boolean {
    const lane = this.#laneOf(route, share)
    return this.waiting === 0 && this.#mayStart(lane) && this.#unreserved(lane) > 1
  }

  #laneOf(route: string, share: Share): Lane {
    const known = this.#lanes.get(route)
    if (known !== undefined) {
      known.share = share // a reload may have changed it
      return known
    }
    const lane: Lane = { share, running: 0, waiting: [], typicalMs: 0, usedMs: this.#lastUsedMs }
    this.#lanes.set(route, lane)
    return lane
  }

  #mayStart(lane: Lane): boolean {
    if (this.#running >= this.#slots || lane.running >= lane.share.limit) return false
    return lane.running < lane.share.reserve || this.#unreserved(lane) > 0
  }

  /** Free slots that are not reserved for other lanes. */
  #unreserved(lane: Lane): number {
    let unreserved = this.#slots - this.#running
    for (const other of this.#lanes.values()) {
      if (other !== lane) unreserved -= Math.max(0, other.share.reserve - other.running)
    }
    return unreserved
  }

  /** Expected wait of a statement that arrives now: the statements ahead of it, divided by the slots of its route. */
  #expectedWaitMs({ waiting, typicalMs, share, running }: Lane): number {
    const ahead = waiting.length + 1
    return (ahead * typicalMs) / Math.max(1, Math.min(share.limit, Math.max(running, share.reserve)))
  }

  #wait(lane: Lane, entry: Waiting): void {
    const cancel = this.#clock.after(Math.max(0, entry.deadlineAt - this.#clock.now()), () => {
      lane.waiting.splice(lane.waiting.indexOf(entry), 1)
      entry.shed('too-late')
    })
    const { start } = entry
    entry.start = () => {
      cancel()
      start()
    }
    lane.waiting.push(entry)
  }

  #start(lane: Lane): () => void {
    const startedAt = this.#clock.now()
    this.#lastUsedMs = Math.max(this.#lastUsedMs, lane.usedMs)
    lane.usedMs += lane.typicalMs
    lane.running += 1
    this.#running += 1
    const charged = lane.typicalMs
    return () => {
      const tookMs = this.#clock.now() - startedAt
      lane.usedMs += tookMs - charged
      lane.typicalMs = lane.typicalMs === 0 ? tookMs : lane.typicalMs + (tookMs - lane.typicalMs) * newestWeight
      lane.running -= 1
      this.#running -= 1
      this.#startNext()
    }
  }

  #startNext(): void {
    for (;;) {
      let next: Lane | undefined
      for (const lane of this.#lanes.values()) {
        if (lane.waiting.length > 0 && this.#mayStart(lane) && (next === undefined || lane.usedMs < next.usedMs))
          next = lane
      }
      if (next === undefined) return
      next.waiting.shift()?.start()
    }
  }
}

const reasons: Record<ShedReason, string> = {
  'queue-full': 'Queue full: too many requests of this route are waiting. Retry after the time in Retry-After.',
  'too-late': 'No database connection would be free in time. Retry after the time in Retry-After.',
}
