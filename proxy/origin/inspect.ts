import type { PoolClient } from 'pg'
import { messageOf } from '../errors.ts'
import type { Inspection, Query } from './origin.ts'

type Wrap = (query: Query, placeholder?: (name: string, index: number) => string) => string

/**
 * Asks the server what each route's statement is, without running it: the types of its parameters, the tables it reads, and
 * whether it may be cached at all.
 *
 * Every statement is prepared, then made into a temporary view (typed NULLs in place of its parameters) in a transaction
 * that is rolled back. PostgreSQL keeps a view as the tree it parsed, which names every relation and every function in it by
 * oid; views are followed through their own trees, SQL-standard function bodies too. So a private table is found however
 * deep it lies, and a volatile function even if it is a built-in one, for which no dependency is recorded.
 *
 * Where no temporary view can be made (a hot standby, a role without TEMPORARY) tables are read from the plan and volatile
 * functions are not looked for; a warning says so. That nothing is written is the server's doing: a statement in a FROM
 * cannot write, and every session is read-only.
 *
 * `client` is not to be used any more: statements it has prepared outlive the transaction.
 */
export async function inspect(
  client: PoolClient,
  queries: readonly Query[],
  privateTables: readonly string[],
  wrap: Wrap,
): Promise<Inspection> {
  const inspection: Inspection = { faults: [], warnings: [], routes: new Map() }
  const isStandby = (await client.query('select pg_is_in_recovery() as yes')).rows[0].yes as boolean
  await client.query(isStandby ? 'begin' : 'begin read write')
  try {
    const forbidden = await privateOids(client, privateTables, inspection)
    const mayMakeViews =
      !isStandby &&
      (await client.query(`select has_database_privilege(current_database(), 'TEMPORARY') as yes`)).rows[0].yes === true
    if (!mayMakeViews) {
      const why = isStandby ? 'the server is a standby' : 'the role lacks TEMPORARY on the database'
      inspection.warnings.push(
        `Volatile functions are not looked for, and tables inside functions are not seen: ${why}.`,
      )
    }
    for (const [i, query] of queries.entries()) {
      await client.query('savepoint route')
      try {
        await inspectOne(client, `onramp_inspected_${i}`, query, forbidden, mayMakeViews, wrap, inspection)
      } catch (error) {
        inspection.faults.push(`Route ${query.route}: the database refuses its statement: ${messageOf(error)}.`)
      }
      await client.query('rollback to savepoint route')
    }
  } finally {
    await client.query('rollback')
  }
  return inspection
}

async function inspectOne(
  client: PoolClient,
  name: string,
  query: Query,
  forbidden: Map<number, string>,
  mayMakeViews: boolean,
  wrap: Wrap,
  { faults, warnings, routes }: Inspection,
): Promise<void> {
  const { names } = query.statement
  await client.query(`prepare ${name} as ${wrap(query)}`)
  const { rows } = await client.query<{ types: string[] }>(
    `select parameter_types::text[] as types from pg_prepared_statements where name = '${name}'`,
  )
  const types = rows[0]?.types ?? []
  const seen = mayMakeViews
    ? await seenInTree(
        client,
        wrap(query, (_name, i) => `null::${types[i]}`),
        query.statement.render((_name, i) => `null::${types[i]}`),
      )
    : await seenInPlan(client, name, names.length)

  const touched = [...seen.tables.keys()].flatMap((oid) => forbidden.get(oid) ?? [])
  for (const table of new Set(touched))
    faults.push(`Route ${query.route}: its statement reads ${table}, which is private.`)
  for (const called of seen.volatile)
    faults.push(`Route ${query.route}: its statement calls ${called}, which is volatile: its answer cannot be kept.`)
  if (seen.locks) faults.push(`Route ${query.route}: its statement locks rows (FOR UPDATE or FOR SHARE).`)
  for (const called of seen.opaque) warnings.push(`Route ${query.route}: tables that ${called} reads are not seen.`)
  const parameterTypes = Object.fromEntries(names.map((parameter, i) => [parameter, types[i] as string]))
  routes.set(query.route, { parameterTypes, tables: [...seen.tables.values()].sort() })
}

interface Seen {
  tables: Map<number, string>
  volatile: string[]
  opaque: string[]
  locks: boolean
}

/**
 * What the parse tree of `sql` names, followed through views and SQL functions. `:relid`, `:funcid`, `:opfuncid`, `:aggfnoid`
 * and `:winfnoid` are PostgreSQL's own field names (src/include/nodes) in the text form of a tree, from 14 to 18.
 */
