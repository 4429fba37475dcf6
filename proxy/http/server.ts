import { isUtf8 } from 'node:buffer'
import { type IncomingMessage, type RequestListener, type ServerResponse, STATUS_CODES } from 'node:http'
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
import { corsFor, isPreflight, preflightFields } from './cors.ts'
import { type Head, readHead, safeMethods } from './head.ts'
import { readBody, readQuery } from './input.ts'
import { type Certificate, type ConnectionLimits, type HttpSocket, limitedServer, lineOf } from './listener.ts'
import type { Passthrough } from './passthrough.ts'
import { problemReply, type Reply, replyWith } from './reply.ts'
import type { RouteTable } from './route.ts'
import { asksForWebSocket } from './tunnel.ts'

export interface Parts {
  /** The table of the moment: a reload replaces it between two requests. */
  routes(): RouteTable
  cache: ReadThrough
  origin: Origin
  /** What takes the requests that are not for a route; without it they are a 404. */
  passthrough: Passthrough | undefined
  cors: readonly string[]
  clock: Clock
  observe: Observe
  limits: Limits
  certificate: Certificate | undefined
  /** 0 to 1, evenly spread. */
  random(): number
}

export interface Limits extends ConnectionLimits {
  /** Of one connection; 0 is no limit. Node's own limit says that it closes the connection, and leaves it open. */
  maxRequests: number
  /** Of a POST to a route. */
  maxBodyBytes: number
  /** Of a request for a route, unknown ones too. */
  maxParameters: number
}

type Found = NonNullable<ReturnType<RouteTable['find']>>

/** What is known of a request so far, for the one line and the one count it makes. */
interface Road {
  head: Head
  found: Found | undefined
  answer?: Answer
  error?: unknown
}

/** A request on which its road is noted, so that it is found once. */
type Arriving = IncomingMessage & { road?: Road }

declare module 'fastify' {
  interface FastifyRequest {
    road: Road
  }
}

/**
 * The listener clients meet. Not yet listening.
 *
 * Every request goes through `head` first; what is not for a route then leaves for the web tier, and the framework never sees it.
 * Routes are matched here and not by the framework's router: what is served from the cache must be named exactly. The
 * framework does the body, the hooks and the closing.
 */
