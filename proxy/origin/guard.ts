// Protection of the origin: circuit breakers, then the bulkhead.
import type { Clock } from '../clock.ts'
import { Problem } from '../errors.ts'
import type { BreakerState, Observe } from '../observation.ts'
import { routeTag } from '../tags.ts'
import { Breaker, type BreakerLimits, type BreakerOutcome } from './breaker.ts'
import { Bulkhead, type Share } from './bulkhead.ts'
import type { Inspection, Origin, OriginAnswer, Query, Values } from './origin.ts'

export interface Guards {
  /** Maximum number of statements at once, over all routes. */
  slots: number
  /** Maximum time a statement waits for its slot, in milliseconds: the request's timeout less the statement's own. */
  waitMs: number
  /** Maximum duration of a statement, in milliseconds. Above half of it the statement counts as slow. */
  statementMs: number
  /** Whether this process is overloaded. */
  isOverloaded(): boolean
}

/** Share of the slots that a route without a limit may use: no single route can take them all. */
const usualLimitShare = 0.6

/** Limits for the database: a failure shows after a few statements, and a trial follows every 0.5 to 5 s. */
const ofOrigin = { samples: 3, windowMs: 10_000, failedShare: 0.5, slowShare: 2, openMs: 500, longestMs: 5000 }
/** Limits for a route: a bad statement needs more samples, and its circuit stays open longer. */
const ofRoute = { samples: 20, windowMs: 10_000, failedShare: 0.5, slowShare: 0.8, openMs: 1000, longestMs: 30_000 }

/**
 * Protects `origin` from overload, and clients from waiting for answers that will not come.
 *
 * An overloaded process sends no statements at all: it still serves cached entries, which are most of its answers.
 * Otherwise a statement passes the circuit breakers (of the database and of its route) and waits for its slot in the
 * bulkhead. Then it passes the breakers again, because they may have opened in the meantime. Lost connections count
 * against the database and the route; timeouts count against the route only. Errors in the statement itself count
 * against neither.
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

  /**
   * Whether a background refresh may start while `underWay` are running. Half of the connections stay free for waiting
   * requests.
   */
  mayRefresh(underWay: number): boolean {
    return underWay < Math.ceil(this.#guards.slots / 2) && !this.#guards.isOverloaded()
  }

  /**
   * Whether `query` could run now without delaying others: nothing waits, a slot stays free, and both circuits are
   * closed.
   */
  isIdleFor(query: Query): boolean {
    return (
      this.#database.state === 'closed' &&
      this.#breakerOf(query.route).state === 'closed' &&
      this.#bulkhead.hasSpare(query.route, this.#shareOf(query))
    )
  }

  /**
   * Throws, and counts, the Problem that would reject `query` now: overload, an open circuit, or no room in the queue.
   */
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

  /** The breaker of the route. Throws if the process is overloaded, or if a circuit is open. */
  #entrance({ route }: Query): Breaker {
    if (this.#guards.isOverloaded()) {
      this.#observe({ kind: 'shed', route, reason: 'overloaded' })
      throw new Problem('shed', 'This process is overloaded. Retry after the time in Retry-After.')
    }
    const breaker = this.#breakerOf(route)
    if (!this.#database.mayEnter || !breaker.mayEnter) throw this.#refusal(route)
    return breaker
  }

  /** Passes both breakers, and reports the outcome to them. */
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
    return new Problem(
      'origin-unavailable',
      'Circuit breaker open: such statements have failed repeatedly. Retry after the time in Retry-After.',
    )
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
