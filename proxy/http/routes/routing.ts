// The routes being served, replaced while running.
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
  /** Of the start: what of it is not taken while running. */
  config: Config
  prepared: Prepared
  origin: Origin & Pick<GuardedOrigin, 'admit'>
  /** Has every process forget what its answers were made of. */
  logFollower: Pick<LogFollower, 'publish'>
  observe: Observe
}

/** The routes being served, and the one way they change while running. */
export class Routing {
  readonly #deps: RoutingDependencies
  readonly #listeners: ((objects: FollowedObjects) => Promise<void>)[] = []
  /** Makes what is asked of the cache, by the routes of the moment. */
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

  /** The routes as people look at them. */
  describe() {
    return this.table.routes.map(describeRoute)
  }

  /** The tags that `request` names. Throws `bad-parameters` for a route, or parameters of it, that do not exist. */
  tagsOf(request: PurgeRequest): string[] {
    return purgedTags(this.table, request)
  }

  /** What `warm` lists, as it was at the start. */
  get listedReads(): Read[] {
    return this.#deps.prepared.warm.map(({ route, params }) => this.reads.of(route, params))
  }

  /** All that the answers of the routes are made of. */
  get followed(): FollowedObjects {
    return followedObjects(this.table)
  }

  /** Has `listener` told what answers are made of each time that may have changed. A change resolves when it has. */
  onFollowed(listener: (objects: FollowedObjects) => Promise<void>): void {
    this.#listeners.push(listener)
  }

  /**
   * Serves the routes of the configuration that `read` brings, from the next request on; requests under way end on the old
   * ones. Entries of routes whose statement and parameters are the same stay, and are judged by the new lifetimes.
   *
   * Any fault keeps what there is and is thrown. One reload at a time. `needRestart`: sections that differ but are not taken.
   */
  async reload(read: () => Config): Promise<{ changed: string[]; needRestart: string[] }> {
    const outcome = await this.#inTurn(() => this.#take(read))
    await this.#tellSources()
    return outcome
  }

  /**
   * Has the database look at the routes again, since something they read is defined anew. Of those that read something else now, every process
   * forgets the answers: what was kept until then has not the tags of what its route reads now. One that reads a private table now is
   * closed; what else would be refused at a start is told, and goes on as it was. Rejects where the database cannot be asked just now.
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
    this.#changing = next.catch(() => {}) // thrown to the one who asked
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
          return { ...route, closed: 'What it reads was defined anew, and is private.' }
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

/** The sections that differ between two configurations, but for what is taken while running: routes and private tables. */
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

/** The names of the routes in `after` that are new or not what they were in `before`, and of those that are gone. */
export function changedRoutes(before: RouteTable, after: RouteTable): string[] {
  const looks = ({ byName }: RouteTable, name: string) => {
    const route = byName.get(name)
    return route && JSON.stringify([describeRoute(route), route.closed])
  }
  const names = new Set([...before.byName.keys(), ...after.byName.keys()])
  return [...names].filter((name) => looks(before, name) !== looks(after, name))
}