async function seenInTree(client: PoolClient, wrapped: string, sql: string): Promise<Seen> {
  // The statement itself first: a view refuses two columns of one name, as JSON should; then as it is really run.
  await client.query(`create temporary view onramp_inspected_columns as\n${sql}`)
  await client.query(`create temporary view onramp_inspected (a, b) as ${wrapped}`)
  const { rows } = await client.query<{ kind: 'table' | 'volatile' | 'opaque' | 'lock'; oid: number; name: string }>(`
    with recursive reached (tree) as (
        select ev_action::text from pg_rewrite where ev_class = 'onramp_inspected'::regclass
      union
        select next.tree from reached,
          lateral (
            select ev_action::text as tree from pg_rewrite
              where ev_class in (select m[1]::oid from regexp_matches(reached.tree, ':relid (\\d+)', 'g') m)
            union all
            select prosqlbody::text from pg_proc
              where prosqlbody is not null and oid in (select m[1]::oid from regexp_matches(reached.tree, ':(?:func|opfunc|aggfno|winfno)id (\\d+)', 'g') m)
          ) next
    ),
    relations as (select distinct m[1]::oid as oid from reached, regexp_matches(tree, ':relid (\\d+)', 'g') m),
    functions as (select distinct m[1]::oid as oid from reached, regexp_matches(tree, ':(?:funcid|opfuncid|aggfnoid|winfnoid) (\\d+)', 'g') m)
    select 'table' as kind, c.oid::int8::int as oid, c.oid::regclass::text as name from pg_class c join relations using (oid)
      where c.relname not like 'onramp\\_inspected%'
    union all
    select case when provolatile = 'v' then 'volatile' else 'opaque' end, 0, p.oid::regprocedure::text
      from pg_proc p join functions using (oid) join pg_language l on l.oid = prolang
      where provolatile = 'v' or (lanname not in ('internal', 'c') and prosqlbody is null)
    union all
    select 'lock', 0, '' from reached where tree ~ ':rowMarks \\('
    order by 1, 3`)
  return {
    tables: new Map(rows.filter(({ kind }) => kind === 'table').map(({ oid, name }) => [oid, name])),
    volatile: rows.filter(({ kind }) => kind === 'volatile').map(({ name }) => name),
    opaque: rows.filter(({ kind }) => kind === 'opaque').map(({ name }) => name),
    locks: rows.some(({ kind }) => kind === 'lock'),
  }
}

/** The relations in the generic plan of the prepared statement; views are expanded in it. */
async function seenInPlan(client: PoolClient, name: string, parameters: number): Promise<Seen> {
  await client.query('set local plan_cache_mode = force_generic_plan')
  const values = parameters === 0 ? '' : `(${Array(parameters).fill('null').join(', ')})`
  const { rows } = await client.query<{ 'QUERY PLAN': unknown }>(
    `explain (verbose, format json) execute ${name}${values}`,
  )
  const plan = JSON.stringify(rows[0]?.['QUERY PLAN'])
  const named = [...plan.matchAll(/"Relation Name":"((?:[^"\\]|\\.)*)","Schema":"((?:[^"\\]|\\.)*)"/g)]
  const relations = named.map(([, table, schema]) => [JSON.parse(`"${schema}"`), JSON.parse(`"${table}"`)])
  const found = await client.query<{ oid: number; name: string }>(
    `select c.oid::int8::int as oid, c.oid::regclass::text as name from pg_class c join pg_namespace n on n.oid = relnamespace
      join unnest($1::text[], $2::text[]) as r (schema, name) on (nspname, relname) = (r.schema, r.name)`,
    [relations.map(([schema]) => schema), relations.map(([, table]) => table)],
  )
  return {
    tables: new Map(found.rows.map(({ oid, name }) => [oid, name])),
    volatile: [],
    opaque: [],
    locks: plan.includes('"LockRows"'),
  }
}

/** The private relations by oid, with their partitions and children, and the tables they are a part of. */
async function privateOids(
  client: PoolClient,
  names: readonly string[],
  { faults }: Inspection,
): Promise<Map<number, string>> {
  const oids = new Map<number, string>()
  for (const name of names) {
    const { rows } = await client.query<{ oid: number }>(
      `with recursive up (oid) as (select to_regclass($1)::oid union select inhparent from pg_inherits join up on inhrelid = up.oid),
         down (oid) as (select to_regclass($1)::oid union select inhrelid from pg_inherits join down on inhparent = down.oid)
       select oid::int8::int as oid from up where oid is not null union select oid::int8::int from down where oid is not null`,
      [name],
    )
    if (rows.length === 0) faults.push(`postgres.privateTables names ${name}, but the database has no such relation.`)
    for (const { oid } of rows) oids.set(oid, name)
  }
  return oids
}
