// Dispatcher: routes each request to its route, or to the upstream.
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Clock } from '../clock.ts'
import type { Config } from '../config/schema.ts'
import { Problem } from '../errors.ts'
import type { Observe } from '../observation.ts'
import type { Scheduler } from '../overload/scheduler.ts'
import { problemReply } from '../problem-reply.ts'
import { connectionStateOf, currentResponse } from './connection.ts'
import { corsFor, isPreflight } from './cors.ts'
import { type RequestHead, readRequestHead, safeMethods } from './head.ts'
import type { ConnectionLimits, Handlers, PublicListener } from './listener.ts'
import type { RequestContext, RouteMatch } from './request-context.ts'
import { RouteAnswers, type RouteAnswersDependencies } from './routes/answers.ts'
import type { Passthrough } from './upstream/passthrough.ts'
import { asksForWebSocket } from './upstream/tunnel.ts'

export interface DispatcherDependencies
  extends Omit<RouteAnswersDependencies, 'cors' | 'maxBodyBytes' | 'maxParameters' | 'isClosing' | 'answered'> {
  /** Handles requests that no route answers; without it they get a 404. */
  passthrough: Passthrough | undefined
  /** Origins whose pages may read the routes' responses. */
  cors: readonly string[]
  scheduler: Scheduler
  clock: Clock
  observe: Observe
  limits: PublicLimits
  listener: Pick<PublicListener, 'isClosing'>
}

export interface PublicLimits extends ConnectionLimits {
  /** Requests per connection; 0 means no limit. Node's own limit announces the close but leaves the connection open. */
  maxRequests: number
  /** Content of a POST to a route. */
  maxBodyBytes: number
  /** Parameters of a request for a route, undeclared ones included. */
  maxParameters: number
}

/** The configured limits of the public listener for one client. */
export function publicLimits({ limits, request, upstream }: Config): PublicLimits {
  return {
    maxConnections: limits.maxConnections,
    maxRequests: limits.maxRequests,
    maxHeaderBytes: limits.maxHeader,
    headerTimeoutMs: limits.headerTimeout,
    // Nothing moves while a response is pending; other limits bound that time.
    quietMs: Math.max(limits.idleTimeout, upstream.firstByteTimeout, request.timeout) + 1000,
    keepAliveTimeoutMs: limits.keepAliveTimeout,
    maxBodyBytes: request.maxBody,
    maxParameters: request.maxParameters,
  }
}

/** A request with its context, so that its route is looked up only once. */
type Arriving = IncomingMessage & { context?: RequestContext }

/**
 * Handles everything that arrives at the public listener.
 *
 * Every request is first checked by `head`. Then a route answers it, or the upstream does. Routes are matched here, on
 * the unmodified target: a request served from the cache must be named exactly.
 */
export class Dispatcher implements Handlers {
  readonly #deps: DispatcherDependencies
  readonly #answers: RouteAnswers
  readonly #hasCors: boolean

