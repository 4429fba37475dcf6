// An error as a response: problem details (RFC 9457), and Retry-After: pure.
import { STATUS_CODES } from 'node:http'
import { Problem } from './errors.ts'

/** A complete response that has not been written yet. */
export interface ProblemReply {
  status: number
  headers: Record<string, string>
  body: Buffer
}

/**
 * A problem in the format of RFC 9457. `about:blank` means that its type says no more than its status. Never stored by
 * caches.
 */
export function problemReply(problem: Problem, headers: Record<string, string> = {}): ProblemReply {
  const { status } = problem
  const title = STATUS_CODES[status]
  const errors = problem.faults.length === 0 ? undefined : problem.faults
  const body = Buffer.from(JSON.stringify({ type: 'about:blank', title, status, detail: problem.message, errors }))
  return {
    status,
    headers: {
      'Content-Type': 'application/problem+json',
      'Content-Length': String(body.length),
      'Cache-Control': 'no-store',
      ...headers,
    },
    body,
  }
}

/**
 * The reply to a request that failed with `problem`. It carries the request id, and Retry-After where a retry makes
 * sense.
 */
export function errorReply(problem: Problem, random: () => number, requestId: string): ProblemReply {
  const headers: Record<string, string> = { 'X-Request-Id': requestId }
  if (problem.status === 503) headers['Retry-After'] = String(1 + Math.floor(random() * 3))
  // A rejected request is neither a hit nor forwarded.
  if (problem.code === 'shed') headers['Cache-Status'] = 'onramp; detail=shed'
  if (problem.code.startsWith('origin-')) headers['Cache-Status'] = 'onramp; fwd=uri-miss; detail=origin'
  return problemReply(problem, headers)
}

/** `error` as a client may see it. An unexpected error reveals nothing about itself. */
export function asProblem(error: unknown): Problem {
  if (error instanceof Problem) return error
  return new Problem('internal', 'Internal error. Quote the X-Request-Id of this response to the operator.', {
    cause: error,
  })
}
