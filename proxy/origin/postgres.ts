// The PostgreSQL origin: connection pool, prepared statements, timeouts.
import pg from 'pg'
import { parseIntoClientConfig } from 'pg-connection-string'
import type { Clock } from '../clock.ts'
import { messageOf, Problem, Refusal } from '../errors.ts'
import type { Observe } from '../observation.ts'
import { type AnswerLimits, type AnswerRow, answerOf, limitedSql } from './answer-sql.ts'
import { cancel, serverProcessOf } from './cancel.ts'
import { Inspector } from './inspection.ts'
import type { Inspection, Origin, OriginAnswer, Query, Values } from './origin.ts'
import { isOfConnection, problemOfStatement } from './sql-errors.ts'

export interface PostgresSettings extends AnswerLimits {
  url: string
  connections: number
  statementTimeoutMs: number
}

// The server's own timeout comes first. This one covers a server, or a network, that does not reply at all.
const clientGraceMs = 250

/**
 * Reads from PostgreSQL: a pool of read-only sessions. Each route's statement is prepared once per session, under its
 * own name.
 *
 * Behind a pooler (PgBouncer in transaction mode) a session cannot be set up, and prepared statements cannot be found
 * again. There each statement runs in a read-only transaction that sets its own timeout: three requests sent together.
 *
 * PostgreSQL writes the JSON, so int8, numeric, dates and timestamps keep its spelling, and no objects are built here.
 * A connection is discarded only when the connection itself failed. After an SQL error, such as a timeout of the
 * server, it stays in the pool.
 */
export class PostgresOrigin implements Origin {
  readonly #settings: PostgresSettings
  readonly #clock: Clock
  readonly #observe: Observe
  readonly #pool: pg.Pool
  /** Connections to a pooler. */
  readonly #pooled = new WeakSet<pg.ClientBase>()
  /** Names of all tables that have ever been private, by oid: a table stays private when it is renamed. */
  readonly #knownPrivate = new Map<string, string>()

  constructor(settings: PostgresSettings, clock: Clock, observe: Observe) {
    this.#settings = settings
    this.#clock = clock
    this.#observe = observe
    this.#pool = this.#newPool()
  }

  #newPool(): pg.Pool {
    const { url, connections, statementTimeoutMs } = this.#settings
    const pool = new pg.Pool({
      // Parsed first: given as a whole, the settings in an address would override the program's.
      ...parseIntoClientConfig(url),
      max: connections,
      application_name: 'onramp',
      pipeline: true,
      // Closes the connection. The program's own timer fires earlier, and asks the server to stop.
      query_timeout: statementTimeoutMs + clientGraceMs * 4,
      onConnect: async (client) => {
        if (await isPooled(client, statementTimeoutMs)) this.#pooled.add(client)
      },
      connectionTimeoutMillis: statementTimeoutMs,
      idleTimeoutMillis: 60_000,
      keepAlive: true,
      // Behind a load balancer, and after a failover, connections must move eventually.
      maxLifetimeSeconds: 1800,
    })
    // A broken connection emits 'error'; without a listener that would end the process.
    pool.on('error', (error) => this.#observe({ kind: 'origin-connection-lost', error }))
    pool.on('connect', (client) => client.on('error', () => {})) // while checked out: its query rejects with the same error
    return pool
  }

