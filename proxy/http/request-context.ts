// The state of one request, from its head to its response.
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Answer, Read } from '../cache/answer.ts'
import type { RequestHead } from './head.ts'
import type { RouteTable } from './routes/table.ts'

/**
 * The route of a request, and the parameters in its path. `read`: the cache read of a GET for this target, if
 * remembered.
 */
export type RouteMatch = NonNullable<ReturnType<RouteTable['find']>> & { read?: Read }

export interface RequestContext {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly head: RequestHead
  readonly match: RouteMatch | undefined
  /** When its head was read, on the clock, in milliseconds. */
  readonly began: number
  answer: Answer | undefined
  /** Set for a failed request only. */
  requestId: string | undefined
  error: unknown
  /** Whether its response has been observed, or another part will do it: each is observed once. */
  isObserved: boolean
}
