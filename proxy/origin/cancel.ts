// Asks the server to stop a statement.
import pg from 'pg'
import { parseIntoClientConfig } from 'pg-connection-string'

/** What pg keeps to itself of a client: by what the server knows it, and its connection before anybody has logged in. */
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

/** The one place that looks into a client: pg has a cancel request, but no way to ask for one. */
function internalsOf(client: pg.ClientBase): ClientInternals {
  return client as pg.ClientBase & ClientInternals
}

/** The server process that `client` is connected to, as it was told. A pooler tells a number of its own. */
export function serverProcessOf(client: pg.ClientBase): number {
  return internalsOf(client).processID
}

/** Asks the server at `url`, over another connection, to stop what `client` has given up on (PostgreSQL's CancelRequest). */
export function cancel(client: pg.ClientBase, url: string): void {
  const { processID, secretKey } = internalsOf(client)
  const { connection, host, port } = internalsOf(new pg.Client(parseIntoClientConfig(url)))
  connection.on('error', () => {}) // a server that cannot be reached runs nothing for long: its own timeout ends it
  connection.on('connect', () => connection.cancel(processID, secretKey))
  if (host.startsWith('/')) connection.connect(`${host}/.s.PGSQL.${port}`)
  else connection.connect(port, host)
}
