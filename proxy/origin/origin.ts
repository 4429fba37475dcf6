// The origin interface: the database as the cache uses it.
import type { Statement } from '../statement.ts'

/** A prepared read: the statement, its name, and the shape of its result. */
export interface Query {
  route: string
  /** Names the prepared statement on the server. It changes with the SQL. */
  version: string
  statement: Statement
  /** `rows`: a JSON array of all rows. `row`: one JSON object, or no row. */
  returns: 'rows' | 'row'
  /** Tables of which an answer depends only on the rows where a column equals a parameter or one of its items. */
  rows: Readonly<Record<string, RowRule>>
  /** The route's share of the database. Without a limit, the default share applies. */
  share: { limit?: number | undefined; reserve: number; queue: number }
}

export interface RowRule {
  column: string
  parameter: string
  holds: 'texts' | 'integers'
}

type Scalar = string | number | boolean

/** Bound by name. A list becomes a PostgreSQL array, `null` a NULL. */
export type Values = Readonly<Record<string, Scalar | readonly Scalar[] | null>>

/** The JSON as PostgreSQL wrote it (empty for no row), and its number of rows. */
export interface OriginAnswer {
  json: string
  rows: number
}

/** The database, seen from the cache. */
export interface Origin {
  /**
   * Runs one read. Rejects with a Problem: `origin-unavailable` if there is no connection, `origin-timeout` if the
   * answer took too long, `origin-failed` if the statement failed, `shed` if it was not tried. `sent` is called in the
   * tick in which the statement is sent, possibly long after this call.
   */
  query(query: Query, values: Values, sent?: () => void): Promise<OriginAnswer>
  /** Asks the server about `queries` before they are served. See `origin/inspection`. */
  inspect(queries: readonly Query[], privateTables: readonly string[]): Promise<Inspection>
  /** Opens up to `connections` connections before they are needed. */
  warm(connections: number): Promise<void>
  readonly connections: { total: number; idle: number; waiting: number }
  close(): Promise<void>
}

export interface Inspection {
  /** Sentences. Any fault rejects the configuration. */
  faults: string[]
  /** Sentences about checks that were not possible. */
  warnings: string[]
  routes: Map<string, InspectedRoute>
  /** Names of routes whose statement reads a private table. Each of them also has a fault. */
  exposing: Set<string>
  /** Whether a fault is temporary: a lock, a timeout, or a lack of resources. */
  isOfMoment: boolean
}

export interface InspectedRoute {
  parameterTypes: Record<string, string>
  /** Tables and views. */
  tables: string[]
  /** With their argument types. Functions of PostgreSQL itself are left out. */
  functions: string[]
}
