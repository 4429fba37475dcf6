// The database sessions for following, and the end of one.
import type { EventEmitter } from 'node:events'
import type { Socket } from 'node:net'
import pg from 'pg'
import { parseIntoClientConfig } from 'pg-connection-string'

/** A session for following, with the private members of pg that replication needs. */
export type Client = pg.Client & {
  processID: number
  connection: EventEmitter<{ copyData: [{ chunk: Buffer }]; replicationStart: [] }> & {
    stream: Socket
    sendCopyFromChunk(chunk: Buffer): void
  }
}

/** Timeout of one answer, in milliseconds; making a slot has none. After that the server counts as gone. */
const patienceMs = 5000

/**
 * Opens a separate session for following. It may write (for logical messages), and its commits wait for no standby. A
 * lost connection rejects the query that meets it, and emits events.
 */
export async function connect(url: string, { replication, ...settings }: Record<string, string> = {}): Promise<Client> {
  const address = parseIntoClientConfig(url)
  const all = {
    default_transaction_read_only: 'off',
    synchronous_commit: 'local',
    statement_timeout: '0',
    idle_session_timeout: '0',
    ...settings,
  }
  const options = Object.entries(all).map(([name, value]) => `-c ${name}=${value}`)
  const client = new pg.Client({
    ...address,
    options: [address.options ?? '', ...options].join(' ').trim(),
    application_name: 'onramp changes',
    connectionTimeoutMillis: patienceMs,
    keepAlive: true,
    ...(replication !== undefined && { replication }),
  }) as Client
  client.on('error', () => {}) // the next query rejects
  await client.connect()
  return client
}

/**
 * Runs one statement. If no answer comes, it gives up the statement, and the session with it. A statement with a `name`
 * is parsed once a session.
 */
export async function query<R extends pg.QueryResultRow>(
  client: Client,
  text: string,
  values: readonly unknown[] = [],
  name?: string,
): Promise<R[]> {
  // pg's types lack `query_timeout`.
  const config = { text, values: [...values], query_timeout: patienceMs, ...(name !== undefined && { name }) }
  const { rows } = await client.query<R>(config)
  return rows
}

/**
 * The end of a session: rejects the waits under way. (One promise that all waits were raced against would keep all of
 * them alive.)
 */
export class Ending {
  readonly #waiting = new Set<(error: unknown) => void>()
  #ended: { error: unknown } | undefined

  end(error: unknown): void {
    this.#ended ??= { error }
    for (const reject of this.#waiting) reject(error)
    this.#waiting.clear()
  }

  /** The result of `work`; rejects with the reason for the end of the session, if that comes first. */
  unless<T>(work: Promise<T>): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>()
    if (this.#ended !== undefined) reject(this.#ended.error)
    this.#waiting.add(reject)
    work.then(resolve, reject).finally(() => this.#waiting.delete(reject))
    return promise
  }
}
