// Protects it: breakers, then the bulkhead.
import type { Clock } from '../clock.ts'
import { Problem } from '../errors.ts'
import type { Observe } from '../observation.ts'
import { routeTag } from '../tags.ts'
import { Breaker, type BreakerLimits, type Outcome } from './breaker.ts'
import { Bulkhead } from './bulkhead.ts'
import type { Origin, Query } from './origin.ts'

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

export interface GuardedOrigin extends Origin {
  readonly breakers: { name: string; state: Breaker['state'] }[]
  /** Throws the Problem that `query` would reject with at once, and counts it: there is no room for it now, or the database is left alone. */
  admit(query: Query): void
  /** Whether `query` could be run now at nobody's cost: nothing waits, a slot stays free, and nothing is being left alone. */
  isIdleFor(query: Query): boolean
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
export function guard(origin: Origin, guards: Guards, clock: Clock, observe: Observe): GuardedOrigin {
  const bulkhead = new Bulkhead(guards.slots, clock, (route, reason) => observe({ kind: 'shed', route, reason }))
  const usualLimit = Math.ceil(guards.slots * usualLimitShare)
  const breakerOf = (name: string, limits: Omit<BreakerLimits, 'tryMs'>) =>
    new Breaker({ ...limits, tryMs: guards.statementMs * 2 }, clock, (state, why) =>
      observe({ kind: 'breaker', name, state, why }),
    )
  const database = breakerOf('origin', ofOrigin)
  const routes = new Map<string, Breaker>()

  function routeBreaker(route: string): Breaker {
    const known = routes.get(route)
    if (known !== undefined) return known
    const breaker = breakerOf(routeTag(route), ofRoute)
    routes.set(route, breaker)
    return breaker
  }

  function refuse(route: string): Problem {
    observe({ kind: 'shed', route, reason: 'breaker-open' })
    return new Problem('origin-unavailable', 'The database is left alone for a moment: it has been failing.')
  }

  /** The breaker of the route, where both let something through. */
  function entrance({ route }: Query): Breaker {
    if (guards.isOverloaded()) {
      observe({ kind: 'shed', route, reason: 'overloaded' })
      throw new Problem('shed', 'There is more to do than can be done.')
    }
    const own = routeBreaker(route)
    if (!database.mayEnter || !own.mayEnter) throw refuse(route)
    return own
  }

  const shareOf = ({ share }: Query) => ({ ...share, limit: share.limit ?? usualLimit })

  return {
    ...origin,
    isIdleFor: (query) =>
      database.state === 'closed' &&
      routeBreaker(query.route).state === 'closed' &&
      bulkhead.hasSpare(query.route, shareOf(query)),
    admit(query) {
      entrance(query)
      bulkhead.admit(query.route, shareOf(query), clock.now() + guards.waitMs)
    },
    async query(query, values, sent) {
      const own = entrance(query)
      const share = shareOf(query)
      const leave = await bulkhead.enter(query.route, share, clock.now() + guards.waitMs)
      const term = database.enter()
      const ownTerm = term === undefined ? undefined : own.enter()
      if (term === undefined || ownTerm === undefined) {
        if (term !== undefined) database.leave(term, 'ignored')
        leave()
        throw refuse(query.route)
      }
      const began = clock.now()
      const told = (ofDatabase: Outcome, ofRoute: Outcome) => {
        database.leave(term, ofDatabase)
        own.leave(ownTerm, ofRoute)
      }
      try {
        const answer = await origin.query(query, values, sent)
        told('ok', clock.now() - began > guards.statementMs / 2 ? 'slow' : 'ok')
        return answer
      } catch (error) {
        const code = error instanceof Problem ? error.code : undefined
        if (code === 'origin-unavailable') told('failed', 'failed')
        else if (code === 'origin-timeout') told('ignored', 'failed')
        else told('ok', 'ignored')
        throw error
      } finally {
        leave()
      }
    },
    get connections() {
      const { waiting, ...counts } = origin.connections
      return { ...counts, waiting: waiting + bulkhead.waiting }
    },
    get breakers() {
      const ofRoutes = [...routes].map(([route, { state }]) => ({ name: routeTag(route), state }))
      return [{ name: 'origin', state: database.state }, ...ofRoutes]
    },
  }
}
