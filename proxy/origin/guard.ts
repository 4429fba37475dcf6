// Protects it: breakers, then the bulkhead.
import type { Clock } from '../clock.ts'
import { Problem } from '../errors.ts'
import type { BreakerState, Observe } from '../observation.ts'
import { routeTag } from '../tags.ts'
import { Breaker, type BreakerLimits, type BreakerOutcome } from './breaker.ts'
import { Bulkhead, type Share } from './bulkhead.ts'
import type { Inspection, Origin, OriginAnswer, Query, Values } from './origin.ts'

export interface Guards {
  /** Statements at once, over all routes. */
  slots: number
  /** The most a statement waits for its slot, in milliseconds: less than its reader does, by what it may then take itself. */
  waitMs: number
  /** The most a statement takes, in milliseconds; from half of that on it is slow. */
  statementMs: number
  /** Whether this process has more to do than it can. */
  isOverloaded(): boolean
}

/** What a route may have of the slots unless it says otherwise: one alone never has them all. */
const usualLimitShare = 0.6

/** A database that is gone is noticed by the first few, and tried by one every half second to five. */
const ofOrigin = { samples: 3, windowMs: 10_000, failedShare: 0.5, slowShare: 2, openMs: 500, longestMs: 5000 }
/** A statement that has gone bad is noticed over some more of them, and left alone for longer. */
const ofRoute = { samples: 20, windowMs: 10_000, failedShare: 0.5, slowShare: 0.8, openMs: 1000, longestMs: 30_000 }

/**
 * Protects `origin` from more work than it can do, and those who ask from waiting for what will not come.
 *
 * In a process that is too busy for its own work nothing is asked at all: what is held is served on, and that is most of it. Else a
 * statement first passes the breakers (of the database, and of its route), then waits for its slot in the bulkhead, and
 * passes the breakers again: they may have opened meanwhile. Lost connections count against the database; those and timeouts
 * count against the route. What the server says of a statement itself counts against neither.
 */
export class GuardedOrigin implements Origin {
  readonly #origin: Origin
  readonly #guards: Guards
  readonly #clock: Clock
  readonly #observe: Observe
  readonly #bulkhead: Bulkhead
  readonly #usualLimit: number
  readonly #database: Breaker
  readonly #routes = new Map<string, Breaker>()

  constructor(origin: Origin, guards: Guards, clock: Clock, observe: Observe) {
    this.#origin = origin
    this.#guards = guards
    this.#clock = clock
    this.#observe = observe
    this.#bulkhead = new Bulkhead(guards.slots, clock, (route, reason) => observe({ kind: 'shed', route, reason }))
    this.#usualLimit = Math.ceil(guards.slots * usualLimitShare)
    this.#database = this.#newBreaker('origin', ofOrigin)
  }

  #newBreaker(name: string, limits: Omit<BreakerLimits, 'tryMs'>): Breaker {
    const tryMs = this.#guards.statementMs * 2
    return new Breaker({ ...limits, tryMs }, this.#clock, (state, why) =>
      this.#observe({ kind: 'breaker', name, state, why }),
    )
  }

  #breakerOf(route: string): Breaker {
    const known = this.#routes.get(route)
    if (known !== undefined) return known
    const breaker = this.#newBreaker(routeTag(route), ofRoute)
    this.#routes.set(route, breaker)
    return breaker
  }

  /** Whether a refresh may begin behind a reader's back while so many are under way: half of the connections are left to those who wait. */
  mayRefresh(underWay: number): boolean {
    return underWay < Math.ceil(this.#guards.slots / 2) && !this.#guards.isOverloaded()
  }

  /** Whether `query` could be run now at nobody's cost: nothing waits, a slot stays free, and nothing is being left alone. */
  isIdleFor(query: Query): boolean {
    return (
      this.#database.state === 'closed' &&
      this.#breakerOf(query.route).state === 'closed' &&
      this.#bulkhead.hasSpare(query.route, this.#shareOf(query))
    )
  }

  /** Throws the Problem that `query` would reject with at once, and counts it: there is no room for it now, or the database is left alone. */
  admit(query: Query): void {
    this.#entrance(query)
    this.#bulkhead.admit(query.route, this.#shareOf(query), this.#startBy())
  }

  async query(query: Query, values: Values, sent?: () => void): Promise<OriginAnswer> {
    const breaker = this.#entrance(query)
    const leave = await this.#bulkhead.enter(query.route, this.#shareOf(query), this.#startBy())
    try {
      return await this.#ask(breaker, query, values, sent)
    } finally {
      leave()
    }
  }

  /** The breaker of the route, where both let something through. */
  #entrance({ route }: Query): Breaker {
    if (this.#guards.isOverloaded()) {
      this.#observe({ kind: 'shed', route, reason: 'overloaded' })
      throw new Problem('shed', 'There is more to do than can be done.')
    }
    const breaker = this.#breakerOf(route)
    if (!this.#database.mayEnter || !breaker.mayEnter) throw this.#refusal(route)
    return breaker
  }

  /** Passes both breakers, and tells them what came of it. */
  async #ask(breaker: Breaker, query: Query, values: Values, sent?: () => void): Promise<OriginAnswer> {
    const term = this.#database.enter()
    const routeTerm = term === undefined ? undefined : breaker.enter()
    if (term === undefined || routeTerm === undefined) {
      if (term !== undefined) this.#database.leave(term, 'ignored')
      throw this.#refusal(query.route)
    }
    const began = this.#clock.now()
    const tell = (ofDatabase: BreakerOutcome, ofRoute: BreakerOutcome) => {
      this.#database.leave(term, ofDatabase)
      breaker.leave(routeTerm, ofRoute)
    }
    try {
      const answer = await this.#origin.query(query, values, sent)
      tell('ok', this.#clock.now() - began > this.#guards.statementMs / 2 ? 'slow' : 'ok')
      return answer
    } catch (error) {
      const code = error instanceof Problem ? error.code : undefined
      if (code === 'origin-unavailable') tell('failed', 'failed')
      else if (code === 'origin-timeout') tell('ignored', 'failed')
      else tell('ok', 'ignored')
      throw error
    }
  }

  #refusal(route: string): Problem {
    this.#observe({ kind: 'shed', route, reason: 'breaker-open' })
    return new Problem('origin-unavailable', 'The database is left alone for a moment: it has been failing.')
  }

  #shareOf({ share }: Query): Share {
    return { ...share, limit: share.limit ?? this.#usualLimit }
  }

  #startBy(): number {
    return this.#clock.now() + this.#guards.waitMs
  }

  inspect(queries: readonly Query[], privateTables: readonly string[]): Promise<Inspection> {
    return this.#origin.inspect(queries, privateTables)
  }

  warm(connections: number): Promise<void> {
    return this.#origin.warm(connections)
  }

  get connections(): Origin['connections'] {
    const { waiting, ...counts } = this.#origin.connections
    return { ...counts, waiting: waiting + this.#bulkhead.waiting }
  }

  get breakers(): { name: string; state: BreakerState }[] {
    const ofRoutes = [...this.#routes].map(([route, { state }]) => ({ name: routeTag(route), state }))
    return [{ name: 'origin', state: this.#database.state }, ...ofRoutes]
  }

  close(): Promise<void> {
    return this.#origin.close()
  }
}
