// What a request for a route, or the warming at the start, asks of the cache.
import type { Read } from '../../cache/answer.ts'
import type { Params } from '../../cache/key.ts'
import { Problem } from '../../errors.ts'
import type { GuardedOrigin } from '../../origin/guard.ts'
import type { Route } from './route.ts'
import type { RouteTable } from './table.ts'

/**
 * Makes every Read there is. A route may be looked at again between a Read's making and its fill: then its tags are those of what the route
 * reads by now, and a route that is closed by now is refused.
 */
export class RouteReads {
  readonly #routes: () => RouteTable
  readonly #origin: Pick<GuardedOrigin, 'query' | 'admit'>

  /** `routes`: the table of the moment. */
  constructor(routes: () => RouteTable, origin: Pick<GuardedOrigin, 'query' | 'admit'>) {
    this.#routes = routes
    this.#origin = origin
  }

  /** What `params` ask of `route`. Throws `origin-unavailable` where the route is closed. */
  of(route: Route, params: Params): Read {
    mustBeOpen(route)
    return {
      key: route.key(params),
      route: route.name,
      tags: () => this.#asOfNow(route).tags(params),
      lifetime: route.lifetime,
      admit: () => this.#origin.admit(route.query),
      load: (sent) => this.#load(route, params, sent),
    }
  }

  async #load(route: Route, params: Params, sent: () => void) {
    mustBeOpen(this.#asOfNow(route))
    const loaded = await this.#origin.query(route.query, params, sent)
    mustBeOpen(this.#asOfNow(route)) // what it reads may have been defined anew meanwhile
    return loaded
  }

  /** `route` as the database last saw it, which may have been after it was found for a request. */
  #asOfNow(route: Route): Route {
    const now = this.#routes().byName.get(route.name)
    return now?.query.version === route.query.version ? now : route
  }
}

/** Throws `origin-unavailable` where the route is closed. */
export function mustBeOpen({ closed }: Route): void {
  if (closed !== undefined) throw new Problem('origin-unavailable', closed)
}
