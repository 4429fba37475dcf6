import { isUtf8 } from 'node:buffer'
import { STATUS_CODES } from 'node:http'
import Fastify, {
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  type FastifyServerOptions,
} from 'fastify'
import type { Answer, ReadThrough } from '../cache/read-through.ts'
import type { Clock } from '../clock.ts'
import { messageOf, Problem, type ProblemCode } from '../errors.ts'
import type { Observe } from '../observation.ts'
import type { Origin } from '../origin/origin.ts'
import { readBody, readQuery } from './input.ts'
import { problemReply, type Reply, replyWith } from './reply.ts'
import type { RouteTable } from './route.ts'

export interface Parts {
  /** The table of the moment: a reload replaces it between two requests. */
  routes(): RouteTable
  cache: ReadThrough
  origin: Origin
  clock: Clock
  observe: Observe
  maxBodyBytes: number
  /** 0 to 1, evenly spread. */
  random(): number
}

type Found = NonNullable<ReturnType<RouteTable['find']>>

/** What is known of a request so far, for the one line and the one count it makes. */
interface Road {
  path: string
  query: string
  found: Found | undefined
  answer?: Answer
  error?: unknown
}

declare module 'fastify' {
  interface FastifyRequest {
    road: Road
  }
}

/**
 * The listener clients meet. Not yet listening.
 *
 * Routes are matched here and not by the framework's router: what is served from the cache must be named exactly. The
 * framework does the listening, the body, the hooks and the closing.
 */
export function publicServer(parts: Parts): FastifyInstance {
  // To the framework every target is one: it must not decode, normalize or refuse what is not its to judge.
  const server = newServer(parts.maxBodyBytes, parts.random, { rewriteUrl: () => '/' })
  server.decorateRequest('road', null as unknown as Road)

  server.addHook('onRequest', async (request, reply) => {
    const { path, query } = split(request.originalUrl)
    const found = parts.routes().find(path)
    request.road = { path, query, found }
    if (found === undefined) throw new Problem('no-route', 'No route has this path.')
    const { methods } = found.route
    if (!methods.includes(request.method)) {
      reply.header('Allow', methods.join(', '))
      throw new Problem('wrong-method', `This path takes ${methods.join(', ')}.`)
    }
  })

  const handle = async (request: FastifyRequest, reply: FastifyReply) => {
    const { road } = request
    const { route, given } = road.found as Found
    const sent = request.method === 'POST' ? readBody(request.body) : readQuery(road.query)
    // What the path names, nothing else can name again.
    for (const [name, values] of given) sent.set(name, values)
    const read = route.read(sent)
    if ('faults' in read) throw new Problem('bad-parameters', inWords(read.faults), { faults: read.faults })
    road.answer = await parts.cache.read({
      key: route.key(read.params),
      route: route.name,
      tags: () => route.tags(read.params),
      lifetime: route.lifetime,
      load: () => parts.origin.query(route.query, read.params),
    })
    const { 'if-none-match': ifNoneMatch, 'accept-encoding': acceptEncoding } = request.headers
    const conditions = { method: request.method, ifNoneMatch, acceptEncoding: acceptEncoding?.toString() }
    return send(reply, replyWith(road.answer, route.query.returns, route.cacheControl, conditions))
  }
  server.all('/', handle)

  server.addHook('onError', async (request, _reply, error) => {
    request.road.error = error
  })

  server.addHook('onResponse', async (request, reply) => {
    const { path, found, answer, error } = request.road
    parts.observe({
      kind: 'response',
      route: found?.route.name ?? 'none',
      source: answer?.source ?? 'none',
      state: answer?.state ?? 'error',
      status: reply.statusCode,
      seconds: reply.elapsedTime / 1000,
      method: request.method,
      path,
      error,
    })
  })
  return server
}

/** A server with what both listeners share: problems as JSON, JSON bodies as text, nothing logged by the framework. */
export function newServer(
  maxBodyBytes: number,
  random: () => number,
  options: Pick<FastifyServerOptions, 'rewriteUrl'> = {},
): FastifyInstance {
  const server = Fastify({
    ...options,
    logger: false,
    bodyLimit: maxBodyBytes,
    // A request that trickles in must not hold its connection for ever.
    requestTimeout: 30_000,
    // Requests that arrive on open connections while it closes are answered, and told that the connection ends.
    return503OnClosing: false,
    forceCloseConnections: 'idle',
    frameworkErrors: (error, _request, reply) => {
      send(reply as FastifyReply, problemReply(asProblem(error)))
    },
    clientErrorHandler(error, socket) {
      // A response under way on this connection must not be mistaken for this one, nor this one for it.
      const isAnswering = (socket as { _httpMessage?: unknown })._httpMessage != null
      if (error.code === 'ECONNRESET' || !socket.writable || isAnswering) return void socket.destroy()
      const { status, headers, body } = problemReply(
        new Problem(clientErrors[error.code ?? ''] ?? 'bad-request', 'The request ends here.'),
      )
      const fields = Object.entries({ ...headers, Connection: 'close' }).map(([name, value]) => `${name}: ${value}\r\n`)
      socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${fields.join('')}\r\n${body}`)
    },
  })
  server.setErrorHandler((error, _request, reply) => {
    const problem = asProblem(error)
    const headers: Record<string, string> = {}
    if (problem.status === 503) headers['Retry-After'] = String(1 + Math.floor(random() * 3))
    if (problem.code.startsWith('origin-')) headers['Cache-Status'] = 'onramp; fwd=uri-miss; detail=origin'
    return send(reply, problemReply(problem, headers))
  })
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
  ERR_HTTP_REQUEST_TIMEOUT: 'request-timeout',
}

/** Writes `reply` as it is. */
export function send(reply: FastifyReply, { status, headers, body }: Reply): FastifyReply {
  return reply
    .code(status)
    .headers(headers)
    .send(status === 304 ? undefined : body)
}

/** An error of ours, or of the framework's, as one we have words for. */
export function asProblem(error: unknown): Problem {
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

function inWords(faults: readonly { parameter: string; detail: string }[]): string {
  return `${faults.map(({ parameter, detail }) => `${parameter} ${detail}`).join('; ')}.`
}

/** A request target in its two parts. The absolute form says no more than Host does (RFC 9112, 3.2.2). */
function split(given: string): { path: string; query: string } {
  const target = given.startsWith('/') ? given : given.replace(/^https?:\/\/[^/?#]*/i, '')
  const mark = target.indexOf('?')
  return mark === -1 ? { path: target, query: '' } : { path: target.slice(0, mark), query: target.slice(mark + 1) }
}