  constructor(deps: DispatcherDependencies) {
    this.#deps = deps
    const { limits, listener } = deps
    const cors = corsFor(deps.cors)
    this.#hasCors = cors.isOn
    this.#answers = new RouteAnswers({
      ...deps,
      cors,
      maxBodyBytes: limits.maxBodyBytes,
      maxParameters: limits.maxParameters,
      isClosing: () => listener.isClosing,
      answered: (context, status) => this.#answered(context, status),
    })
  }

  upgrade(request: IncomingMessage, socket: Socket, early: Buffer): void {
    const head = readRequestHead(request)
    if (!(head instanceof Problem)) this.#deps.passthrough?.tunnel(request, socket, early, head)
  }

  /**
   * Begins requests in the order of arrival, in time slices. An unsafe request waits for the earlier requests on its
   * connection, and later requests on that connection wait for its response (RFC 9112, 9.3.2).
   */
  request(request: Arriving, response: ServerResponse): void {
    const { limits, scheduler, clock } = this.#deps
    const connection = connectionStateOf(request)
    connection.requests += 1
    if (limits.maxRequests > 0 && connection.requests > limits.maxRequests) return // the previous request has ended the connection
    if (connection.requests === limits.maxRequests) response.shouldKeepAlive = false
    const came = clock.now()
    const isSafe = safeMethods.has(request.method ?? '')
    // Node assigns the connection to one response at a time, in order.
    const isBehind = currentResponse(request) !== response
    const mustWait = isBehind && (!isSafe || connection.changing > 0)
    if (!isSafe) {
      connection.changing += 1
      response.once('close', () => {
        connection.changing -= 1
        this.#closed(request, response, came)
      })
    }
    if (mustWait) response.once('socket', () => this.#begin(request, response, clock.now()))
    else if (connection.waiting === 0 && scheduler.mayBegin(came)) this.#begin(request, response, came)
    else {
      connection.waiting += 1
      scheduler.wait(came, () => {
        connection.waiting -= 1
        this.#begin(request, response, came)
      })
    }
  }

  #begin(request: Arriving, response: ServerResponse, began: number): void {
    const connection = connectionStateOf(request)
    if (connection.isEnding || response.destroyed) return
    if (connection.isLast) response.shouldKeepAlive = false
    const context = this.#contextOf(request, response, began)
    if (context instanceof Problem) return void this.#refuse(request, response, context)
    const { passthrough } = this.#deps
    if (passthrough !== undefined && !this.#isOurs(context.head, context.match, request)) {
      context.isObserved = true
      return void passthrough.carry(request, response, context.head)
    }
    this.#expectContent(context)
    this.#answers.answer(context)
  }

  #contextOf(request: Arriving, response: ServerResponse, began: number): RequestContext | Problem {
    const head = readRequestHead(request)
    if (head instanceof Problem) return head
    request.context = {
      request,
      response,
      head,
      match: this.#answers.find(head),
      began,
      answer: undefined,
      requestId: undefined,
      error: undefined,
      isObserved: false,
    }
    return request.context
  }

  /** Whether a route handles the request, even with an error, where an upstream could handle it too. */
  #isOurs({ method }: RequestHead, match: RouteMatch | undefined, { headers }: IncomingMessage): boolean {
    if (match === undefined || (match.read === undefined && !match.route.fits(match.given))) return false
    return match.route.methods.includes(method) || (this.#hasCors && isPreflight(method, headers))
  }

  /** Prevents content that arrives too slowly, or is not read, from holding its connection. */
  #expectContent({ request, response, head }: RequestContext): void {
    const { limits, clock } = this.#deps
    const { method, content, expectsContinue } = head
    if (content) {
      // Content that is not read may be endless.
      if (method !== 'POST') endAfter(request, response)
      const cancel = clock.after(limits.headerTimeoutMs, () => {
        if (!request.complete)
          this.#refuse(
            request,
            response,
            new Problem(
              'request-timeout',
              'The content did not arrive in time. Send it faster, or in a smaller request.',
            ),
          )
      })
      request.once('close', cancel)
    }
    if (expectsContinue && !(Number(content) > limits.maxBodyBytes)) response.writeContinue()
  }

  mayUpgrade(request: IncomingMessage): boolean {
    if (this.#deps.passthrough === undefined || !asksForWebSocket(request)) return false
    if (currentResponse(request) !== undefined) return false // behind a pending response
    const head = readRequestHead(request)
    return !(head instanceof Problem || this.#isOurs(head, this.#answers.find(head), request))
  }

  /** Rejects a request without asking a route or the upstream, and ends the connection. */
  #refuse(request: Arriving, response: ServerResponse, problem: Problem): void {
    endAfter(request, response)
    if (response.headersSent) return void response.destroy()
    const { status, headers, body } = problemReply(problem)
    response.writeHead(status, { ...headers, Connection: 'close' })
    response.end(body)
    if (request.context !== undefined) request.context.isObserved = true
    this.#deps.observe({
      kind: 'response',
      route: request.context?.match?.route.name ?? 'none',
      source: 'none',
      state: 'error',
      status,
      seconds: 0,
      method: String(request.method),
      path: request.context?.head.path ?? '',
      error: problem,
    })
  }

  /**
   * Observes a response not observed yet: the parser gave up on the content, and unreadable-request answered, maybe
   * before the request began.
   */
  #closed(request: Arriving, response: ServerResponse, came: number): void {
    if (!response.headersSent) return
    const context = request.context ?? this.#contextOf(request, response, came)
    if (!(context instanceof Problem)) this.#answered(context, response.statusCode)
  }

  #answered(context: RequestContext, status: number): void {
    if (context.isObserved) return
    context.isObserved = true
    const { head, match, began, answer, requestId, error } = context
    this.#deps.observe({
      kind: 'response',
      route: match?.route.name ?? 'none',
      source: answer?.source ?? 'none',
      state: answer?.state ?? 'error',
      status,
      seconds: (this.#deps.clock.now() - began) / 1000,
      method: head.method,
      path: head.path,
      ageSeconds: answer && answer.ageMs / 1000,
      fallbackReason: answer?.fallbackReason,
      requestId,
      error,
    })
  }
}

function endAfter(request: Arriving, response: ServerResponse): void {
  connectionStateOf(request).isEnding = true
  response.shouldKeepAlive = false
}
