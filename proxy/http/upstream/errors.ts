// What can go wrong with the upstream, in the terms of a reply.
import { codeOf, Problem } from '../../errors.ts'

/** Whether the connection was gone, rather than the answer odd. */
export function isConnectionClosed(error: Error): boolean {
  const code = codeOf(error)
  if (code === 'ECONNRESET' || code === 'EPIPE') return true
  return code === 'UND_ERR_SOCKET' && /^(other side )?closed$/.test(error.message)
}

/** What went wrong with the upstream, in the words a client gets. */
export function problemOf(error: Error): Problem {
  if (error instanceof Problem) return error
  const isTimeout = /_TIMEOUT$|^ETIMEDOUT$/.test(codeOf(error) ?? '')
  if (isTimeout) return new Problem('upstream-timeout', 'The web tier does not answer in time.', { cause: error })
  return new Problem('upstream-failed', 'The web tier cannot be asked, or its answer not be understood.', {
    cause: error,
  })
}
