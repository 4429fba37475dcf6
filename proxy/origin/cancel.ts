// Cancel requests: they ask the server to stop a statement.
import pg from 'pg'
import { parseIntoClientConfig } from 'pg-connection-string'

/** Private parts of a pg client: the keys by which the server knows it, and its connection before authentication. */
interface ClientInternals {
  processID: number
  secretKey: unknown
  host: string
  port: number
  connection: {
    on(event: 'error' | 'connect', listener: () => void): void
    connect(portOrPath: number | string, host?: string): void
    cancel(processID: number, secretKey: unknown): void
  }
}

/**
 * The only place that reads private parts of a client: pg implements the cancel request but offers no method for it.
 */
function internalsOf(client: pg.ClientBase): ClientInternals {
  return client as pg.ClientBase & ClientInternals
}

/** The id of the server process of `client`, as reported at connection. A pooler reports a number of its own. */
export function serverProcessOf(client: pg.ClientBase): number {
  return internalsOf(client).processID
}

/**
 * Asks the server at `url`, over another connection, to stop the statement that `client` has abandoned (CancelRequest).
 */
export function cancel(client: pg.ClientBase, url: string): void {
  const { processID, secretKey } = internalsOf(client)
  const { connection, host, port } = internalsOf(new pg.Client(parseIntoClientConfig(url)))
  connection.on('error', () => {}) // if the server cannot be reached, its own timeout ends the statement
  connection.on('connect', () => connection.cancel(processID, secretKey))
  if (host.startsWith('/')) connection.connect(`${host}/.s.PGSQL.${port}`)
  else connection.connect(port, host)
}
