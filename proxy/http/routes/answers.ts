// Answers requests for routes, from memory in the same tick.
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'
import type { Answer, Read } from '../../cache/answer.ts'
import type { Audit } from '../../cache/audit.ts'
import type { ReadThrough } from '../../cache/read-through.ts'
import type { VariantBuilder } from '../../cache/variants.ts'
import type { Position } from '../../coherence/ledger.ts'
import { Problem } from '../../errors.ts'
import type { GuardedOrigin } from '../../origin/guard.ts'
import { type Cors, withCors } from '../cors.ts'
import { replyToError } from '../framework.ts'
import type { RequestHead } from '../head.ts'
import { type Reply, replyWith } from '../reply.ts'
import { requestIds } from '../request-id.ts'
import { readQuery } from './input.ts'
import type { Route, RouteTable } from './route.ts'
import { TargetCache } from './target-cache.ts'

/** The route of a request, and what its path gives; what a GET for this very target asks of the cache, where that is known. */
export type RouteMatch = NonNullable<ReturnType<RouteTable['find']>> & { read?: Read }

/** What is known of a request so far, for the one line and the one count it makes. */
export interface RequestContext {
  readonly head: RequestHead
  readonly found: RouteMatch | undefined
  /** When its head was read, on the clock. */
  readonly began: number
  answer: Answer | undefined
  /** Of a request that failed. */
  requestId: string | undefined
  error: unknown
}

/** A request on which its road is noted, so that it is found once. */
export type Arriving = IncomingMessage & { context?: RequestContext }

export interface RouteAnswersDependencies {
  /** The table of the moment: a reload replaces it between two requests. */
  routes(): RouteTable
  cache: Pick<ReadThrough, 'fromMemory' | 'fetch'>
  audit: Audit
  variants: Pick<VariantBuilder, 'want'>
  origin: Pick<GuardedOrigin, 'query' | 'admit' | 'isIdleFor'>
  cors: Cors
  /** Of one request, unknown ones too. */
  maxParameters: number
  /** Whether connections end with the answer under way. */
  isClosing(): boolean
  /** Takes what became of a request. Its response is written; how long its client takes to read that says nothing of this server. */
  answered(road: RequestContext, status: number): void
  /** 0 to 1, evenly spread. */
  random(): number
}

type Asking = Pick<IncomingMessage, 'method' | 'headers'>

export interface RouteAnswers {
  find(head: RequestHead): RouteMatch | undefined
  /** Answers a GET or a HEAD for a route that takes it. What memory holds is written before this returns: nothing is awaited. */
  give(request: IncomingMessage, response: ServerResponse, road: RequestContext): void
  /** What a request for a route asks of the cache, by what its client has sent. Throws `bad-parameters`. */
  reading(found: RouteMatch, sent: Map<string, readonly unknown[]>): Read
  /** The reply to a request for a route, by the answer of the cache; has the variant built that its client would rather have had. */
  replyTo(found: RouteMatch, read: Read, answer: Answer, request: Asking): Reply
  /** Has a share of the hits compared with what the database says. */
  audit(found: RouteMatch, read: Read, answer: Answer): void
}

/** Targets whose meaning is remembered: what is read from memory is mostly the same few. Longer ones are not worth the room. */
const remembered = 1000
const longest = 300

