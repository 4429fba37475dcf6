// Route responses: GET, HEAD and POST, preflights and errors; memory hits in the same tick.
import type { IncomingHttpHeaders, IncomingMessage, Server } from 'node:http'
import type { Answer, Read } from '../../cache/answer.ts'
import type { Audit } from '../../cache/audit.ts'
import type { ReadThrough } from '../../cache/read-through.ts'
import type { VariantBuilder } from '../../cache/variants.ts'
import type { Position } from '../../coherence/ledger.ts'
import { Problem } from '../../errors.ts'
import type { GuardedOrigin } from '../../origin/guard.ts'
import { asProblem, errorReply } from '../../problem-reply.ts'
import { requestIds } from '../../request-id.ts'
import { type Cors, isPreflight, preflightFields, withCors } from '../cors.ts'
import type { RequestHead } from '../head.ts'
import { type Reply, replyWith } from '../reply.ts'
import type { RequestContext, RouteMatch } from '../request-context.ts'
import { readJsonContent, UnreadContent } from './content.ts'
import { readBody, readQuery } from './input.ts'
import { mustBeOpen } from './reads.ts'
import type { Route } from './route.ts'
import type { Routing } from './routing.ts'
import type { RouteTable } from './table.ts'
import { TargetCache } from './target-cache.ts'

/** Tracing of requests, if it is enabled. */
export interface RequestTraces {
  /** Observes every request of `server`. */
  follow(server: Server): void
  /** Runs `run` in the trace of `request`, for a route with the path `path`. */
  within(request: IncomingMessage, path: string | undefined, run: () => void): void
}

export interface RouteAnswersDependencies {
  /** Its table is always the current one: a reload can replace it between two requests. */
  routing: Pick<Routing, 'table' | 'reads'>
  cache: Pick<ReadThrough, 'fromMemory' | 'fetch'>
  audit: Audit
  variants: Pick<VariantBuilder, 'want'>
  origin: Pick<GuardedOrigin, 'isIdleFor'>
  traces?: RequestTraces | undefined
  cors: Cors
  /** Maximum content of a POST. */
  maxBodyBytes: number
  /** Maximum number of parameters of a request, undeclared ones included. */
  maxParameters: number
  /** Whether connections close after the current response. */
  isClosing(): boolean
  /** Reports a written response. The time its client takes to read it says nothing about this server. */
  answered(context: RequestContext, status: number): void
  /** 0 to 1, evenly spread. */
  random(): number
}

/** Number of remembered targets: most memory hits are for the same few. Longer targets are not worth the space. */
const rememberedTargets = 1000
const longestTarget = 300

/**
 * Turns a request for a route into its response. GET, HEAD and POST differ only in where their parameters come from.
 */
export class RouteAnswers {
  readonly #deps: RouteAnswersDependencies
  readonly #idOf: ReturnType<typeof requestIds>
  #table: RouteTable | undefined
  #matches = new TargetCache<RouteMatch>(rememberedTargets)

  constructor(deps: RouteAnswersDependencies) {
    this.#deps = deps
    this.#idOf = requestIds(deps.random)
  }

  find({ target, path }: RequestHead): RouteMatch | undefined {
    const { table } = this.#deps.routing
    if (table !== this.#table) {
      this.#table = table
      this.#matches = new TargetCache(rememberedTargets)
    }
    return this.#matches.get(target) ?? table.find(path)
  }

  /** Answers a request. A memory hit for a GET or a HEAD is written before this returns, without an await. */
  answer(context: RequestContext): void {
    const { traces } = this.#deps
    if (traces === undefined) return void this.#answer(context)
    traces.within(context.request, context.match?.route.path, () => this.#answer(context))
  }

  #answer(context: RequestContext): void {
    try {
      const { head, match } = context
      if (match === undefined) throw new Problem('no-route', 'No route matches this path.')
      const { methods } = match.route
      if (!methods.includes(head.method)) return void this.#answerOtherMethod(context, methods)
      if (head.method === 'POST') return void this.#answerPost(context, match)
      this.#serve(context, match, match.read ?? this.#read(match, readQuery(head.query, this.#deps.maxParameters)))
    } catch (error) {
      this.#fail(context, error)
    }
  }

  #answerOtherMethod(context: RequestContext, methods: readonly string[]): void {
    const { head, request } = context
    if (this.#deps.cors.isOn && isPreflight(head.method, request.headers))
      return void this.#send(context, { status: 204, headers: preflightFields(methods), body: undefined })
    const takes = methods.join(', ')
    this.#fail(context, new Problem('wrong-method', `This path supports ${takes} only.`), { Allow: takes })
  }

