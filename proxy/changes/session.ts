// The sessions that following the database needs, and what ends one.
import type { EventEmitter } from 'node:events'
import type { Socket } from 'node:net'
import pg from 'pg'
import { parseIntoClientConfig } from 'pg-connection-string'

/** A session that follows, with what pg keeps to itself of its connection and replication needs. */
export type Client = pg.Client & {
  processID: number
  connection: EventEmitter<{ copyData: [{ chunk: Buffer }]; replicationStart: [] }> & {
    stream: Socket
    sendCopyFromChunk(chunk: Buffer): void
  }
}

/** The most an answer of the server takes, beside the making of a slot: past this it is not there any more. */
const patienceMs = 5000

/**
 * Opens a session of its own for following. It may write (a logical message is written), and what it commits waits for no standby.
 * A loss is told by the query that meets it, and by its events.
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
  client.on('error', () => {}) // whoever asks next is told
  await client.connect()
  return client
}

/** Runs one statement, and gives up on it, and the session, when no answer comes. One with a `name` is parsed once a session. */
export async function query<R extends pg.QueryResultRow>(
  client: Client,
  text: string,
  values: readonly unknown[] = [],
  name?: string,
): Promise<R[]> {
  // Of `query_timeout` pg's types do not know.
  const config = { text, values: [...values], query_timeout: patienceMs, ...(name !== undefined && { name }) }
  const { rows } = await client.query<R>(config)
  return rows
}

/** The end of a session, told to whoever waits for something then. (A promise that all waits were raced against would remember them all.) */
export class Ending {
  readonly #waiting = new Set<(error: unknown) => void>()
  #ended: { error: unknown } | undefined

  end(error: unknown): void {
    this.#ended ??= { error }
    for (const reject of this.#waiting) reject(error)
    this.#waiting.clear()
  }

  /** The result of `work`; rejects with what ends the session, if that comes first. */
  unless<T>(work: Promise<T>): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>()
    if (this.#ended !== undefined) reject(this.#ended.error)
    this.#waiting.add(reject)
    work.then(resolve, reject).finally(() => this.#waiting.delete(reject))
    return promise
  }
}