/** Answers requests for routes: with Node's own response, for the way through a framework costs as much as all of this. */
export function routeAnswers({
  routes,
  cache,
  audit: audits,
  variants,
  origin,
  cors,
  maxParameters,
  isClosing,
  answered,
  random,
}: RouteAnswersDependencies): RouteAnswers {
  const idOf = requestIds(random)
  let table: RouteTable | undefined
  let targets = new TargetCache<RouteMatch>(remembered)

  function find({ target, path }: RequestHead): RouteMatch | undefined {
    if (table !== routes()) {
      table = routes()
      targets = new TargetCache(remembered)
    }
    return targets.get(target) ?? table.find(path)
  }

  function reading({ route, given }: RouteMatch, sent: Map<string, readonly unknown[]>): Read {
    mustBeOpen(route)
    // What the path names, nothing else can name again.
    for (const [name, values] of given) sent.set(name, values)
    const read = route.read(sent)
    if ('faults' in read) throw new Problem('bad-parameters', inWords(read.faults), { faults: read.faults })
    const { params } = read
    return {
      key: route.key(params),
      route: route.name,
      tags: () => asOfNow(route).tags(params),
      lifetime: route.lifetime,
      admit: () => origin.admit(route.query),
      async load(sent) {
        mustBeOpen(asOfNow(route))
        const loaded = await origin.query(route.query, params, sent)
        mustBeOpen(asOfNow(route)) // what it reads may have been defined anew meanwhile
        return loaded
      },
    }
  }

  /** `route` as it was last looked at, which may have been after it was found for a request. */
  function asOfNow(route: Route): Route {
    const now = routes().byName.get(route.name)
    return now?.query.version === route.query.version ? now : route
  }

  function give(request: IncomingMessage, response: ServerResponse, road: RequestContext): void {
    try {
      const found = road.found as RouteMatch
      const asked = found.read ?? reading(found, readQuery(road.head.query, maxParameters))
      const read = forClient(asked, found.route, request.headers)
      const held = cache.fromMemory(read)
      if (held === undefined) return void wait(request, response, road, read)
      if (found.read === undefined) remember(road, asked)
      write(request, response, road, read, held)
      audit(found, read, held)
    } catch (error) {
      fail(request, response, road, error)
    }
  }

  function audit({ route }: RouteMatch, read: Read, answer: Answer): void {
    if (route.audit > 0) audits.consider(read, answer, route.audit, () => origin.isIdleFor(route.query))
  }

  function remember({ head, found }: RequestContext, read: Read): void {
    if (head.target.length > longest) return
    const known = found as RouteMatch
    known.read = read
    targets.set(head.target, known)
  }

  async function wait(
    request: IncomingMessage,
    response: ServerResponse,
    road: RequestContext,
    read: Read,
  ): Promise<void> {
    try {
      const answer = await cache.fetch(read)
      // Refused meanwhile: content that nobody asked for does not come, or cannot be read.
      if (!response.headersSent) write(request, response, road, read, answer)
    } catch (error) {
      fail(request, response, road, error)
    }
  }

  function write(
    request: IncomingMessage,
    response: ServerResponse,
    road: RequestContext,
    read: Read,
    answer: Answer,
  ): void {
    road.answer = answer
    send(request, response, road, replyTo(road.found as RouteMatch, read, answer, request))
  }

  function replyTo({ route }: RouteMatch, { key }: Read, answer: Answer, { method, headers }: Asking): Reply {
    const reply = replyWith(answer, route.query.returns, route.cacheControl, {
      method: method as string,
      ifNoneMatch: headers['if-none-match'],
      acceptEncoding: headers['accept-encoding']?.toString(),
    })
    if (reply.wanted !== undefined) variants.want(key, reply.wanted)
    return reply
  }

  function fail(request: IncomingMessage, response: ServerResponse, road: RequestContext, error: unknown): void {
    road.error = error
    road.requestId = idOf(request)
    if (response.headersSent) response.destroy()
    else send(request, response, road, replyToError(error, random, road.requestId))
  }

  function send(
    request: IncomingMessage,
    response: ServerResponse,
    road: RequestContext,
    { status, headers, body }: Reply,
  ): void {
    if (isClosing()) response.shouldKeepAlive = false
    response.writeHead(status, withCors(headers, cors(request.headers)))
    response.end(status === 304 ? undefined : body)
    answered(road, status)
  }

  return { find, give, reading, replyTo, audit }
}

/**
 * `read`, for a client that may say that what is held is too old for it (no-cache: RFC 9111, 5.2.1.4), or that knows of a purge. What
 * else requests say of caching is about caches that keep what clients send.
 */
export function forClient(read: Read, { lifetime }: Route, headers: IncomingHttpHeaders): Read {
  const { 'cache-control': cacheControl, 'onramp-min-position': minPosition } = headers
  const saysNoCache = cacheControl !== undefined && /(?:^|,)[ \t]*no-cache[ \t]*(?:,|$)/i.test(cacheControl)
  if (!saysNoCache && minPosition === undefined) return read
  const atLeast = minPosition === undefined ? undefined : positionOf(minPosition.toString())
  return { ...read, atLeast, ...(saysNoCache && { maxAgeMs: lifetime.noCache }) }
}

/** Reads what a purge has answered as its position. Throws `bad-parameters` for anything else. */
function positionOf(text: string): Position {
  const [, pos, id] = /^(\d{1,15}):([0-9a-f]{16})$/.exec(text) ?? []
  if (pos === undefined || id === undefined)
    throw new Problem('bad-parameters', 'Onramp-Min-Position is not a position that a purge has answered.')
  return { pos: Number(pos), id }
}

function inWords(faults: readonly { parameter: string; detail: string }[]): string {
  return `${faults.map(({ parameter, detail }) => `${parameter} ${detail}`).join('; ')}.`
}

function mustBeOpen({ closed }: Route): void {
  if (closed !== undefined) throw new Problem('origin-unavailable', closed)
}