  async query(query: Query, values: Values, sent = () => {}): Promise<OriginAnswer> {
    const { route } = query
    const began = this.#clock.now()
    const seconds = () => (this.#clock.now() - began) / 1000
    try {
      const answer = answerOf(query, await this.#run(query, values, sent), this.#settings)
      this.#observe({ kind: 'origin-query', route, outcome: 'ok', seconds: seconds() })
      return answer
    } catch (error) {
      const problem = problemOfStatement(error)
      const outcome = outcomes[problem.code] ?? 'failed'
      this.#observe({ kind: 'origin-query', route, outcome, seconds: seconds(), error })
      throw problem
    }
  }

  async #run(query: Query, values: Values, sent: () => void): Promise<AnswerRow> {
    const { url, statementTimeoutMs } = this.#settings
    const client = await this.#connect()
    let failure: unknown
    const late = Promise.withResolvers<never>()
    const stopTimer = this.#clock.after(statementTimeoutMs + clientGraceMs, () => {
      cancel(client, url)
      late.reject(
        new Problem('origin-timeout', `PostgreSQL did not reply within ${statementTimeoutMs + clientGraceMs} ms.`),
      )
    })
    try {
      sent()
      const statement: pg.QueryArrayConfig = {
        name: `r${query.version}`,
        text: limitedSql(query, this.#settings),
        values: query.statement.names.map((name) => values[name] ?? null),
        rowMode: 'array',
      }
      const asked = this.#pooled.has(client)
        ? inTransaction(client, statement, statementTimeoutMs)
        : client.query<AnswerRow>(statement)
      const { rows } = await Promise.race([asked, late.promise])
      const [row] = rows
      if (row === undefined)
        throw new Problem('origin-failed', 'PostgreSQL returned no result for the statement of this route.')
      return row
    } catch (error) {
      failure = error
      throw error
    } finally {
      stopTimer()
      client.release(isOfConnection(failure) ? true : undefined)
    }
  }

  async #connect(): Promise<pg.PoolClient> {
    try {
      return await this.#pool.connect()
    } catch (error) {
      throw new Problem(
        'origin-unavailable',
        'No connection to the database could be made. Retry after the time in Retry-After.',
        { cause: error },
      )
    }
  }

  async warm(connections: number): Promise<void> {
    const clients = await Promise.allSettled(Array.from({ length: connections }, () => this.#connect()))
    for (const one of clients) if (one.status === 'fulfilled') one.value.release()
  }

  async inspect(queries: readonly Query[], privateTables: readonly string[]): Promise<Inspection> {
    try {
      const client = await this.#connect()
      try {
        return await new Inspector(client, this.#knownPrivate).inspect(queries, privateTables)
      } finally {
        client.release(true)
      }
    } catch (error) {
      const cause = error instanceof Problem ? error.cause : error
      throw new Refusal(`The routes cannot be checked against the database: ${messageOf(cause)}`, { cause })
    }
  }

  get connections(): Origin['connections'] {
    return { total: this.#pool.totalCount, idle: this.#pool.idleCount, waiting: this.#pool.waitingCount }
  }

  close(): Promise<void> {
    return this.#pool.end()
  }
}

const outcomes: Partial<Record<Problem['code'], 'timeout' | 'unavailable'>> = {
  'origin-timeout': 'timeout',
  'origin-unavailable': 'unavailable',
}

/**
 * Makes a new connection a read-only session with a timeout of its own, unless it leads to a pooler. Resolves to
 * whether it leads to a pooler.
 *
 * A pooler issues its own cancel keys, so the process id it reports is not that of the backend that replies. A setting
 * made there would stay on a server connection that another client gets later; so in that case the statement sets
 * nothing. A pooler rejects, or drops, settings in the startup message; so they are set after connecting, everywhere.
 */
async function isPooled(client: pg.ClientBase, statementTimeoutMs: number): Promise<boolean> {
  const { rowCount } = await client.query(
    `select set_config('default_transaction_read_only', 'on', false), set_config('statement_timeout', $2, false)
      where pg_backend_pid() = $1`,
    [serverProcessOf(client), String(statementTimeoutMs)],
  )
  return rowCount === 0
}

/**
 * Runs `statement` in a transaction of its own, without a name: behind a pooler nothing else surely reaches the same
 * server.
 */
async function inTransaction(client: pg.ClientBase, statement: pg.QueryArrayConfig, statementTimeoutMs: number) {
  const { name: _elsewhere, ...unnamed } = statement
  // After an error COMMIT rolls back, and the connection is free again.
  const [, answer] = await Promise.all([
    client.query(`begin read only; set local statement_timeout = ${statementTimeoutMs}`),
    client.query<AnswerRow>(unnamed),
    client.query('commit'),
  ])
  return answer
}
