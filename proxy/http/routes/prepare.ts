// Routes made ready to be served: compiled, and seen by the database.
import type { Params } from '../../cache/key.ts'
import type { Config } from '../../config/schema.ts'
import { Refusal } from '../../errors.ts'
import type { Inspection, Origin } from '../../origin/origin.ts'
import type { FollowedObjects, FollowedTable } from '../../tags.ts'
import { compileRoute, type Route } from './route.ts'
import { type RouteTable, routeTable } from './table.ts'

/** A configuration's routes, ready to be served: compiled, and seen by the database. */
export interface Prepared {
  config: Config
  table: RouteTable
  inspection: Inspection
  /** What `warm` lists: to be read at the start. */
  warm: Warmed[]
}

interface Warmed {
  route: Route
  params: Params
}

/**
 * Compiles the routes of `config` and has the database look at each statement.
 *
 * Throws a {@link Refusal} with all the database has against them: a statement it does not take, one that reads a private
 * table, one whose answer cannot be kept; or when what `warm` lists does not fit its route.
 */
export async function prepare(config: Config, origin: Origin): Promise<Prepared> {
  const { routes, inspection } = await inspectRoutes(config, origin)
  if (inspection.faults.length > 0) throw new Refusal(inspection.faults)
  const table = routeTable(routes)
  return { config, table, inspection, warm: warmReads(config, table) }
}

export async function inspectRoutes(config: Config, origin: Origin) {
  const compiled = config.routes.map(compileRoute)
  const queries = compiled.map(({ query }) => query)
  const inspection = await origin.inspect(queries, config.postgres.privateTables)
  const routes = compiled.map((route) => {
    const { tables = [], functions = [] } = inspection.routes.get(route.name) ?? {}
    return { ...route, tables, functions }
  })
  return { routes, inspection }
}

/** What `warm` lists. Throws a {@link Refusal} with every one whose parameters do not fit. */
function warmReads({ warm }: Config, { byName }: RouteTable): Warmed[] {
  const refusals: string[] = []
  const reads = warm.flatMap((one): Warmed[] => {
    const { route: name, params: given } = typeof one === 'string' ? { route: one, params: {} } : one
    const route = byName.get(name)
    if (route === undefined) return [] // a fault of the file, told when it was read
    const read = route.read(new Map(Object.entries(given).map(([parameter, value]) => [parameter, [value]])))
    if (!('faults' in read)) return [{ route, params: read.params }]
    refusals.push(...read.faults.map(({ parameter, detail }) => `warm: of route ${name}, ${parameter} ${detail}.`))
    return []
  })
  if (refusals.length > 0) throw new Refusal(refusals)
  return reads
}
/** Every table a route of `table` reads, with the columns rows are told by. */
export function followedTables({ routes }: RouteTable): FollowedTable[] {
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
export function followedObjects(table: RouteTable): FollowedObjects {
  return {
    tables: followedTables(table),
    functions: [...new Set(table.routes.flatMap(({ functions }) => functions))],
  }
}
