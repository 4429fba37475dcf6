// The database, seen from the cache.
import type { Statement } from '../statement.ts'

/** A prepared read: what to ask, under which name, and what comes back. */
export interface Query {
  route: string
  /** Names the prepared statement on the server: changes with the SQL. */
  version: string
  statement: Statement
  /** `rows`: a JSON array of all rows. `row`: one JSON object, or no row. */
  returns: 'rows' | 'row'
  /** Tables of which only the rows matter whose column equals a parameter, or one of its items, as texts or as whole numbers. */
  rows: Readonly<Record<string, RowRule>>
  /** What of the database its route may have; without a limit, the usual one. */
  share: { limit?: number | undefined; reserve: number; queue: number }
}

export interface RowRule {
  column: string
  parameter: string
  holds: 'texts' | 'integers'
}

type Scalar = string | number | boolean

/** Bound by name; a list becomes a PostgreSQL array, `null` a NULL. */
export type Values = Readonly<Record<string, Scalar | readonly Scalar[] | null>>

/** The JSON as PostgreSQL wrote it (empty for no row), and how many rows it holds. */
export interface OriginAnswer {
  json: string
  rows: number
}

/** The database, seen from the cache. */
export interface Origin {
  /**
   * Runs one read. Rejects with a Problem: `origin-unavailable` when there is no connection to be had, `origin-timeout` when the
   * answer took too long, `origin-failed` when the statement failed, `shed` when it is not even tried. `sent` is called in the
   * tick the statement is sent, which may be a while after this call.
   */
  query(query: Query, values: Values, sent?: () => void): Promise<OriginAnswer>
  /** What the server says of `queries` before they are served. See `origin/inspection`. */
  inspect(queries: readonly Query[], privateTables: readonly string[]): Promise<Inspection>
  /** Opens connections ahead of the first that need them; as many as it can. */
  warm(connections: number): Promise<void>
  readonly connections: { total: number; idle: number; waiting: number }
  close(): Promise<void>
}

export interface Inspection {
  /** Whole sentences; any of them refuses the configuration. */
  faults: string[]
  /** Whole sentences; what could not be seen. */
  warnings: string[]
  routes: Map<string, InspectedRoute>
  /** Names of routes whose statement reads a private table; each of them has a fault too. */
  exposing: Set<string>
  /** Whether a fault is only of the moment: something is locked, or takes too long, or there is no room. */
  isOfMoment: boolean
}

export interface InspectedRoute {
  parameterTypes: Record<string, string>
  /** Tables and views. */
  tables: string[]
  /** With the types of their arguments; those of PostgreSQL itself are left out. */
  functions: string[]
}
