// Startup check: the database is reachable, and its version is supported.
import pg from 'pg'
import { parseIntoClientConfig } from 'pg-connection-string'
import { messageOf, Refusal } from '../errors.ts'

/**
 * Opens and closes one connection. Throws a {@link Refusal} if that fails, or if the server is not PostgreSQL 14 or
 * later. `shown` is the address without secrets.
 */
export async function checkServer(url: string, shown: string): Promise<void> {
  let client: pg.Client | undefined
  try {
    client = new pg.Client({
      ...parseIntoClientConfig(url),
      connectionTimeoutMillis: 5000,
      query_timeout: 5000,
      application_name: 'onramp',
    })
    client.on('error', () => {}) // the pending call rejects with it
    await client.connect()
    const { rows } = await client.query<{ number: number; version: string }>(
      `select current_setting('server_version_num')::int as number, current_setting('server_version') as version`,
    )
    for (const { number, version } of rows)
      if (number < 140_000)
        throw new Refusal(`The database at ${shown} is PostgreSQL ${version}; onramp requires 14 or later.`)
  } catch (error) {
    if (error instanceof Refusal) throw error
    throw new Refusal(`The database at ${shown} cannot be reached: ${messageOf(error)}`, { cause: error })
  } finally {
    await client?.end().catch(() => {}) // it may not be connected
  }
}
