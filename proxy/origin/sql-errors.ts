// What an error of pg says: of the connection, of the moment, or of the statement.
import { Problem } from '../errors.ts'
import { sqlState } from '../sql-state.ts'

/** Whether it was the connection that failed, rather than the statement: no SQLSTATE, class 08, or an administrator's 57P0x. */
export function isOfConnection(error: unknown): boolean {
  if (error === undefined) return false
  const state = sqlState(error)
  return state === undefined || /^(08|57P0)/.test(state)
}

/** A lock, a deadlock or the time limit (57014) may not be there the next time; 53xxx is no room. */
export function kindOf(error: unknown): 'of the connection' | 'of the moment' | 'of the statement' {
  if (isOfConnection(error)) return 'of the connection'
  return /^(53|55P03|40P01|57014)/.test(sqlState(error) ?? '') ? 'of the moment' : 'of the statement'
}

/** `error` of a route's statement as the problem its reader is told. */
export function problemOfStatement(error: unknown): Problem {
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
