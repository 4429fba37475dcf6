// Inspection of statements by the database before they are served.
import type { PoolClient } from 'pg'
import { messageOf } from '../errors.ts'
import { sqlState } from '../sql-state.ts'
import { jsonSql } from './answer-sql.ts'
import type { Inspection, Query } from './origin.ts'
import { type PlanNode, planNodes } from './plan.ts'
import { type ReferencedObject, referencedObjects, relationsOf, single, viewOf } from './referenced-objects.ts'
import { inspectRows } from './row-rules.ts'
import { kindOf } from './sql-errors.ts'

/**
 * Asks the server about each route's statement, without running it: the types of its parameters, the tables it reads,
 * and whether its answers may be cached.
 *
 * Every statement is prepared and explained (which also checks privileges). Then it is made into a temporary view, with
 * typed NULLs in place of its parameters, in a transaction that is rolled back. PostgreSQL stores a view as its parse
 * tree, which names every relation and every function by oid. Those are followed: views and materialized views through
 * their own trees, SQL-standard function bodies through theirs, aggregates to their support functions. So a private
 * table is found below all of these. A volatile function is found even if it is built in, for which PostgreSQL records
 * no dependency.
 *
 * A hot standby, or a role without TEMPORARY, allows no temporary view. Then the relations of the plan are followed in
 * the same way and volatile functions are not checked; a warning says so. Tables read by functions in other languages
 * cannot be seen; a warning names each function that may read any table. The server ensures that nothing is written: a
 * statement in a FROM cannot write, and every session is read-only.
 *
 * Do not use its client afterwards: the prepared statements outlive the transaction.
 */
