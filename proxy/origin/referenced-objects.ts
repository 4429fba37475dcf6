// The objects a statement depends on, directly and indirectly: tables, functions, and features that forbid caching.
import type { PoolClient } from 'pg'
import type { PlanNode } from './plan.ts'

export interface ReferencedObject {
  kind: 'table' | 'function' | 'volatile' | 'any-table' | 'sample' | 'lock' | 'opaque'
  /** As text: an oid may exceed an int4. */
  oid: string
  name: string
}

/**
 * Creates two views of a statement: of the statement alone, and of `wrapped`, the form in which it runs. Resolves to
 * the oid of the second.
 */
export async function viewOf(client: PoolClient, sql: string, wrapped: string): Promise<string[]> {
  // The statement alone first: a view rejects two columns of one name, which JSON must not have either.
  await client.query(single(`create temporary view onramp_inspected_columns as\n${sql}`))
  await client.query(single(`create temporary view onramp_inspected (a, b) as ${wrapped}`))
  const { rows } = await client.query<{ oid: string }>(`select 'onramp_inspected'::regclass::oid::text as oid`)
  return rows.map(({ oid }) => oid)
}

/** The oids of the relations in a plan, in which views are already expanded. */
export async function relationsOf(client: PoolClient, plan: readonly PlanNode[]): Promise<string[]> {
  const named = plan.filter((node) => node['Relation Name'] !== undefined)
  const { rows } = await client.query<{ oid: string }>(
    `select c.oid::text as oid from pg_class c join pg_namespace n on n.oid = relnamespace
      join unnest($1::text[], $2::text[]) as r (schema, name) on (nspname, relname) = (r.schema, r.name)`,
    [named.map(({ Schema }) => Schema), named.map((node) => node['Relation Name'])],
  )
  return rows.map(({ oid }) => oid)
}

/** One statement, by the extended protocol, which accepts no second statement. */
export function single(text: string): { text: string } {
  const config = { text, queryMode: 'extended' } // missing in the types of pg
  return config
}

const aggregateParts = 'array[aggtransfn, aggfinalfn, aggmtransfn, aggminvtransfn, aggmfinalfn]::oid[]'

/**
 * `:relid`, `:funcid`, `:opfuncid`, `:aggfnoid` and `:winfnoid` are PostgreSQL's field names (src/include/nodes) in the
 * text form of a tree, from 14 to 18.
 */
const referencedObjectsSql = `
with recursive reached (tree, is_live) as (
    select ev_action::text, relkind <> 'm' from pg_rewrite join pg_class c on c.oid = ev_class
      where ev_type = '1' and c.oid = any ($1::oid[])
  union
    select next.tree, reached.is_live and next.is_live from reached, lateral (
      select ev_action::text as tree, relkind <> 'm' as is_live from pg_rewrite join pg_class c on c.oid = ev_class
        where ev_type = '1' and c.oid in (select m[1]::oid from regexp_matches(reached.tree, ':relid (\\d+)', 'g') m)
      union all
      select prosqlbody::text, true from pg_proc where prosqlbody is not null and oid in (
        select made_of.oid from regexp_matches(reached.tree, ':(?:funcid|opfuncid|aggfnoid|winfnoid) (\\d+)', 'g') m, lateral (
          select m[1]::oid as oid union all
          select unnest(${aggregateParts}) from pg_aggregate where aggfnoid = m[1]::oid
        ) made_of)
    ) next
),
relations as (
  select unnest($1::oid[]) as oid union
  select m[1]::oid from reached, regexp_matches(tree, ':relid (\\d+)', 'g') m
),
called as (
  select m[1]::oid as oid, bool_or(is_live) as is_live
    from reached, regexp_matches(tree, ':(?:funcid|opfuncid|aggfnoid|winfnoid) (\\d+)', 'g') m group by 1
),
functions as (
  select oid, is_live from called union
  select made_of, is_live from called join pg_aggregate on aggfnoid = called.oid,
    lateral unnest(${aggregateParts}) as made_of
)
select 'table' as kind, c.oid::text as oid, c.oid::regclass::text as name from pg_class c join relations using (oid)
union
select 'function', p.oid::text, p.oid::regprocedure::text from pg_proc p join functions using (oid)
  where pronamespace <> 'pg_catalog'::regnamespace
union
select case when provolatile = 'v' then 'volatile' when proname ~ '^(table|schema|database)_to_xml' then 'any-table' else 'opaque' end,
    p.oid::text, p.oid::regprocedure::text
  from pg_proc p join functions f on f.oid = p.oid and f.is_live join pg_language l on l.oid = prolang
  where provolatile = 'v'
    or (pronamespace = 'pg_catalog'::regnamespace and proname ~ '^(table|schema|database)_to_xml')
    or (provolatile = 's' and prosqlbody is null and lanname <> 'internal' and pronamespace <> 'pg_catalog'::regnamespace)
union
select 'lock', '', '' from reached where is_live and tree ~ ':rowMarks \\('
union
select 'sample', '', '' from reached where is_live and tree ~ ':tablesample \\{' and tree ~ ':repeatable <>'
order by 1, 3`

/**
 * All objects that the relations `start` depend on, directly and indirectly. The query of a materialized view runs at
 * its refresh, not when the view is read: so its tables count, its volatile functions do not.
 */
export async function referencedObjects(client: PoolClient, start: readonly string[]): Promise<ReferencedObject[]> {
  const { rows } = await client.query<ReferencedObject>(referencedObjectsSql, [start])
  return rows
}
