// Routes ready to be served: compiled, seen by the database, replaced while running; what a purge of a route means.
import type { Read } from '../../cache/answer.ts'
import type { PurgeRequest } from '../../coherence/purge.ts'
import type { Config } from '../../config/schema.ts'
import { Problem, quote, Refusal } from '../../errors.ts'
import type { Observe } from '../../observation.ts'
import type { Inspection, Origin } from '../../origin/origin.ts'
import { suggest } from '../../suggest.ts'
import { everything, expandTags, type FollowedTable, routeTag, type Sources } from '../../tags.ts'
import { compileRoute, type Route } from './route.ts'
import { type RouteTable, routeTable } from './table.ts'

/** A configuration's routes, ready to be served: compiled, and seen by the database. */
export interface Prepared {
  config: Config
  table: RouteTable
  inspection: Inspection
  /** What `warm` lists. */
  warm: Read[]
}

/**
 * Compiles the routes of `config` and has the database look at each statement.
 *
 * Throws a {@link Refusal} with all the database has against them: a statement it does not take, one that reads a private
 * table, one whose answer cannot be kept; or when what `warm` lists does not fit its route.
 */
export async function prepare(config: Config, origin: Origin): Promise<Prepared> {
  const { routes, inspection } = await inspected(config, origin)
  if (inspection.faults.length > 0) throw new Refusal(inspection.faults)
  const table = routeTable(routes)
  return { config, table, inspection, warm: warmReads(config, table, origin) }
}

async function inspected(config: Config, origin: Origin) {
  const compiled = config.routes.map(compileRoute)
  const queries = compiled.map(({ query }) => query)
  const inspection = await origin.inspect(queries, config.postgres.privateTables)
  const routes = compiled.map((route) => {
    const { tables = [], functions = [] } = inspection.routes.get(route.name) ?? {}
    return { ...route, tables, functions }
  })
  return { routes, inspection }
}

/** What `warm` lists, to be read from `origin`. Throws a {@link Refusal} with every one whose parameters do not fit. */
function warmReads({ warm }: Config, { byName }: RouteTable, origin: Origin): Read[] {
  const refusals: string[] = []
  const reads = warm.flatMap((one): Read[] => {
    const { route: name, params: given } = typeof one === 'string' ? { route: one, params: {} } : one
    const route = byName.get(name)
    if (route === undefined) return [] // a fault of the file, told when it was read
    const read = route.read(new Map(Object.entries(given).map(([parameter, value]) => [parameter, [value]])))
    if ('faults' in read) {
      refusals.push(...read.faults.map(({ parameter, detail }) => `warm: of route ${name}, ${parameter} ${detail}.`))
      return []
    }
    const { params } = read
    return [
      {
        key: route.key(params),
        route: name,
        tags: () => route.tags(params),
        lifetime: route.lifetime,
        load: (sent) => origin.query(route.query, params, sent),
      },
    ]
  })
  if (refusals.length > 0) throw new Refusal(refusals)
  return reads
}

/** The routes being served, and the one way they change while running. */
export class Routing {
  /** Of the start: what of it is not taken while running. */
  readonly #config: Config
  #prepared: Prepared
  #reloading: Promise<unknown> = Promise.resolve()
  readonly #origin: Origin
  readonly #observe: Observe

  constructor(config: Config, prepared: Prepared, origin: Origin, observe: Observe) {
    this.#config = config
    this.#prepared = prepared
    this.#origin = origin
    this.#observe = observe
  }

  get table(): RouteTable {
    return this.#prepared.table
  }

  /**
   * Serves the routes of the configuration that `read` brings, from the next request on; requests under way end on the old
   * ones. Entries of routes whose statement and parameters are the same stay, and are judged by the new lifetimes.
   *
   * Any fault keeps what there is and is thrown. One reload at a time. `needRestart`: sections that differ but are not taken.
   */
  reload(read: () => Config): Promise<{ changed: string[]; needRestart: string[] }> {
    const next = this.#reloading.then(() => this.#take(read))
    this.#reloading = next.catch(() => {}) // thrown to the one who asked
    return next
  }

