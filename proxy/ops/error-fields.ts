// An error as the fields of a log line: its message, and its SQLSTATE or another code.
import { codeOf, messageOf } from '../errors.ts'
import { sqlState } from '../sql-state.ts'

/** `errorCode`: a code of Node.js, undici, Fastify or onramp itself. A SQLSTATE is never an `errorCode`. */
export interface ErrorFields {
  error?: string
  sqlState?: string
  errorCode?: string
}

/**
 * The message and the code of the innermost cause of `error`; nothing for `undefined`.
 *
 * PostgreSQL quotes values of the database in its messages of class 22 (data exception): such a message is replaced.
 */
export function errorFields(error: unknown): ErrorFields {
  let innermost = error
  while (innermost instanceof Error && innermost.cause !== undefined) innermost = innermost.cause
  if (innermost === undefined) return {}
  const code = codeOf(innermost)
  const message = /^22\w{3}$/.test(code ?? '') ? 'PostgreSQL rejected a value (data exception)' : messageOf(innermost)
  const state = sqlState(innermost)
  if (state !== undefined) return { error: message, sqlState: state }
  return code === undefined ? { error: message } : { error: message, errorCode: code }
}
