// The public listener.
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Audit } from '../cache/audit.ts'
import type { ReadThrough } from '../cache/read-through.ts'
import type { VariantBuilder } from '../cache/variants.ts'
import type { Clock } from '../clock.ts'
import { Problem } from '../errors.ts'
import type { Observe } from '../observation.ts'
import type { GuardedOrigin } from '../origin/guard.ts'
import type { Scheduler } from '../overload/scheduler.ts'
import { connectionStateOf, type HttpSocket } from './connection.ts'
import { corsFor, isPreflight, preflightFields, withCors } from './cors.ts'
import { newServer, send } from './framework.ts'
import { readRequestHead, safeMethods } from './head.ts'
import type { ConnectionLimits, PublicListener } from './listener.ts'
import { problemReply } from './reply.ts'
import { type Arriving, forClient, type RequestContext, type RouteMatch, routeAnswers } from './routes/answers.ts'
import { readBody } from './routes/input.ts'
import type { RouteTable } from './routes/route.ts'
import type { Passthrough } from './upstream/passthrough.ts'
import { asksForWebSocket } from './upstream/tunnel.ts'

export interface PublicServerDependencies {
  /** The table of the moment: a reload replaces it between two requests. */
  routes(): RouteTable
  cache: Pick<ReadThrough, 'fromMemory' | 'fetch'>
  audit: Audit
  variants: Pick<VariantBuilder, 'want'>
  origin: Pick<GuardedOrigin, 'query' | 'admit' | 'isIdleFor'>
  /** What takes the requests that are not for a route; without it they are a 404. */
  passthrough: Passthrough | undefined
  /** Runs what is done for a request to the route of this path, which somebody may want to watch. */
  within?: ((request: IncomingMessage, path: string | undefined, run: () => void) => void) | undefined
  cors: readonly string[]
  scheduler: Scheduler
  clock: Clock
  observe: Observe
  limits: PublicServerLimits
  listener: PublicListener
  /** 0 to 1, evenly spread. */
  random(): number
}

export interface PublicServerLimits extends ConnectionLimits {
  /** Of one connection; 0 is no limit. Node's own limit says that it closes the connection, and leaves it open. */
  maxRequests: number
  /** Of a POST to a route. */
  maxBodyBytes: number
  /** Of a request for a route, unknown ones too. */
  maxParameters: number
}

declare module 'fastify' {
  interface FastifyRequest {
    road: RequestContext
  }
}

/**
 * The listener clients meet. Not yet listening.
 *
 * Every request goes through `head` first; what is not for a route then leaves for the web tier, and the framework never sees it.
 * Routes are matched here and not by the framework's router: what is served from the cache must be named exactly. A GET for a
 * route is answered by `answer`; the framework does content, everything that is an error by its path or method, and the closing.
 */
