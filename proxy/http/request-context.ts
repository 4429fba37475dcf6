// What is known of one request from its head to its response.
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Answer, Read } from '../cache/answer.ts'
import type { RequestHead } from './head.ts'
import type { RouteTable } from './routes/table.ts'

/** The route of a request, and what its path gives; what a GET for this very target asks of the cache, where that is known. */
export type RouteMatch = NonNullable<ReturnType<RouteTable['find']>> & { read?: Read }

export interface RequestContext {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly head: RequestHead
  readonly match: RouteMatch | undefined
  /** When its head was read, on the clock, in milliseconds. */
  readonly began: number
  answer: Answer | undefined
  /** Of a request that failed. */
  requestId: string | undefined
  error: unknown
  /** Whether its response is observed, or somebody else sees to that: each is once. */
  isObserved: boolean
}
