// What the database says of a statement before it is served.
import type { PoolClient } from 'pg'
import { messageOf } from '../errors.ts'
import type { Inspection, Query } from './origin.ts'
import { inspectRows } from './row-rules.ts'

type Wrap = (query: Query, placeholder?: (name: string, index: number) => string) => string

/**
 * Asks the server what each route's statement is, without running it: the types of its parameters, the tables it reads, and
 * whether it may be cached at all.
 *
 * Every statement is prepared, explained (which checks privileges too), then made into a temporary view, with typed NULLs in
 * place of its parameters, in a transaction that is rolled back. PostgreSQL keeps a view as the tree it parsed, which names
 * every relation and every function in it by oid. Those are followed: views and materialized views through their own trees,
 * SQL-standard function bodies through theirs, aggregates to the functions they are made of. So a private table is found
 * below all of these, and a volatile function even if it is a built-in one, for which no dependency is recorded.
 *
 * Where no temporary view can be made (a hot standby, a role without TEMPORARY) the relations of the plan are followed in the
 * same way, and volatile functions are not looked for; a warning says so. What a function in another language reads cannot be
 * seen; a warning names each that may read anything. That nothing is written is the server's doing: a statement in a FROM
 * cannot write, and every session is read-only.
 *
 * `client` is not to be used any more: statements it has prepared outlive the transaction. Rejects when it is the connection
 * that fails, as `kindOf` says. `known` remembers by their oids what has been private: it stays so if it is renamed.
 */
export async function inspect(
  client: PoolClient,
  queries: readonly Query[],
  privateTables: readonly string[],
  wrap: Wrap,
  kindOf: (error: unknown) => 'of the connection' | 'of the moment' | 'of the statement',
  known: Map<string, string>,
): Promise<Inspection> {
  const inspection: Inspection = {
    faults: [],
    warnings: [],
    routes: new Map(),
    exposing: new Set(),
    isOfMoment: false,
  }
  const attempt = async (subject: string, run: () => Promise<void>) => {
    await client.query('savepoint attempt')
    try {
      await run()
    } catch (error) {
      const kind = kindOf(error)
      if (kind === 'of the connection') throw error
      if (kind === 'of the moment') inspection.isOfMoment = true
      inspection.faults.push(`${subject}: ${messageOf(error)}.`)
    }
    await client.query('rollback to savepoint attempt')
  }
  const isStandby = await isTrue(client, 'pg_is_in_recovery()')
  await client.query(isStandby ? 'begin' : 'begin read write')
  await forgetStatements(client)
  const mayMakeViews = !isStandby && (await isTrue(client, `has_database_privilege(current_database(), 'TEMPORARY')`))
  if (!mayMakeViews) {
    const why = isStandby ? 'the server is a standby' : 'the role lacks TEMPORARY on the database'
    inspection.warnings.push(
      `Volatile functions are not looked for, tables inside functions are not seen, and a view or function that is defined anew is not noticed: ${why}.`,
    )
  }
  const forbidden = new Map([...known].filter(([, name]) => privateTables.includes(name)))
  for (const name of privateTables) {
    const subject = `postgres.privateTables names ${name}`
    await attempt(subject, async () => {
      const isThere = await addPrivate(client, name, forbidden)
      if (!isThere) inspection.faults.push(`${subject}: the database has no relation of that name.`)
    })
  }
  // Every generic plan, so that none is made for the NULLs it is explained with.
  await client.query('set local plan_cache_mode = force_generic_plan')
  for (const [i, query] of queries.entries()) {
    await attempt(`Route ${query.route}: the database refuses its statement`, () =>
      inspectOne(client, `onramp_inspected_${i}`, query, forbidden, mayMakeViews, wrap, inspection),
    )
  }
  await forgetStatements(client)
  await client.query('rollback')
  for (const [oid, name] of forbidden) known.set(oid, name)
  return inspection
}

/** A prepared statement outlives its transaction, and behind a pooler also the client: of this inspection, or of one that was cut off. */
async function forgetStatements(client: PoolClient): Promise<void> {
  const { rows } = await client.query<{ text: string }>(
    `select format('deallocate %I', name) as text from pg_prepared_statements where name like 'onramp\\_inspected\\_%'`,
  )
  for (const { text } of rows) await client.query(text)
}

