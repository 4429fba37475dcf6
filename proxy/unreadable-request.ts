// Error responses to requests that Node's parser rejects; closes the connection.
import { type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http'
import type { Duplex } from 'node:stream'
import { Problem, type ProblemCode } from './errors.ts'
import { problemReply } from './problem-reply.ts'

/** A connection of Node's server, with the response currently written on it, which @types/node omits. */
export type ServerSocket = Duplex & { _httpMessage?: (ServerResponse & { req: IncomingMessage }) | null }

/** Problems by Node's error codes. Any other code is a malformed request. */
const refusals: Record<string, readonly [ProblemCode, detail: string]> = {
  HPE_HEADER_OVERFLOW: ['header-too-large', 'The header section is larger than this server accepts.'],
  HPE_CHUNK_EXTENSIONS_OVERFLOW: ['body-too-large', 'The chunk extensions are larger than this server accepts.'],
  HPE_INVALID_METHOD: ['not-implemented', 'Unknown request method.'],
  ERR_HTTP_REQUEST_TIMEOUT: ['request-timeout', 'The request did not arrive in time.'],
}
const malformed = ['bad-request', 'Malformed or incomplete HTTP request.'] as const

/**
 * Handles a server's `clientError`. The error response must not be mistaken for the response to an earlier request on
 * the connection. So an earlier request still gets its own response, and the connection ends after it. A response that
 * has begun can only be cut off.
 */
export function answerUnreadable(error: Error & { code?: string }, socket: ServerSocket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) return void socket.destroy()
  const answering = socket._httpMessage
  if (answering != null && (answering.req.complete || answering.writableEnded)) {
    if (answering.headersSent) answering.once('finish', () => socket.end())
    else answering.shouldKeepAlive = false
    return
  }
  if (answering?.headersSent) return void socket.destroy()
  const problem = new Problem(...(refusals[error.code ?? ''] ?? malformed))
  const { status, headers, body } = problemReply(problem, { Connection: 'close' })
  if (answering != null) return void answering.writeHead(status, headers).end(body)
  socket.end(rawReply(status, headers, body))
}

/** A response as raw text, for a socket without a ServerResponse. */
function rawReply(status: number, headers: Record<string, string>, body: Buffer): string {
  const fields = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  return `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${fields.join('')}\r\n${body}`
}