export function publicServer(parts: Parts): FastifyInstance {
  const { passthrough, limits } = parts
  const cors = corsFor(parts.cors)
  /** `target`: as it came, where the framework has rewritten the one on `request`. */
  function approach(request: Arriving, target = request.url): Road | Problem {
    const { method, httpVersion, rawHeaders } = request
    const head = readHead({ method, url: target, httpVersion, rawHeaders })
    if (head instanceof Problem) return head
    request.road = { head, found: parts.routes().find(head.path) }
    return request.road
  }

  /** Whether a route answers, be it with an error; without a web tier nobody else will. */
  function isOurs({ head, found }: Road, { headers }: IncomingMessage): boolean {
    if (passthrough === undefined) return true
    if (found === undefined || !found.route.fits(found.given)) return false
    return found.route.methods.includes(head.method) || (parts.cors.length > 0 && isPreflight(head.method, headers))
  }

  /**
   * Begins requests as they come; but where one changes something, those behind it on the same connection wait until it has its
   * answer, and it waits for those before it (RFC 9112, 9.3.2).
   */
  function receive(request: Arriving, response: ServerResponse, handle: RequestListener): void {
    const socket = request.socket as HttpSocket
    const line = lineOf(request)
    line.requests += 1
    const isSafe = safeMethods.has(request.method as string)
    // Node gives the connection to one response at a time, in their order.
    const isBehind = socket._httpMessage !== response
    const mustWait = isBehind && (!isSafe || line.changing > 0)
    if (!isSafe) {
      line.changing += 1
      response.once('close', () => {
        line.changing -= 1
      })
    }
    if (mustWait) response.once('socket', () => begin(request, response, handle))
    else begin(request, response, handle)
  }

  function begin(request: Arriving, response: ServerResponse, handle: RequestListener): void {
    const line = lineOf(request)
    if (line.isEnding) return
    if (line.requests === limits.maxRequests) endAfter(request, response)
    const road = approach(request)
    if (road instanceof Problem) return void refuse(request, response, road)
    if (passthrough !== undefined && !isOurs(road, request)) return void passthrough.carry(request, response, road.head)
    const { method, content, expectsContinue } = road.head
    if (content) {
      // Content that nobody will read may be endless.
      if (method !== 'POST') endAfter(request, response)
      const cancel = parts.clock.after(limits.headerTimeoutMs, () => {
        if (!request.complete) refuse(request, response, new Problem('request-timeout', 'Its content does not come.'))
      })
      request.once('close', cancel)
    }
    if (expectsContinue && !(Number(content) > limits.maxBodyBytes)) response.writeContinue()
    handle(request, response)
  }

  function endAfter(request: Arriving, response: ServerResponse): void {
    lineOf(request).isEnding = true
    response.shouldKeepAlive = false
  }

  function refuse(request: Arriving, response: ServerResponse, problem: Problem): void {
    endAfter(request, response)
    if (response.headersSent) return void response.destroy()
    const { status, headers, body } = problemReply(problem)
    response.writeHead(status, { ...headers, Connection: 'close' })
    response.end(body)
    parts.observe({
      kind: 'response',
      route: request.road?.found?.route.name ?? 'none',
      source: 'none',
      state: 'error',
      status,
      seconds: 0,
      method: String(request.method),
      path: request.road?.head.path ?? '',
      error: problem,
    })
  }

  // To the framework every target is one: it must not decode, normalize or refuse what is not its to judge.
  const server = newServer(limits.maxBodyBytes, parts.random, {
    rewriteUrl: () => '/',
    serverFactory(handle) {
      const listener = limitedServer(limits, parts.certificate, parts.observe, {
        request: (request, response) => receive(request, response, handle),
        mayUpgrade(request: Arriving) {
          if (passthrough === undefined || !asksForWebSocket(request)) return false
          if ((request.socket as HttpSocket)._httpMessage != null) return false // behind a response under way
          const road = approach(request)
          return !(road instanceof Problem || isOurs(road, request))
        },
        upgrade(request: Arriving, socket, early) {
          passthrough?.tunnel(request, socket, early, (request.road as Road).head)
        },
      })
      return listener
    },
  })
  server.decorateRequest('road', null as unknown as Road)

  server.addHook('onRequest', async (request, reply) => {
    const road = (request.raw as Arriving).road ?? approach(request.raw, request.originalUrl)
    if (road instanceof Problem) throw road
    request.road = road
    const { head, found } = road
    reply.headers(cors(request.headers))
    if (found === undefined) throw new Problem('no-route', 'No route has this path.')
    const { methods } = found.route
    if (parts.cors.length > 0 && isPreflight(head.method, request.headers)) {
      return reply.code(204).headers(preflightFields(methods)).send()
    }
    if (!methods.includes(request.method)) {
      reply.header('Allow', methods.join(', '))
      throw new Problem('wrong-method', `This path takes ${methods.join(', ')}.`)
    }
  })

  const handle = async (request: FastifyRequest, reply: FastifyReply) => {
    const { road } = request
    const { route, given } = road.found as Found
    const { maxParameters } = limits
    const sent =
      request.method === 'POST' ? readBody(request.body, maxParameters) : readQuery(road.head.query, maxParameters)
    // What the path names, nothing else can name again.
    for (const [name, values] of given) sent.set(name, values)
    const read = route.read(sent)
    if ('faults' in read) throw new Problem('bad-parameters', inWords(read.faults), { faults: read.faults })
    road.answer = await parts.cache.read({
      key: route.key(read.params),
      route: route.name,
      tags: () => route.tags(read.params),
      lifetime: route.lifetime,
      maxAgeMs: saysNoCache(request.headers['cache-control']) ? route.lifetime.noCache : undefined,
      load: (sent) => parts.origin.query(route.query, read.params, sent),
    })
    const { 'if-none-match': ifNoneMatch, 'accept-encoding': acceptEncoding } = request.headers
    const conditions = { method: request.method, ifNoneMatch, acceptEncoding: acceptEncoding?.toString() }
    const made = replyWith(road.answer, route.query.returns, route.cacheControl, conditions)
    if (made.headers.Vary !== undefined && reply.hasHeader('Vary')) made.headers.Vary += `, ${reply.getHeader('Vary')}`
    return send(reply, made)
  }
  server.all('/', handle)

  server.addHook('onError', async (request, _reply, error) => {
    request.road.error = error
  })

  server.addHook('onResponse', async (request, reply) => {
    if (request.road === null) return // refused before it had one
    const { head, found, answer, error } = request.road
    parts.observe({
      kind: 'response',
      route: found?.route.name ?? 'none',
      source: answer?.source ?? 'none',
      state: answer?.state ?? 'error',
      status: reply.statusCode,
      seconds: reply.elapsedTime / 1000,
      method: request.method,
      path: head.path,
      error,
    })
  })
  return server
}

/** A server with what both listeners share: problems as JSON, JSON bodies as text, nothing logged by the framework. */
export function newServer(
  maxBodyBytes: number,
  random: () => number,
  options: Pick<FastifyServerOptions, 'rewriteUrl' | 'serverFactory'> = {},
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
    clientErrorHandler: (error, socket) => answerUnreadable(error, socket),
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
export function rawReply(status: number, headers: Record<string, string>, body: Buffer): string {
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

/** RFC 9111, 5.2.1.4. What else a request says of caching is about caches that keep what clients send. */
function saysNoCache(cacheControl: string | undefined): boolean {
  return cacheControl !== undefined && /(?:^|,)[ \t]*no-cache[ \t]*(?:,|$)/i.test(cacheControl)
}

function inWords(faults: readonly { parameter: string; detail: string }[]): string {
  return `${faults.map(({ parameter, detail }) => `${parameter} ${detail}`).join('; ')}.`
}
