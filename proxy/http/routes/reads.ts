// Cache reads of a route, for a request or for warming.
import type { Read } from '../../cache/answer.ts'
import type { Params } from '../../cache/key.ts'
import { Problem } from '../../errors.ts'
import type { GuardedOrigin } from '../../origin/guard.ts'
import type { Route } from './route.ts'
import type { RouteTable } from './table.ts'

/**
 * Makes every Read. A route may be inspected again between the making of a Read and its fill. Then the fill uses the
 * tags of the current route, and a route that has been closed is rejected.
 */
export class RouteReads {
  readonly #routes: () => RouteTable
  readonly #origin: Pick<GuardedOrigin, 'query' | 'admit'>

  /** `routes` returns the current table. */
  constructor(routes: () => RouteTable, origin: Pick<GuardedOrigin, 'query' | 'admit'>) {
    this.#routes = routes
    this.#origin = origin
  }

  /** The cache read of `route` with `params`. Throws `origin-unavailable` if the route is closed. */
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
    mustBeOpen(this.#asOfNow(route)) // its tables may have been redefined meanwhile
    return loaded
  }

  /** `route` as last inspected by the database, possibly after it was matched to a request. */
  #asOfNow(route: Route): Route {
    const now = this.#routes().byName.get(route.name)
    return now?.query.version === route.query.version ? now : route
  }
}

/** Throws `origin-unavailable` if the route is closed. */
export function mustBeOpen({ closed }: Route): void {
  if (closed !== undefined) throw new Problem('origin-unavailable', closed)
}