  /**
   * Has the database look at the routes again, since something they read is defined anew. Resolves to the names of those that read something
   * else now. One that reads a private table now is closed; what else would be refused at a start is told, and goes on as it was. Rejects
   * where the database cannot be asked just now.
   */
  inspectAgain(): Promise<string[]> {
    const next = this.#reloading.then(() => this.#inspectAgain())
    this.#reloading = next.catch(() => {}) // thrown to the one who asked
    return next
  }

  async #inspectAgain(): Promise<string[]> {
    const before = this.#prepared
    const { routes, inspection } = await inspected(before.config, this.#origin)
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
    if (changed.length > 0 || error !== undefined) this.#observe({ kind: 'redefined', changed, error })
    return changed
  }

  async #take(read: () => Config) {
    try {
      const config = read()
      const prepared = await prepare(config, this.#origin)
      const changed = changedRoutes(this.#prepared.table, prepared.table)
      const sections = (of: Config) => {
        const { routes: _taken, postgres, ...rest } = of
        return { ...rest, postgres: { ...postgres, privateTables: [] } }
      }
      const [before, after] = [sections(this.#config), sections(config)]
      const needRestart = Object.keys(after).filter((name) => {
        const section = name as keyof typeof after
        return JSON.stringify(before[section]) !== JSON.stringify(after[section])
      })
      this.#prepared = prepared
      this.#observe({ kind: 'config-reloaded', routes: config.routes.length, changed })
      return { changed, needRestart }
    } catch (error) {
      this.#observe({ kind: 'config-refused', error })
      throw error
    }
  }
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

/** Every table a route of `table` reads, with the columns rows are told by. */
function followedTables({ routes }: RouteTable): FollowedTable[] {
  const columns = new Map<string, Set<string>>()
  for (const { tables, query } of routes) {
    for (const table of tables) {
      const known = columns.get(table) ?? new Set()
      columns.set(table, known)
      const rule = query.rows[table]
      if (rule !== undefined) known.add(rule.column)
    }
  }
  return [...columns].map(([table, of]) => ({ table, columns: [...of] }))
}

/** All that answers of `table` are made of. */
export function sourcesOf(table: RouteTable): Sources {
  return {
    tables: followedTables(table),
    functions: [...new Set(table.routes.flatMap(({ functions }) => functions))],
  }
}

/** The tags that `request` means. Throws `bad-parameters` for a route, or parameters of it, that do not exist. */
export function purgedTags(table: RouteTable, request: PurgeRequest): string[] {
  if ('all' in request) return [everything]
  if ('tags' in request) return expandTags(request.tags, new Map(followedTables(table).map((one) => [one.table, one])))
  const route = table.byName.get(request.route)
  if (route === undefined) {
    const meant = suggest(request.route, [...table.byName.keys()])
    throw new Problem('bad-parameters', `There is no route named ${quote(request.route)}${meant || '.'}`)
  }
  if (request.params === undefined) return [routeTag(route.name)]
  const unknown = Object.keys(request.params).filter((name) => !Object.hasOwn(route.config.parameters, name))
  const faults = unknown.map((parameter) => ({ parameter, detail: 'is not a parameter of this route' }))
  const read = route.read(new Map(Object.entries(request.params).map(([name, value]) => [name, [value]])))
  if ('faults' in read) faults.push(...read.faults)
  if ('faults' in read || faults.length > 0)
    throw new Problem('bad-parameters', 'The parameters are not those of an entry of this route.', { faults })
  return [route.key(read.params)]
}

/** A route as people look at it: everything its configuration and the database say of it. Durations in milliseconds. */
export function describeRoute({ config, methods, query, tables, functions }: Route) {
  const { statement, version, rows } = query
  const sql = statement.render((parameter) => `:${parameter}`)
  return { ...config, methods, tables, functions, rows, version, sql }
}