export function publicServer(parts: PublicServerDependencies): FastifyInstance {
  const { passthrough, limits, scheduler: slices } = parts
  const cors = corsFor(parts.cors)

  function approach(request: Arriving, began: number): RequestContext | Problem {
    const head = readRequestHead(request)
    if (head instanceof Problem) return head
    request.context = {
      head,
      found: answers.find(head),
      began,
      answer: undefined,
      requestId: undefined,
      error: undefined,
    }
    return request.context
  }

  /** Whether a route answers, be it with an error; without a web tier nobody else will. */
  function isOurs({ head, found }: RequestContext, { headers }: IncomingMessage): boolean {
    if (passthrough === undefined) return true
    if (found === undefined || (found.read === undefined && !found.route.fits(found.given))) return false
    return found.route.methods.includes(head.method) || (parts.cors.length > 0 && isPreflight(head.method, headers))
  }

  /**
   * Begins requests as they come, a slice at a time; but where one changes something, those behind it on the same connection wait until it
   * has its answer, and it waits for those before it (RFC 9112, 9.3.2).
   */
  function receive(request: Arriving, response: ServerResponse, handle: RequestListener): void {
    const socket = request.socket as HttpSocket
    const line = connectionStateOf(request)
    line.requests += 1
    if (limits.maxRequests > 0 && line.requests > limits.maxRequests) return // the one before has ended the connection
    if (line.requests === limits.maxRequests) response.shouldKeepAlive = false
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
    const came = parts.clock.now()
    if (mustWait) response.once('socket', () => begin(request, response, handle, parts.clock.now()))
    else if (line.waiting === 0 && slices.mayBegin(came)) begin(request, response, handle, came)
    else {
      line.waiting += 1
      slices.wait(came, () => {
        line.waiting -= 1
        begin(request, response, handle, came)
      })
    }
  }

  function begin(request: Arriving, response: ServerResponse, handle: RequestListener, came: number): void {
    const line = connectionStateOf(request)
    if (line.isEnding || response.destroyed) return
    if (line.isLast) response.shouldKeepAlive = false
    const road = approach(request, came)
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
    const isRead = (method === 'GET' || method === 'HEAD') && road.found?.route.methods.includes(method) === true
    if (!isRead) return void handle(request, response)
    if (parts.within === undefined) return void answers.give(request, response, road)
    parts.within(request, road.found?.route.path, () => answers.give(request, response, road))
  }

  function endAfter(request: Arriving, response: ServerResponse): void {
    connectionStateOf(request).isEnding = true
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
      route: request.context?.found?.route.name ?? 'none',
      source: 'none',
      state: 'error',
      status,
      seconds: 0,
      method: String(request.method),
      path: request.context?.head.path ?? '',
      error: problem,
    })
  }

  function answered({ head, found, began, answer, requestId, error }: RequestContext, status: number): void {
    parts.observe({
      kind: 'response',
      route: found?.route.name ?? 'none',
      source: answer?.source ?? 'none',
      state: answer?.state ?? 'error',
      status,
      seconds: (parts.clock.now() - began) / 1000,
      method: head.method,
      path: head.path,
      ageSeconds: answer && answer.ageMs / 1000,
      fallbackReason: answer?.fallbackReason,
      requestId,
      error,
    })
  }

  let isClosing = false
  const answers = routeAnswers({
    ...parts,
    cors,
    maxParameters: limits.maxParameters,
    isClosing: () => isClosing,
    answered,
  })
  // To the framework every target is one: it must not decode, normalize or refuse what is not its to judge.
  const server = newServer(limits.maxBodyBytes, parts.random, {
    rewriteUrl: () => '/',
    serverFactory(handle) {
      return parts.listener.serve({
        request: (request, response) => receive(request, response, handle),
        mayUpgrade(request: Arriving) {
          if (passthrough === undefined || !asksForWebSocket(request)) return false
          if ((request.socket as HttpSocket)._httpMessage != null) return false // behind a response under way
          const road = approach(request, parts.clock.now())
          return !(road instanceof Problem || isOurs(road, request))
        },
        upgrade(request: Arriving, socket, early) {
          passthrough?.tunnel(request, socket, early, (request.context as RequestContext).head)
        },
      })
    },
  })
  server.decorateRequest('road', null as unknown as RequestContext)
  server.addHook('preClose', async () => {
    isClosing = true
  })

  server.addHook('onRequest', async (request, reply) => {
    request.road = (request.raw as Arriving).context as RequestContext
    const { head, found } = request.road
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
    const found = road.found as RouteMatch
    const read = answers.reading(found, readBody(request.body, limits.maxParameters))
    const wanted = forClient(read, found.route, request.headers)
    road.answer = parts.cache.fromMemory(wanted) ?? (await parts.cache.fetch(wanted))
    answers.audit(found, wanted, road.answer)
    const made = answers.replyTo(found, wanted, road.answer, request)
    return send(reply, { ...made, headers: withCors(made.headers, cors(request.headers)) })
  }
  server.all('/', handle)

  server.addHook('onError', async (request, _reply, error) => {
    request.road.error = error
    request.road.requestId = request.id
  })

  server.addHook('onResponse', async (request, reply) => answered(request.road, reply.statusCode))
  return server
}
