// HTTP server of the admin listener: errors as problem details, JSON bodies as text.
import { isUtf8 } from 'node:buffer'
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import { messageOf, Problem } from '../errors.ts'
import { asProblem, errorReply, type ProblemReply, problemReply } from '../problem-reply.ts'
import { requestIds } from '../request-id.ts'
import { answerUnreadable } from '../unreadable-request.ts'

const maxBodyBytes = 1024 ** 2

/** Makes a server without routes, not yet listening. The framework logs nothing. */
export function adminServer(random: () => number): FastifyInstance {
  const server = Fastify({
    logger: false,
    genReqId: requestIds(random),
    bodyLimit: maxBodyBytes,
    // A request that arrives byte by byte must not keep its connection for ever.
    requestTimeout: 30_000,
    // During the close, requests on open connections are answered, with Connection: close.
    return503OnClosing: false,
    forceCloseConnections: 'idle',
    frameworkErrors: (error, _request, reply) => {
      send(reply, problemReply(problemOf(error)))
    },
    clientErrorHandler: (error, socket) => answerUnreadable(error, socket),
  })
  // The request id in the response finds the log line.
  server.setErrorHandler((error, request, reply) => send(reply, errorReply(problemOf(error), random, request.id)))
  server.setNotFoundHandler(() => {
    throw new Problem(
      'no-route',
      'The admin listener has no such method and path. GET /dashboard, /ready, /live, /stats, /metrics, /routes, /entries or /events; POST /purge or /reload.',
    )
  })
  endConnectionsWhenClosing(server)
  takeJsonAsText(server)
  return server
}

/** Ends connections whose request began before the close: kept open, they would delay the close. */
function endConnectionsWhenClosing(server: FastifyInstance): void {
  let isClosing = false
  server.addHook('preClose', async () => {
    isClosing = true
  })
  server.addHook('onSend', async (_request, reply) => {
    if (isClosing) reply.header('Connection', 'close')
  })
}

function takeJsonAsText(server: FastifyInstance): void {
  server.removeAllContentTypeParsers()
  const parse = async (request: FastifyRequest, body: Buffer) => {
    const coding = request.headers['content-encoding']
    if (coding !== undefined)
      throw new Problem(
        'wrong-media-type',
        `A body with Content-Encoding ${coding} is refused. Send it without a content coding.`,
      )
    if (!isUtf8(body)) throw new Problem('bad-body', 'The body is not valid UTF-8. Send JSON in UTF-8.')
    return body.toString()
  }
  server.addContentTypeParser('application/json', { parseAs: 'buffer' }, parse)
}

/** Writes `reply` unchanged. */
function send(reply: Pick<FastifyReply, 'code' | 'headers' | 'send'>, { status, headers, body }: ProblemReply): void {
  reply.code(status)
  reply.headers(headers)
  reply.send(body)
}

/** Translates an error of the framework into a Problem. */
function problemOf(error: unknown): Problem {
  if (!(error instanceof Error) || error instanceof Problem) return asProblem(error)
  const code = 'code' in error ? error.code : undefined
  const status = 'statusCode' in error ? Number(error.statusCode) : 500
  const options = { cause: error }
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE')
    return new Problem(
      'body-too-large',
      'The body is larger than 1 MiB, the most that the admin listener accepts.',
      options,
    )
  if (code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE')
    return new Problem('wrong-media-type', 'The Content-Type must be application/json.', options)
  if (status >= 400 && status < 500) return new Problem('bad-request', messageOf(error), options)
  return asProblem(error)
}
