// The server of the admin listener: problems as JSON, JSON bodies as text.
import { isUtf8 } from 'node:buffer'
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import { messageOf, Problem } from '../errors.ts'
import { asProblem, errorReply, type ProblemReply, problemReply } from '../problem-reply.ts'
import { requestIds } from '../request-id.ts'
import { answerUnreadable } from '../unreadable-request.ts'

const maxBodyBytes = 1024 ** 2

/** A server without routes, not yet listening. Nothing is logged by the framework. */
export function adminServer(random: () => number): FastifyInstance {
  const server = Fastify({
    logger: false,
    genReqId: requestIds(random),
    bodyLimit: maxBodyBytes,
    // A request that trickles in must not hold its connection for ever.
    requestTimeout: 30_000,
    // Requests that arrive on open connections while it closes are answered, and told that the connection ends.
    return503OnClosing: false,
    forceCloseConnections: 'idle',
    frameworkErrors: (error, _request, reply) => {
      send(reply, problemReply(problemOf(error)))
    },
    clientErrorHandler: (error, socket) => answerUnreadable(error, socket),
  })
  // Under its id it is found in the log.
  server.setErrorHandler((error, request, reply) => send(reply, errorReply(problemOf(error), random, request.id)))
  server.setNotFoundHandler(() => {
    throw new Problem('no-route', 'There is nothing at this path.')
  })
  endConnectionsWhenClosing(server)
  takeJsonAsText(server)
  return server
}

/** A response to a request from before the closing: without this its connection would be kept open, and closing wait for it. */
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
      throw new Problem('wrong-media-type', `A body with Content-Encoding ${coding} is not taken.`)
    if (!isUtf8(body)) throw new Problem('bad-body', 'The body is not UTF-8.')
    return body.toString()
  }
  server.addContentTypeParser('application/json', { parseAs: 'buffer' }, parse)
}

/** Writes `reply` as it is. */
function send(reply: Pick<FastifyReply, 'code' | 'headers' | 'send'>, { status, headers, body }: ProblemReply): void {
  reply.code(status)
  reply.headers(headers)
  reply.send(body)
}

/** An error of ours, or of the framework's, as one we have words for. */
function problemOf(error: unknown): Problem {
  if (!(error instanceof Error) || error instanceof Problem) return asProblem(error)
  const code = 'code' in error ? error.code : undefined
  const status = 'statusCode' in error ? Number(error.statusCode) : 500
  const options = { cause: error }
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE')
    return new Problem('body-too-large', 'The body is larger than this server takes.', options)
  if (code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE')
    return new Problem('wrong-media-type', 'Its Content-Type is not application/json.', options)
  if (status >= 400 && status < 500) return new Problem('bad-request', messageOf(error), options)
  return asProblem(error)
}
