// Its only implementation: pool, statements, errors.
import pg from 'pg'
import { parseIntoClientConfig } from 'pg-connection-string'
import type { Clock } from '../clock.ts'
import { messageOf, Problem, Refusal } from '../errors.ts'
import type { Observe } from '../observation.ts'
import { sqlState } from '../sql-state.ts'
import { inspect } from './inspection.ts'
import type { Origin, Query, Values } from './origin.ts'

export interface PostgresSettings {
  url: string
  connections: number
  statementTimeoutMs: number
  /** The most rows, and bytes of JSON, one answer may have. */
  maxRows: number
  maxBytes: number
}

// The server gives up first; this is for a server, or a network, that does not answer at all.
const clientGraceMs = 250

/**
 * Reads from PostgreSQL: a pool of read-only sessions, each route's statement prepared once a session under its own name.
 *
 * Behind a pooler (PgBouncer in transaction mode) there are no sessions to set up and no statements to find again: there each
 * statement is in a read-only transaction that sets its own timeout, three requests sent in one go.
 *
 * PostgreSQL writes the JSON, so int8, numeric, dates and timestamps arrive as it spells them and no object is made of them
 * here. A connection is given up only when it is the connection that failed: an SQL error, a timeout of the server's
 * included, leaves it in the pool.
 */
export function postgresOrigin(settings: PostgresSettings, clock: Clock, observe: Observe): Origin {
  const { statementTimeoutMs } = settings
  /** Connections that lead to a pooler. */
  const pooled = new WeakSet<pg.ClientBase>()
  const knownPrivate = new Map<string, string>()
  const pool = new pg.Pool({
    // Given as a whole, an address would have its own settings go before the program's.
    ...parseIntoClientConfig(settings.url),
    max: settings.connections,
    application_name: 'onramp',
    pipeline: true,
    // Ends the connection. The program's own timer comes first, and asks the server to stop.
    query_timeout: statementTimeoutMs + clientGraceMs * 4,
    onConnect: async (client) => {
      if (await isPooled(client, statementTimeoutMs)) pooled.add(client)
    },
    connectionTimeoutMillis: statementTimeoutMs,
    idleTimeoutMillis: 60_000,
    keepAlive: true,
    // Behind a load balancer, and after a failover, connections must not stay where they are for ever.
    maxLifetimeSeconds: 1800,
  })
  // A connection that breaks says so by an event; without a listener that ends the process.
  pool.on('error', (error) => observe({ kind: 'origin-connection-lost', error }))
  pool.on('connect', (client) => client.on('error', () => {})) // while checked out: its query rejects with the same error

  async function connect(): Promise<pg.PoolClient> {
    try {
      return await pool.connect()
    } catch (error) {
      throw new Problem('origin-unavailable', 'There is no connection to the database.', { cause: error })
    }
  }

  async function run(query: Query, values: Values, sent: () => void): Promise<Row> {
    const client = await connect()
    let failure: unknown
    const late = Promise.withResolvers<never>()
    const stopTimer = clock.after(statementTimeoutMs + clientGraceMs, () => {
      cancel(client)
      late.reject(new Problem('origin-timeout', 'The server does not answer, not even that it took too long.'))
    })
    try {
      sent()
      const statement = {
        name: `r${query.version}`,
        text: limited(query, settings),
        values: query.statement.names.map((name) => values[name] ?? null),
        rowMode: 'array',
      }
      const asked = pooled.has(client)
        ? inTransaction(client, statement, statementTimeoutMs)
        : client.query<Row>(statement)
      const { rows } = await Promise.race([asked, late.promise])
      return rows[0] as Row
    } catch (error) {
      failure = error
      throw error
    } finally {
      stopTimer()
      client.release(isOfConnection(failure) ? true : undefined)
    }
  }

  /** Asks the server, over another connection, to stop what `client` has given up on (PostgreSQL's CancelRequest). */
  function cancel(client: pg.PoolClient): void {
    const { processID, secretKey } = client as pg.PoolClient & Cancelling
    const { connection, host, port } = new pg.Client(parseIntoClientConfig(settings.url)) as pg.Client & Cancelling
    connection.on('error', () => {}) // a server that cannot be reached runs nothing for long: its own timeout ends it
    connection.on('connect', () => connection.cancel(processID, secretKey))
    if (host.startsWith('/')) connection.connect(`${host}/.s.PGSQL.${port}`)
    else connection.connect(port, host)
  }

  return {
    async query(query, values, sent = () => {}) {
      const began = clock.now()
      const seconds = () => (clock.now() - began) / 1000
      try {
        const [text, rows, bytes] = await run(query, values, sent)
        if (rows > settings.maxRows)
          throw new Problem('origin-failed', `The answer has more than ${settings.maxRows} rows.`)
        if (bytes !== null && bytes > settings.maxBytes)
          throw new Problem('origin-failed', `The answer has ${bytes} bytes; ${settings.maxBytes} are the most.`)
        if (query.returns === 'row' && rows > 1)
          throw new Problem('origin-failed', 'The statement of this route found more than one row.')
        observe({ kind: 'origin-query', route: query.route, outcome: 'ok', seconds: seconds() })
        return { json: text ?? (query.returns === 'rows' ? '[]' : ''), rows }
      } catch (error) {
        const problem = asProblem(error)
        const outcome = outcomes[problem.code] ?? 'failed'
        observe({ kind: 'origin-query', route: query.route, outcome, seconds: seconds(), error })
        throw problem
      }
    },
    async warm(connections) {
      const clients = await Promise.allSettled(Array.from({ length: connections }, connect))
      for (const one of clients) if (one.status === 'fulfilled') one.value.release()
    },
    async inspect(queries, privateTables) {
      try {
        const client = await connect()
        try {
          return await inspect(client, queries, privateTables, wrap, kindOf, knownPrivate)
        } finally {
          client.release(true)
        }
      } catch (error) {
        const cause = error instanceof Problem ? error.cause : error
        throw new Refusal(`The database cannot be asked about the routes: ${messageOf(cause)}`, { cause })
      }
    },
    get connections() {
      return { total: pool.totalCount, idle: pool.idleCount, waiting: pool.waitingCount }
    },
    close: () => pool.end(),
  }
}