async function inspectOne(
  client: PoolClient,
  name: string,
  query: Query,
  forbidden: Map<string, string>,
  mayMakeViews: boolean,
  wrap: Wrap,
  { faults, warnings, routes, exposing }: Inspection,
): Promise<void> {
  const { names } = query.statement
  await one(client, `prepare ${name} as ${wrap(query)}`)
  const { rows } = await client.query<{ types: string[] }>(
    `select parameter_types::text[] as types from pg_prepared_statements where name = '${name}'`,
  )
  const types = rows[0]?.types ?? []
  const values = names.length === 0 ? '' : `(${names.map(() => 'null').join(', ')})`
  const explained = await one(client, `explain (verbose, format json) execute ${name}${values}`)
  const typedNull = (_name: string, i: number) => `null::${types[i]}`
  const start = mayMakeViews
    ? await viewOf(client, query.statement.render(typedNull), wrap(query, typedNull))
    : await relationsOf(client, JSON.stringify(explained.rows[0]))
  const seen = await follow(client, start)

  const says = (kind: ReferencedObject['kind'], sentence: (name: string) => string) =>
    seen.filter((found) => found.kind === kind).map((found) => `Route ${query.route}: ${sentence(found.name)}`)
  const touched = seen.flatMap(({ kind, oid }) => (kind === 'table' ? (forbidden.get(oid) ?? []) : []))
  for (const table of new Set(touched)) {
    faults.push(`Route ${query.route}: its statement reads ${table}, which is private.`)
    exposing.add(query.route)
  }
  if (mayMakeViews) {
    faults.push(
      ...says('volatile', (called) => `its statement calls ${called}, which is volatile: its answer cannot be kept.`),
    )
    faults.push(
      ...says('any-table', (called) => `its statement calls ${called}, which reads whatever table it is given.`),
    )
    faults.push(...says('sample', () => 'its statement takes a random sample: its answer cannot be kept.'))
    faults.push(...says('lock', () => 'its statement locks rows (FOR UPDATE or FOR SHARE).'))
    warnings.push(...says('opaque', (called) => `tables that ${called} reads are not seen.`))
  }
  const isOurs = (name: string) => name.includes('onramp_inspected')
  // What is private is not read, so it is not followed either.
  const tables = seen.filter(({ kind, oid, name }) => kind === 'table' && !isOurs(name) && !forbidden.has(oid))
  const rules = await inspectRows(
    client,
    query,
    tables.map(({ name }) => name),
    explained.rows[0]?.['QUERY PLAN'],
  )
  faults.push(...rules.faults.map((fault) => `Route ${query.route}: ${fault}`))
  warnings.push(...rules.warnings.map((warning) => `Route ${query.route}: ${warning}`))
  const parameterTypes = Object.fromEntries(names.map((parameter, i) => [parameter, types[i] as string]))
  const namesOf = (found: ReferencedObject[]) => found.map(({ name }) => name)
  const functions = namesOf(seen.filter(({ kind }) => kind === 'function'))
  routes.set(query.route, { parameterTypes, tables: namesOf(tables), functions })
}

interface ReferencedObject {
  kind: 'table' | 'function' | 'volatile' | 'any-table' | 'sample' | 'lock' | 'opaque'
  /** As text: an oid may be larger than an int4. */
  oid: string
  name: string
}

/** Makes views of a statement; their oids. */
async function viewOf(client: PoolClient, sql: string, wrapped: string): Promise<string[]> {
  // The statement itself first: a view refuses two columns of one name, as JSON should; then as it is really run.
  await one(client, `create temporary view onramp_inspected_columns as\n${sql}`)
  await one(client, `create temporary view onramp_inspected (a, b) as ${wrapped}`)
  const { rows } = await client.query<{ oid: string }>(`select 'onramp_inspected'::regclass::oid::text as oid`)
  return rows.map(({ oid }) => oid)
}

/** The oids of the relations in a plan; views are expanded in it. */
async function relationsOf(client: PoolClient, plan: string): Promise<string[]> {
  const named = [...plan.matchAll(/"Relation Name":"((?:[^"\\]|\\.)*)","Schema":"((?:[^"\\]|\\.)*)"/g)]
  const text = (json: string | undefined): string => JSON.parse(`"${json}"`)
  const { rows } = await client.query<{ oid: string }>(
    `select c.oid::text as oid from pg_class c join pg_namespace n on n.oid = relnamespace
      join unnest($1::text[], $2::text[]) as r (schema, name) on (nspname, relname) = (r.schema, r.name)`,
    [named.map(([, , schema]) => text(schema)), named.map(([, table]) => text(table))],
  )
  return rows.map(({ oid }) => oid)
}

const aggregateParts = 'array[aggtransfn, aggfinalfn, aggmtransfn, aggminvtransfn, aggmfinalfn]::oid[]'

/**
 * What the relations `start` are made of, all the way down. What lies below a materialized view is read when that is
 * refreshed, not when it is queried: its tables count, its volatile functions do not.
 *
 * `:relid`, `:funcid`, `:opfuncid`, `:aggfnoid` and `:winfnoid` are PostgreSQL's own field names (src/include/nodes) in the
 * text form of a tree, from 14 to 18.
 */
async function follow(client: PoolClient, start: readonly string[]): Promise<ReferencedObject[]> {
  const { rows } = await client.query<ReferencedObject>(
    `
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
    order by 1, 3`,
    [start],
  )
  return rows
}

/**
 * Adds a private relation: its oid, those of its partitions and children, and of the tables it is a part of. Resolves to
 * whether there is one.
 */
async function addPrivate(client: PoolClient, name: string, forbidden: Map<string, string>): Promise<boolean> {
  const { rows } = await client.query<{ oid: string }>(
    `with recursive up (oid) as (select to_regclass($1)::oid union select inhparent from pg_inherits join up on inhrelid = up.oid),
       down (oid) as (select to_regclass($1)::oid union select inhrelid from pg_inherits join down on inhparent = down.oid)
     select oid::text from up where oid is not null union select oid::text from down where oid is not null`,
    [name],
  )
  for (const { oid } of rows) forbidden.set(oid, name)
  // The planner's statistics hold values of every table.
  const statistics = await client.query<{ oid: string; name: string }>(
    `select oid::text, relname as name from pg_class where oid in ('pg_statistic'::regclass, 'pg_statistic_ext_data'::regclass)`,
  )
  for (const { oid, name: table } of statistics.rows) forbidden.set(oid, table)
  return rows.length > 0
}

/** Runs one statement: the extended protocol takes no second one. */
function one(client: PoolClient, text: string) {
  return client.query<Record<string, unknown>>({ text, queryMode: 'extended' } as { text: string })
}

async function isTrue(client: PoolClient, condition: string): Promise<boolean> {
  return (await client.query<{ yes: boolean }>(`select ${condition} as yes`)).rows[0]?.yes === true
}