export class Inspector {
  readonly #client: PoolClient
  /** Names of all tables that have ever been private, by oid: a table stays private when it is renamed. */
  readonly #known: Map<string, string>
  /** Names of the tables that are private now, by oid. */
  #forbidden = new Map<string, string>()
  #mayMakeViews = false
  readonly #inspection: Inspection = {
    faults: [],
    warnings: [],
    routes: new Map(),
    exposing: new Set(),
    isOfMoment: false,
  }

  constructor(client: PoolClient, known: Map<string, string>) {
    this.#client = client
    this.#known = known
  }

  /** Inspects `queries`. Call it once. Rejects when the connection fails. */
  async inspect(queries: readonly Query[], privateTables: readonly string[]): Promise<Inspection> {
    await this.#begin()
    await this.#forbid(privateTables)
    // Generic plans only, so that no plan is made for the NULLs of the EXPLAIN.
    await this.#client.query('set local plan_cache_mode = force_generic_plan')
    for (const [i, query] of queries.entries()) {
      const subject = `Route ${query.route}: the database rejects its statement`
      const inspect = () => this.#inspectRoute(query, `onramp_inspected_${i}`)
      await this.#attempt(subject, inspect, query.statement.names)
    }
    await forgetStatements(this.#client)
    await this.#client.query('rollback')
    for (const [oid, name] of this.#forbidden) this.#known.set(oid, name)
    return this.#inspection
  }

  async #begin(): Promise<void> {
    const isStandby = await isTrue(this.#client, 'pg_is_in_recovery()')
    await this.#client.query(isStandby ? 'begin' : 'begin read write')
    await forgetStatements(this.#client)
    this.#mayMakeViews =
      !isStandby && (await isTrue(this.#client, `has_database_privilege(current_database(), 'TEMPORARY')`))
    if (this.#mayMakeViews) return
    const why = isStandby ? 'the server is a standby' : 'the role lacks TEMPORARY on the database'
    this.#inspection.warnings.push(
      `Volatile functions are not checked, tables inside functions are not seen, and redefined views and functions go unnoticed: ${why}.`,
    )
  }

  async #forbid(privateTables: readonly string[]): Promise<void> {
    this.#forbidden = new Map([...this.#known].filter(([, name]) => privateTables.includes(name)))
    for (const name of privateTables) {
      const subject = `postgres.privateTables names ${name}`
      await this.#attempt(subject, async () => {
        const isThere = await addPrivate(this.#client, name, this.#forbidden)
        if (!isThere) this.#inspection.faults.push(`${subject}: the database has no relation of that name.`)
      })
    }
  }

  /** Runs one step and rolls back its changes. An SQL error becomes a fault of `subject`, with its parameters by name. */
  async #attempt(subject: string, run: () => Promise<void>, parameters: readonly string[] = []): Promise<void> {
    await this.#client.query('savepoint attempt')
    try {
      await run()
    } catch (error) {
      const kind = kindOf(error)
      if (kind === 'of the connection') throw error
      if (kind === 'of the moment') this.#inspection.isOfMoment = true
      this.#inspection.faults.push(`${subject}: ${sqlFault(error, parameters)}.`)
    }
    await this.#client.query('rollback to savepoint attempt')
  }

  async #inspectRoute(query: Query, name: string): Promise<void> {
    const { names } = query.statement
    const { types, plan } = await this.#prepare(query, name)
    const referenced = await this.#referencedBy(query, types, plan)
    this.#judgeTables(query.route, referenced)
    if (this.#mayMakeViews) this.#judgeFunctions(query.route, referenced)
    const tables = this.#followedTables(referenced)
    await this.#judgeRows(query, tables, plan)
    this.#inspection.routes.set(query.route, {
      parameterTypes: Object.fromEntries(names.map((parameter, i) => [parameter, types[i] ?? 'unknown'])),
      tables,
      functions: referenced.flatMap(({ kind, name }) => (kind === 'function' ? [name] : [])),
    })
  }

  /** Prepares the statement, and explains it, which also checks privileges. */
  async #prepare(query: Query, name: string): Promise<{ types: string[]; plan: PlanNode[] }> {
    await this.#client.query(single(`prepare ${name} as ${jsonSql(query)}`))
    const { rows } = await this.#client.query<{ types: string[] }>(
      `select parameter_types::text[] as types from pg_prepared_statements where name = '${name}'`,
    )
    const nulls = query.statement.names.map(() => 'null').join(', ')
    const explain = `explain (verbose, format json) execute ${name}${nulls === '' ? '' : `(${nulls})`}`
    const explained = await this.#client.query(single(explain))
    return { types: rows.flatMap(({ types }) => types), plan: planNodes(explained.rows) }
  }

  async #referencedBy(query: Query, types: readonly string[], plan: readonly PlanNode[]): Promise<ReferencedObject[]> {
    const typedNull = (_name: string, i: number) => `null::${types[i] ?? 'unknown'}`
    const start = this.#mayMakeViews
      ? await viewOf(this.#client, query.statement.render(typedNull), jsonSql(query, typedNull))
      : await relationsOf(this.#client, plan)
    return referencedObjects(this.#client, start)
  }

  #judgeTables(route: string, referenced: readonly ReferencedObject[]): void {
    const touched = referenced.flatMap(({ kind, oid }) => (kind === 'table' ? (this.#forbidden.get(oid) ?? []) : []))
    for (const table of new Set(touched)) {
      this.#inspection.faults.push(`Route ${route}: its statement reads ${table}, which is private.`)
      this.#inspection.exposing.add(route)
    }
  }

  #judgeFunctions(route: string, referenced: readonly ReferencedObject[]): void {
    const { faults, warnings } = this.#inspection
    const says = (kind: ReferencedObject['kind'], sentence: (name: string) => string) =>
      referenced.filter((found) => found.kind === kind).map(({ name }) => `Route ${route}: ${sentence(name)}`)
    faults.push(
      ...says('volatile', (called) => `its statement calls ${called}, which is volatile: its answer cannot be cached.`),
      ...says('any-table', (called) => `its statement calls ${called}, which can read any table.`),
      ...says('sample', () => 'its statement takes a random sample (TABLESAMPLE): its answer cannot be cached.'),
      ...says('lock', () => 'its statement locks rows (FOR UPDATE or FOR SHARE).'),
    )
    warnings.push(
      ...says(
        'opaque',
        (called) => `the tables that ${called} reads cannot be seen, so their changes do not invalidate this route.`,
      ),
    )
  }

  /** The names of the tables to follow, without the temporary views and the private tables. */
  #followedTables(referenced: readonly ReferencedObject[]): string[] {
    return referenced.flatMap(({ kind, oid, name }) =>
      kind === 'table' && !name.includes('onramp_inspected') && !this.#forbidden.has(oid) ? [name] : [],
    )
  }

  async #judgeRows(query: Query, tables: readonly string[], plan: readonly PlanNode[]): Promise<void> {
    const { faults, warnings } = await inspectRows(this.#client, query, tables, plan)
    this.#inspection.faults.push(...faults.map((fault) => `Route ${query.route}: ${fault}`))
    this.#inspection.warnings.push(...warnings.map((warning) => `Route ${query.route}: ${warning}`))
  }
}

/** The message of an SQL error, in which PostgreSQL numbers parameters, with their names. Untyped ones get advice (42P18). */
function sqlFault(error: unknown, parameters: readonly string[]): string {
  const named = (number: string, position: string) => {
    const name = parameters[Number(position) - 1]
    return name === undefined ? number : `:${name}`
  }
  const message = messageOf(error).replace(/\$(\d+)/g, named)
  return sqlState(error) === '42P18' ? `${message}; write its type after it, like ::integer` : message
}

/**
 * Removes prepared statements, of this inspection or of an interrupted one. They outlive the transaction, and behind a
 * pooler also the client.
 */
async function forgetStatements(client: PoolClient): Promise<void> {
  const { rows } = await client.query<{ text: string }>(
    `select format('deallocate %I', name) as text from pg_prepared_statements where name like 'onramp\\_inspected\\_%'`,
  )
  for (const { text } of rows) await client.query(text)
}

/**
 * Adds a private relation: its oid, those of its partitions and children, and of its parent tables. Resolves to whether
 * it exists.
 */
async function addPrivate(client: PoolClient, name: string, forbidden: Map<string, string>): Promise<boolean> {
  const { rows } = await client.query<{ oid: string }>(
    `with recursive up (oid) as (select to_regclass($1)::oid union select inhparent from pg_inherits join up on inhrelid = up.oid),
       down (oid) as (select to_regclass($1)::oid union select inhrelid from pg_inherits join down on inhparent = down.oid)
     select oid::text from up where oid is not null union select oid::text from down where oid is not null`,
    [name],
  )
  for (const { oid } of rows) forbidden.set(oid, name)
  // The planner's statistics contain values of every table.
  const statistics = await client.query<{ oid: string; name: string }>(
    `select oid::text, relname as name from pg_class where oid in ('pg_statistic'::regclass, 'pg_statistic_ext_data'::regclass)`,
  )
  for (const { oid, name: table } of statistics.rows) forbidden.set(oid, table)
  return rows.length > 0
}

async function isTrue(client: PoolClient, condition: string): Promise<boolean> {
  return (await client.query<{ yes: boolean }>(`select ${condition} as yes`)).rows[0]?.yes === true
}
