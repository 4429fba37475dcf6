// Answers what Node's parser gives up on, and closes the connection.
import { type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http'
import type { Duplex } from 'node:stream'
import { Problem, type ProblemCode } from './errors.ts'
import { problemReply } from './problem-reply.ts'

/** A connection of Node's server: with the response that is being written on it, which @types/node leaves out. */
export type ServerSocket = Duplex & { _httpMessage?: (ServerResponse & { req: IncomingMessage }) | null }

/** Node's codes; everything else is a bad request. */
const codes: Record<string, ProblemCode> = {
  HPE_HEADER_OVERFLOW: 'header-too-large',
  HPE_CHUNK_EXTENSIONS_OVERFLOW: 'body-too-large',
  HPE_INVALID_METHOD: 'not-implemented',
  ERR_HTTP_REQUEST_TIMEOUT: 'request-timeout',
}

/**
 * Takes a server's `clientError`. The answer must not be mistaken for the one to an earlier request, which still gets its own: the
 * connection then ends with that one. A response that has begun can only be cut off.
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
  const problem = new Problem(codes[error.code ?? ''] ?? 'bad-request', 'The request ends here.')
  const { status, headers, body } = problemReply(problem, { Connection: 'close' })
  if (answering != null) return void answering.writeHead(status, headers).end(body)
  socket.end(rawReply(status, headers, body))
}

/** A response where Node offers none. */
function rawReply(status: number, headers: Record<string, string>, body: Buffer): string {
  const fields = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  return `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${fields.join('')}\r\n${body}`
}
