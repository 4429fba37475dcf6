// Routing: the routes being served, and their reload at run time.
import type { Read } from '../../cache/answer.ts'
import type { LogFollower } from '../../coherence/follower.ts'
import type { PurgeRequest } from '../../coherence/purge.ts'
import type { Config } from '../../config/schema.ts'
import { Refusal } from '../../errors.ts'
import type { Observe } from '../../observation.ts'
import type { GuardedOrigin } from '../../origin/guard.ts'
import type { Origin } from '../../origin/origin.ts'
import { type FollowedObjects, routeTag } from '../../tags.ts'
import { describeRoute } from './description.ts'
import { followedObjects, inspectRoutes, type Prepared, prepare } from './prepare.ts'
import { purgedTags } from './purged-tags.ts'
import { RouteReads } from './reads.ts'
import type { Route } from './route.ts'
import { type RouteTable, routeTable } from './table.ts'

export interface RoutingDependencies {
  /** The configuration of the start. Some of it is not reloaded at run time. */
  config: Config
  prepared: Prepared
  origin: Origin & Pick<GuardedOrigin, 'admit'>
  /** Makes every process invalidate entries. */
  logFollower: Pick<LogFollower, 'publish'>
  observe: Observe
}

/** The routes being served, and the only way to change them at run time. */
export class Routing {
  readonly #deps: RoutingDependencies
  readonly #listeners: ((objects: FollowedObjects) => Promise<void>)[] = []
  /** Makes cache reads from the current routes. */
  readonly reads: RouteReads
  #prepared: Prepared
  #changing: Promise<unknown> = Promise.resolve()

  constructor(deps: RoutingDependencies) {
    this.#deps = deps
    this.#prepared = deps.prepared
    this.reads = new RouteReads(() => this.table, deps.origin)
  }

  get table(): RouteTable {
    return this.#prepared.table
  }

  /** Descriptions of the routes, for display. */
  describe() {
    return this.table.routes.map(describeRoute)
  }

  /** The tags that `request` names. Throws `bad-parameters` for an unknown route or unsuitable parameters. */
  tagsOf(request: PurgeRequest): string[] {
    return purgedTags(this.table, request)
  }

  /** The reads listed in `warm` at the start. */
  get listedReads(): Read[] {
    return this.#deps.prepared.warm.map(({ route, params }) => this.reads.of(route, params))
  }

  /** All objects that the answers of the routes depend on. */
  get followed(): FollowedObjects {
    return followedObjects(this.table)
  }

  /**
   * Calls `listener` with the followed objects whenever they may have changed. A change resolves when the listeners
   * have.
   */
  onFollowed(listener: (objects: FollowedObjects) => Promise<void>): void {
    this.#listeners.push(listener)
  }

  /**
   * Serves the routes of the configuration that `read` returns, from the next request on. Requests in flight finish on
   * the old routes. Entries of routes with the same statement and parameters stay valid, under the new lifetimes.
   *
   * Any fault is thrown and keeps the current routes. One reload runs at a time. `needRestart`: changed sections that
   * only a restart applies.
   */
  async reload(read: () => Config): Promise<{ changed: string[]; needRestart: string[] }> {
    const outcome = await this.#inTurn(() => this.#take(read))
    await this.#tellSources()
    return outcome
  }

  /**
   * Inspects the routes in the database again, because an object they read was redefined. Every process invalidates the
   * answers of routes that now read other objects, because their entries lack the new tags. A route that now reads a
   * private table is closed. Other faults that a start would refuse are observed, and the route continues as before.
   * Rejects if the database cannot be asked now.
   */
  async inspectAgain(): Promise<void> {
    const changed = await this.#inTurn(() => this.#inspectAgain())
    if (changed.length === 0) return
    await this.#deps.logFollower.publish({ tags: changed.map(routeTag), soft: false, cause: 'change' })
    await this.#tellSources()
  }

  async #tellSources(): Promise<void> {
    for (const listener of this.#listeners) await listener(this.followed)
  }

  #inTurn<T>(change: () => Promise<T>): Promise<T> {
    const next = this.#changing.then(change)
    this.#changing = next.catch(() => {}) // reported to its caller
    return next
  }

  async #inspectAgain(): Promise<string[]> {
    const before = this.#prepared
    const { routes, inspection } = await inspectRoutes(before.config, this.#deps.origin)
    const error = inspection.faults.length > 0 ? new Refusal(inspection.faults) : undefined
    if (inspection.isOfMoment) throw error
    const table = routeTable(
      routes.map((route): Route => {
        if (inspection.exposing.has(route.name))
          return {
            ...route,
            closed:
              'Route closed: after a redefinition it reads a private table. The operator must change the route or the table.',
          }
        const known = before.table.byName.get(route.name)
        return inspection.routes.has(route.name) || known === undefined ? route : known
      }),
    )
    const changed = changedRoutes(before.table, table)
    this.#prepared = { ...before, table, inspection }
    if (changed.length > 0 || error !== undefined) this.#deps.observe({ kind: 'redefined', changed, error })
    return changed
  }

  async #take(read: () => Config) {
    try {
      const config = read()
      const prepared = await prepare(config, this.#deps.origin)
      const changed = changedRoutes(this.#prepared.table, prepared.table)
      this.#prepared = prepared
      this.#deps.observe({ kind: 'config-reloaded', routes: config.routes.length, changed })
      return { changed, needRestart: changedSections(this.#deps.config, config) }
    } catch (error) {
      this.#deps.observe({ kind: 'config-refused', error })
      throw error
    }
  }
}

/**
 * The sections that differ between two configurations, except those reloaded at run time: routes and private tables.
 */
function changedSections(before: Config, after: Config): string[] {
  const written = ({ routes: _taken, postgres, ...rest }: Config) =>
    new Map(
      Object.entries({ ...rest, postgres: { ...postgres, privateTables: [] } }).map(([name, section]) => [
        name,
        JSON.stringify(section),
      ]),
    )
  const known = written(before)
  return [...written(after)].filter(([name, section]) => known.get(name) !== section).map(([name]) => name)
}

/** The names of the routes that differ between `before` and `after`, and of new and removed routes. */
export function changedRoutes(before: RouteTable, after: RouteTable): string[] {
  const looks = ({ byName }: RouteTable, name: string) => {
    const route = byName.get(name)
    return route && JSON.stringify([describeRoute(route), route.closed])
  }
  const names = new Set([...before.byName.keys(), ...after.byName.keys()])
  return [...names].filter((name) => looks(before, name) !== looks(after, name))
}
