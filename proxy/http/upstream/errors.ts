// Upstream errors as problems.
import { codeOf, Problem } from '../../errors.ts'

/** Whether the connection was closed, as opposed to an invalid response. */
export function isConnectionClosed(error: Error): boolean {
  const code = codeOf(error)
  if (code === 'ECONNRESET' || code === 'EPIPE') return true
  return code === 'UND_ERR_SOCKET' && /^(other side )?closed$/.test(error.message)
}

/** The problem that a client gets for an error of the upstream. */
export function problemOf(error: Error): Problem {
  if (error instanceof Problem) return error
  const isTimeout = /_TIMEOUT$|^ETIMEDOUT$/.test(codeOf(error) ?? '')
  if (isTimeout)
    return new Problem('upstream-timeout', 'The upstream did not respond in time. Retry later.', { cause: error })
  return new Problem(
    'upstream-failed',
    'The upstream is unreachable, or its response is invalid. Retry later, or ask the operator to check the upstream.',
    {
      cause: error,
    },
  )
}
