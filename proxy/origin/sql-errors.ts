// Classification of pg errors: connection, temporary, or statement.
import { Problem } from '../errors.ts'
import { sqlState } from '../sql-state.ts'

/** Whether the connection failed, not the statement: no SQLSTATE, class 08, or an administrator's 57P0x. */
export function isOfConnection(error: unknown): boolean {
  if (error === undefined) return false
  const state = sqlState(error)
  return state === undefined || /^(08|57P0)/.test(state)
}

/** A lock, a deadlock or a timeout (57014) is temporary; 53xxx is a lack of resources. */
export function kindOf(error: unknown): 'of the connection' | 'of the moment' | 'of the statement' {
  if (isOfConnection(error)) return 'of the connection'
  return /^(53|55P03|40P01|57014)/.test(sqlState(error) ?? '') ? 'of the moment' : 'of the statement'
}

/** The problem that a client gets for `error` of a route's statement. */
export function problemOfStatement(error: unknown): Problem {
  if (error instanceof Problem) return error
  const state = sqlState(error)
  // 57014 is a canceled query: the server's statement_timeout.
  if (state === '57014') {
    return new Problem(
      'origin-timeout',
      'PostgreSQL canceled the statement of this route at its timeout. Retry later.',
      {
        cause: error,
      },
    )
  }
  // 53xxx: out of connections, memory or disk.
  if (isOfConnection(error) || state?.startsWith('53')) {
    return new Problem(
      'origin-unavailable',
      'The connection to the database failed. Retry after the time in Retry-After.',
      { cause: error },
    )
  }
  return new Problem(
    'origin-failed',
    'The statement of this route failed. Quote the X-Request-Id of this response to the operator.',
    { cause: error },
  )
}
