// Preparation of routes: compiled, and inspected by the database.
import type { Params } from '../../cache/key.ts'
import type { Config } from '../../config/schema.ts'
import { Refusal } from '../../errors.ts'
import type { Inspection, Origin } from '../../origin/origin.ts'
import type { FollowedObjects, FollowedTable } from '../../tags.ts'
import { compileRoute, type Route } from './route.ts'
import { type RouteTable, routeTable } from './table.ts'

/** The routes of a configuration, compiled and inspected by the database. */
export interface Prepared {
  config: Config
  table: RouteTable
  inspection: Inspection
  /** The reads listed in `warm`, for the start. */
  warm: Warmed[]
}

interface Warmed {
  route: Route
  params: Params
}

/**
 * Compiles the routes of `config` and inspects each statement in the database.
 *
 * Throws a {@link Refusal} with all faults: statements that the database rejects, that read a private table, or whose
 * answers cannot be cached. It also throws when parameters in `warm` do not fit their route.
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

/** The reads listed in `warm`. Throws a {@link Refusal} that lists all reads whose parameters do not fit. */
function warmReads({ warm }: Config, { byName }: RouteTable): Warmed[] {
  const refusals: string[] = []
  const reads = warm.flatMap((one): Warmed[] => {
    const { route: name, params: given } = typeof one === 'string' ? { route: one, params: {} } : one
    const route = byName.get(name)
    if (route === undefined) return [] // a fault of the file, reported when it was loaded
    const read = route.read(new Map(Object.entries(given).map(([parameter, value]) => [parameter, [value]])))
    if (!('faults' in read)) return [{ route, params: read.params }]
    refusals.push(...read.faults.map(({ parameter, detail }) => `warm: of route ${name}, ${parameter} ${detail}.`))
    return []
  })
  if (refusals.length > 0) throw new Refusal(refusals)
  return reads
}
/** Every table that the routes of `table` read, with the columns that identify rows. */
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

/** All objects that the answers of `table` depend on. */
export function followedObjects(table: RouteTable): FollowedObjects {
  return {
    tables: followedTables(table),
    functions: [...new Set(table.routes.flatMap(({ functions }) => functions))],
  }
}
