import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Answer, ReadThrough } from '../cache/read-through.ts'
import type { Clock } from '../clock.ts'
import { Problem } from '../errors.ts'
import type { Observe } from '../observation.ts'
import type { Origin } from '../origin/origin.ts'
import { corsFor, isPreflight, preflightFields } from './cors.ts'
import { newServer, send } from './framework.ts'
import { type Head, readHead, safeMethods } from './head.ts'
import { readBody, readQuery } from './input.ts'
import { type Certificate, type ConnectionLimits, type HttpSocket, limitedServer, lineOf } from './listener.ts'
import type { Passthrough } from './passthrough.ts'
import { problemReply, replyWith } from './reply.ts'
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
      return limitedServer(limits, parts.certificate, parts.observe, {
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
      ageSeconds: answer && answer.ageMs / 1000,
      error,
    })
  })
  return server
}

/** RFC 9111, 5.2.1.4. What else a request says of caching is about caches that keep what clients send. */
function saysNoCache(cacheControl: string | undefined): boolean {
  return cacheControl !== undefined && /(?:^|,)[ \t]*no-cache[ \t]*(?:,|$)/i.test(cacheControl)
}

function inWords(faults: readonly { parameter: string; detail: string }[]): string {
  return `${faults.map(({ parameter, detail }) => `${parameter} ${detail}`).join('; ')}.`
}
