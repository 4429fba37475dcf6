// What both listeners share.
import { isUtf8 } from 'node:buffer'
import { STATUS_CODES } from 'node:http'
import Fastify, {
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  type FastifyServerOptions,
} from 'fastify'
import { messageOf, Problem, type ProblemCode } from '../errors.ts'
import type { HttpSocket } from './connection.ts'
import { problemReply, type Reply } from './reply.ts'
import { requestIds } from './request-id.ts'

/** A server with what both listeners share: problems as JSON, JSON bodies as text, nothing logged by the framework. */
export function newServer(
  maxBodyBytes: number,
  random: () => number,
  options: Pick<FastifyServerOptions, 'rewriteUrl' | 'serverFactory'> = {},
): FastifyInstance {
  const server = Fastify({
    ...options,
    logger: false,
    genReqId: requestIds(random),
    bodyLimit: maxBodyBytes,
    // A request that trickles in must not hold its connection for ever.
    requestTimeout: 30_000,
    // Requests that arrive on open connections while it closes are answered, and told that the connection ends.
    return503OnClosing: false,
    forceCloseConnections: 'idle',
    frameworkErrors: (error, _request, reply) => {
      send(reply as FastifyReply, problemReply(asProblem(error)))
    },
    clientErrorHandler: (error, socket) => answerUnreadable(error, socket),
  })
  // Under its id it is found in the log.
  server.setErrorHandler((error, request, reply) => send(reply, replyToError(error, random, request.id)))
  // For the public listener: a method that the framework has no name for.
  server.setNotFoundHandler(() => {
    throw new Problem('no-route', 'There is nothing at this path.')
  })
  let isClosing = false
  server.addHook('preClose', async () => {
    isClosing = true
  })
  // A response to a request from before the closing: without this its connection would be kept open, and closing wait for it.
  server.addHook('onSend', async (_request, reply) => {
    if (isClosing) reply.header('Connection', 'close')
  })
  server.removeAllContentTypeParsers()
  server.addContentTypeParser(
    'application/json',
    { parseAs: 'buffer' },
    async (request: FastifyRequest, body: Buffer) => {
      const coding = request.headers['content-encoding']
      if (coding !== undefined)
        throw new Problem('wrong-media-type', `A body with Content-Encoding ${coding} is not taken.`)
      if (!isUtf8(body)) throw new Problem('bad-body', 'The body is not UTF-8.')
      return body.toString()
    },
  )
  return server
}

/** What Node's parser gives up on, by its code; everything else is a bad request. */
const clientErrors: Record<string, ProblemCode> = {
  HPE_HEADER_OVERFLOW: 'header-too-large',
  HPE_CHUNK_EXTENSIONS_OVERFLOW: 'body-too-large',
  HPE_INVALID_METHOD: 'not-implemented',
  ERR_HTTP_REQUEST_TIMEOUT: 'request-timeout',
}

/**
 * Answers what could not be read, and closes the connection. It must not be mistaken for the answer to an earlier request, which
 * still gets its own: the connection then ends with that one. A response that has begun can only be cut off.
 */
function answerUnreadable(error: Error & { code?: string }, socket: HttpSocket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) return void socket.destroy()
  const answering = socket._httpMessage
  if (answering != null && (answering.req.complete || answering.writableEnded)) {
    if (answering.headersSent) answering.once('finish', () => socket.end())
    else answering.shouldKeepAlive = false
    return
  }
  if (answering?.headersSent) return void socket.destroy()
  const problem = new Problem(clientErrors[error.code ?? ''] ?? 'bad-request', 'The request ends here.')
  const { status, headers, body } = problemReply(problem, { Connection: 'close' })
  if (answering != null) return void answering.writeHead(status, headers).end(body)
  socket.end(rawReply(status, headers, body))
}

/** A response where Node offers none. */
function rawReply(status: number, headers: Record<string, string>, body: Buffer): string {
  const fields = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  return `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${fields.join('')}\r\n${body}`
}

/** Writes `reply` as it is. */
export function send(reply: FastifyReply, { status, headers, body }: Reply): FastifyReply {
  return reply
    .code(status)
    .headers(headers)
    .send(status === 304 ? undefined : body)
}

/** The reply to a request that ended in `error`: a problem, and when to try again where that is worth it. */
export function replyToError(error: unknown, random: () => number, requestId: string): Reply {
  const problem = asProblem(error)
  const headers: Record<string, string> = { 'X-Request-Id': requestId }
  if (problem.status === 503) headers['Retry-After'] = String(1 + Math.floor(random() * 3))
  // Neither a hit nor forwarded.
  if (problem.code === 'shed') headers['Cache-Status'] = 'onramp; detail=shed'
  if (problem.code.startsWith('origin-')) headers['Cache-Status'] = 'onramp; fwd=uri-miss; detail=origin'
  return problemReply(problem, headers)
}

/** An error of ours, or of the framework's, as one we have words for. */
function asProblem(error: unknown): Problem {
  if (error instanceof Problem) return error
  const { code, statusCode } = error as { code?: string; statusCode?: number }
  const options = { cause: error }
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE')
    return new Problem('body-too-large', 'The body is larger than this server takes.', options)
  if (code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE')
    return new Problem('wrong-media-type', 'Its Content-Type is not application/json.', options)
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500)
    return new Problem('bad-request', messageOf(error), options)
  return new Problem('internal', 'It is the fault of this server, whose log says more.', options)
}
