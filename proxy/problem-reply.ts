// An error as a response: problem details (RFC 9457), and when to try again: pure.
import { STATUS_CODES } from 'node:http'
import { Problem } from './errors.ts'

/** A response, whole, before anything is written. */
export interface ProblemReply {
  status: number
  headers: Record<string, string>
  body: Buffer
}

/** A problem as RFC 9457 has it: `about:blank` says that there is no more to its type than its status. Nobody may keep it. */
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

/** The reply to a request that ended in `problem`: it names the request, and says when to try again where that is worth it. */
export function errorReply(problem: Problem, random: () => number, requestId: string): ProblemReply {
  const headers: Record<string, string> = { 'X-Request-Id': requestId }
  if (problem.status === 503) headers['Retry-After'] = String(1 + Math.floor(random() * 3))
  // Neither a hit nor forwarded.
  if (problem.code === 'shed') headers['Cache-Status'] = 'onramp; detail=shed'
  if (problem.code.startsWith('origin-')) headers['Cache-Status'] = 'onramp; fwd=uri-miss; detail=origin'
  return problemReply(problem, headers)
}

/** `error` as a client may see it: an error that is none of ours says nothing of itself. */
export function asProblem(error: unknown): Problem {
  if (error instanceof Problem) return error
  return new Problem('internal', 'It is the fault of this server, whose log says more.', { cause: error })
}