/**
 * Makes a new connection a read-only session with a timeout of its own, unless it leads to a pooler; resolves to whether it does.
 *
 * A pooler gives the keys of its own for cancelling, so the process it says it is is not the one that answers. What is set there
 * would stay with a connection of the server that somebody else gets next, so in that case the statement sets nothing. A pooler
 * refuses, or drops, settings that come with the connection itself; that is why they come after it everywhere.
 */
async function isPooled(client: pg.ClientBase, statementTimeoutMs: number): Promise<boolean> {
  const { rowCount } = await client.query(
    `select set_config('default_transaction_read_only', 'on', false), set_config('statement_timeout', $2, false)
      where pg_backend_pid() = $1`,
    [(client as pg.ClientBase & Cancelling).processID, String(statementTimeoutMs)],
  )
  return rowCount === 0
}

/** Runs `statement` in a transaction of its own, without a name: behind a pooler nothing else is sure to reach the same server. */
async function inTransaction(client: pg.ClientBase, statement: pg.QueryConfig, statementTimeoutMs: number) {
  const { name: _elsewhere, ...unnamed } = statement
  // After an error COMMIT rolls back, and the connection is free again.
  const [, answer] = await Promise.all([
    client.query(`begin read only; set local statement_timeout = ${statementTimeoutMs}`),
    client.query<Row>(unnamed),
    client.query('commit'),
  ])
  return answer
}