  async #answerPost(context: RequestContext, match: RouteMatch): Promise<void> {
    const { maxBodyBytes, maxParameters } = this.#deps
    try {
      const content = await readJsonContent(context.request, maxBodyBytes)
      // Already rejected: its content took too long.
      if (!context.response.headersSent)
        this.#serve(context, match, this.#read(match, readBody(content, maxParameters)))
    } catch (error) {
      // A client that left during its content gets no response.
      if (context.response.headersSent || !context.response.destroyed) this.#fail(context, error)
    }
  }

  /**
   * The cache read for a request, from the parameters sent. Throws `origin-unavailable` if the route is closed,
   * whatever was sent; otherwise `bad-parameters`.
   */
  #read({ route, given }: RouteMatch, sent: Map<string, readonly unknown[]>): Read {
    mustBeOpen(route)
    // A parameter in the path cannot be overridden elsewhere.
    for (const [name, values] of given) sent.set(name, values)
    const read = route.read(sent)
    if ('faults' in read) throw new Problem('bad-parameters', inWords(read.faults), { faults: read.faults })
    return this.#deps.routing.reads.of(route, read.params)
  }

  #serve(context: RequestContext, match: RouteMatch, asked: Read): void {
    const read = forClient(asked, match.route, context.request.headers)
    const answer = this.#deps.cache.fromMemory(read)
    if (answer === undefined) return void this.#fetch(context, match.route, read)
    if (match.read === undefined && context.head.method !== 'POST') this.#remember(context.head.target, match, asked)
    this.#write(context, match.route, read, answer)
  }

  #remember(target: string, match: RouteMatch, read: Read): void {
    if (target.length > longestTarget) return
    match.read = read
    this.#matches.set(target, match)
  }

  async #fetch(context: RequestContext, route: Route, read: Read): Promise<void> {
    try {
      const answer = await this.#deps.cache.fetch(read)
      // Already rejected: unwanted content did not arrive, or was malformed.
      if (!context.response.headersSent) this.#write(context, route, read, answer)
    } catch (error) {
      this.#fail(context, error)
    }
  }

  #write(context: RequestContext, route: Route, read: Read, answer: Answer): void {
    context.answer = answer
    const { headers } = context.request
    const reply = replyWith(answer, route.query.returns, route.cacheControl, {
      method: context.head.method,
      ifNoneMatch: headers['if-none-match'],
      acceptEncoding: headers['accept-encoding']?.toString(),
    })
    if (reply.wanted !== undefined) this.#deps.variants.want(read.key, reply.wanted)
    this.#send(context, reply)
    // A fallback is no hit, and the database already has enough work.
    if (route.audit > 0 && answer.forwarded === undefined && answer.fallbackReason === undefined)
      this.#deps.audit.consider(read, answer, route.audit, () => this.#deps.origin.isIdleFor(route.query))
  }

  #fail(context: RequestContext, error: unknown, headers?: Record<string, string>): void {
    const { request, response } = context
    context.error = error
    context.requestId = this.#idOf(request)
    if (response.headersSent) return void response.destroy()
    const problem = asProblem(error)
    if (problem instanceof UnreadContent) response.shouldKeepAlive = false
    const reply = errorReply(problem, this.#deps.random, context.requestId)
    this.#send(context, headers === undefined ? reply : { ...reply, headers: { ...reply.headers, ...headers } })
  }

  #send(
    context: RequestContext,
    { status, headers, body }: Pick<Reply, 'status' | 'headers'> & { body?: Buffer | undefined },
  ): void {
    const { request, response } = context
    if (this.#deps.isClosing()) response.shouldKeepAlive = false
    response.writeHead(status, withCors(headers, this.#deps.cors.fieldsFor(request.headers)))
    response.end(status === 304 ? undefined : body)
    this.#deps.answered(context, status)
  }
}

/**
 * `read`, adjusted for a client that rejects old entries (no-cache: RFC 9111, 5.2.1.4) or that waits for a purge. Other
 * request directives concern caches that store what clients send.
 */
export function forClient(read: Read, { lifetime }: Route, headers: IncomingHttpHeaders): Read {
  const { 'cache-control': cacheControl, 'onramp-min-position': minPosition } = headers
  const saysNoCache = cacheControl !== undefined && /(?:^|,)[ \t]*no-cache[ \t]*(?:,|$)/i.test(cacheControl)
  if (!saysNoCache && minPosition === undefined) return read
  const atLeast = minPosition === undefined ? undefined : positionOf(minPosition.toString())
  return { ...read, atLeast, ...(saysNoCache && { maxAgeMs: lifetime.noCache }) }
}

/** Parses the position that a purge returned. Throws `bad-parameters` for anything else. */
function positionOf(text: string): Position {
  const [, pos, id] = /^(\d{1,15}):([0-9a-f]{16})$/.exec(text) ?? []
  if (pos === undefined || id === undefined)
    throw new Problem('bad-parameters', 'Invalid Onramp-Min-Position header. Send the position that a purge returned.')
  return { pos: Number(pos), id }
}

function inWords(faults: readonly { parameter: string; detail: string }[]): string {
  return `${faults.map(({ parameter, detail }) => `${parameter} ${detail}`).join('; ')}.`
}