/** Opens and closes one connection, and refuses what is not PostgreSQL 14 or later. `shown` is the address without secrets. */
export async function checkServer(url: string, shown: string): Promise<void> {
  let client: pg.Client | undefined
  try {
    client = new pg.Client({
      ...parseIntoClientConfig(url),
      connectionTimeoutMillis: 5000,
      query_timeout: 5000,
      application_name: 'onramp',
    })
    client.on('error', () => {}) // the call under way rejects with it
    await client.connect()
    const { rows } = await client.query<{ number: number; version: string }>(
      `select current_setting('server_version_num')::int as number, current_setting('server_version') as version`,
    )
    const { number, version } = rows[0] as { number: number; version: string }
    if (number < 140_000)
      throw new Refusal(`The database at ${shown} is PostgreSQL ${version}; onramp needs 14 or later.`)
  } catch (error) {
    if (error instanceof Refusal) throw error
    throw new Refusal(`The database at ${shown} cannot be reached: ${messageOf(error)}`, { cause: error })
  } finally {
    await client?.end().catch(() => {}) // it may never have begun
  }
}

/** A route's SELECT, made to answer one row: the JSON as text, and how many rows are in it. */
function wrap(
  { statement, returns }: Query,
  placeholder: (name: string, index: number) => string = (_name, i) => `$${i + 1}`,
  limit = '',
): string {
  const json =
    returns === 'rows'
      ? `'[' || string_agg(row_to_json(onramp_row)::text, ',') || ']'`
      : `min(row_to_json(onramp_row)::text)`
  return `select ${json}, count(*)::int from (select * from (\n${statement.render(placeholder)}\n) onramp_statement ${limit}) onramp_row`
}

/** What one statement answers: the JSON unless it is too large, rows up to one more than may be, bytes of the JSON. */
type Row = [text: string | null, rows: number, bytes: number | null]

/**
 * A route's statement as it is sent. The server stops at one row more than may be, and keeps what is too large to itself: neither
 * crosses the network, nor is it ever held here.
 */
function limited(query: Query, { maxRows, maxBytes }: PostgresSettings): string {
  return `select case when octet_length(json) <= ${maxBytes} then json end, rows, octet_length(json)
from (${wrap(query, undefined, `limit ${maxRows + 1}`)}) onramp_answer (json, rows)`
}

/** What pg keeps to itself of a client: by what the server knows it, and its connection before anybody has logged in. */
interface Cancelling {
  processID: number
  secretKey: unknown
  connection: {
    on(event: 'error' | 'connect', listener: () => void): void
    connect(portOrPath: number | string, host?: string): void
    cancel(processID: number, secretKey: unknown): void
  }
}

const outcomes: Partial<Record<Problem['code'], 'timeout' | 'unavailable'>> = {
  'origin-timeout': 'timeout',
  'origin-unavailable': 'unavailable',
}

/** Whether it was the connection that failed, rather than the statement: no SQLSTATE, class 08, or an administrator's 57P0x. */
function isOfConnection(error: unknown): boolean {
  if (error === undefined) return false
  const state = sqlState(error)
  return state === undefined || /^(08|57P0)/.test(state)
}

/** A lock, a deadlock or the time limit (57014) may not be there the next time; 53xxx is no room. */
function kindOf(error: unknown): 'of the connection' | 'of the moment' | 'of the statement' {
  if (isOfConnection(error)) return 'of the connection'
  return /^(53|55P03|40P01|57014)/.test(sqlState(error) ?? '') ? 'of the moment' : 'of the statement'
}

function asProblem(error: unknown): Problem {
  if (error instanceof Problem) return error
  const state = sqlState(error)
  // 57014 is a cancelled query: the server's statement_timeout.
  if (state === '57014') {
    return new Problem('origin-timeout', 'The statement took too long.', { cause: error })
  }
  // 53xxx: out of connections, memory or disk.
  if (isOfConnection(error) || state?.startsWith('53')) {
    return new Problem('origin-unavailable', 'There is no connection to the database.', { cause: error })
  }
  return new Problem('origin-failed', 'The statement of this route failed.', { cause: error })
}
