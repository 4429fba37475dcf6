import {
  type ClientRequest,
  request as httpRequest,
  type IncomingMessage,
  type InformationEvent,
  type ServerResponse,
} from 'node:http'
import { request as httpsRequest } from 'node:https'

import type { BlockList, Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { buildConnector, type Dispatcher, Pool } from 'undici'
import type { Clock } from '../clock.ts'
import { Problem } from '../errors.ts'
import type { Observe } from '../observation.ts'
import { isFramedByTrailers, isLooping, trailerFields, upstreamFields } from './fields.ts'
import { type Head, safeMethods } from './head.ts'
import { type Asking, clientClosedRequest, Passage } from './passage.ts'
import { join, lastResponse } from './tunnel.ts'

/** Where the web tier is, and how long it is waited for. Times in milliseconds. */
export interface Upstream {
  /** http, https, or unix: and a path. */
  url: string
  /** The most under way at once. */
  maxRequests: number
  connectTimeoutMs: number
  /** From when the request has been sent to the first byte of its answer. */
  firstByteTimeoutMs: number
  /** The most that nothing moves, in either direction. */
  idleTimeoutMs: number
  trusted: BlockList
  maxHeaderBytes: number
}

export interface Passthrough {
  /** Carries a request to the web tier, and its answer back. */
  carry(request: IncomingMessage, response: ServerResponse, head: Head): void
  /** The same for a request that asks for a WebSocket; `early` is what the client has sent after its head. */
  tunnel(request: IncomingMessage, client: Duplex, early: Buffer, head: Head): void
  /** Requests and tunnels under way. */
  readonly underWay: number
  /** Ends the tunnels. */
  drain(): void
  /** Cuts the tunnels, and the connections kept open. What else is under way ends with its client's connection. */
  close(): Promise<void>
}

/**
 * Passes requests on to the web tier: their target byte for byte, their content as it comes, with exact framing of its own.
 *
 * What is safe and has no content goes over connections kept open (undici). When one of them turns out to have been closed
 * meanwhile, before a byte of an answer, it is asked once more; nothing else is ever asked twice. Everything else, what changes
 * something or has content, or expects 100-continue, goes over a connection of its own: content that some reader frames in
 * another way than this one then runs into the end of a connection, not into the next client's request.
 */
export function passthrough(upstream: Upstream, clock: Clock, random: () => number, observe: Observe): Passthrough {
  const { maxRequests, connectTimeoutMs, firstByteTimeoutMs, idleTimeoutMs, trusted, maxHeaderBytes } = upstream
  const trustsAnybody = trusted.rules.length > 0
  const place = placeOf(upstream.url)
  const connector = buildConnector({ timeout: connectTimeoutMs, ...place.connect })
  const newPool = () => {
    const fresh = new Pool(place.origin, {
      pipelining: 1,
      allowH2: false,
      strictContentLength: true,
      headersTimeout: firstByteTimeoutMs,
      bodyTimeout: idleTimeoutMs,
      maxHeaderSize: maxHeaderBytes,
      connect: (options, callback) =>
        connector(options, (...outcome) => {
          // undici takes a reset for the end of an answer that ends with its connection. It is not.
          outcome[1]?.on('error', (error: NodeJS.ErrnoException) => {
            if (error.code === 'ECONNRESET') error.code = 'EPIPE'
          })
          callback(...outcome)
        }),
    })
    fresh.on('connectionError', () => {}) // the request that needed the connection fails with the same error
    return fresh
  }
  let pool = newPool()
  /** Lets every connection kept open end when what is under way on it has: one of them is in a state nobody can be sure of. */
  const renew = () => {
    const old = pool
    pool = newPool()
    old.close().catch(() => {}) // cut meanwhile: ended all the same
  }
  const heads: Passage[] = []
  /** Sends the head of an answer when this turn of the event loop is over, unless content has come with it. */
  const flushSoon = (passage: Passage) => {
    if (heads.push(passage) > 1) return
    setImmediate(() => {
      for (const one of heads.splice(0)) one.flush()
    })
  }
  // A number, not a set of them: a Set that is added to and deleted from all day chains its old tables, and what was in them
  // outlives a young collection (a third of all that a request allocates, as measured).
  let underWay = 0
  const tunnels = new Set<Duplex>()

  function carry(request: IncomingMessage, response: ServerResponse, head: Head): void {
    const passage = admit(request, response, head)
    response.on('error', () => {}) // its 'close' follows
    response.on('close', () => leave(passage))
    if (!isAdmitted(passage)) return
    if (isRepeatable(head)) {
      const again = () => ask(passage, framingOf(head), () => false).end()
      return void new PooledAnswer(passage, again, renew, flushSoon).ask(pool, place.connect.servername)
    }
    const outgoing = ask(passage, framingOf(head), () => false)
    outgoing.on('continue', () => head.expectsContinue && !response.headersSent && response.writeContinue())
    // What the web tier does not want is read all the same, or a client that sends first and then reads never would.
    outgoing.on('close', () => request.resume())
    request.on('end', () => {
      if (head.content === 'chunked') outgoing.addTrailers(trailerFields(request.rawTrailers))
      outgoing.end()
    })
    request.pipe(outgoing, { end: false })
  }

  function tunnel(request: IncomingMessage, client: Duplex, early: Buffer, head: Head): void {
    const response = lastResponse(request, client)
    const passage = admit(request, response, head)
    client.on('error', () => {}) // its 'close' follows
    client.on('close', () => {
      tunnels.delete(client)
      leave(passage)
    })
    if (!isAdmitted(passage)) return
    ask(passage, ['Connection', 'Upgrade', 'Upgrade', 'websocket'], (answer, server, first) => {
      if (!join(client, answer, server, { client: early, server: first }, idleTimeoutMs)) return false
      response.detachSocket(client as Socket)
      passage.upgraded()
      tunnels.add(client)
      return true
    }).end()
  }

  function admit(request: IncomingMessage, response: ServerResponse, head: Head): Passage {
    let began = clock.now()
    // How long a client takes to send its content says nothing of the web tier.
    if (head.content) request.once('end', () => (began = clock.now()))
    const passage = new Passage(request, response, head, fieldsOf(request, head), (status, error) => {
      const isFailed = error !== undefined || status === clientClosedRequest
      observe({
        kind: 'response',
        route: 'none',
        source: isFailed ? 'none' : 'upstream',
        state: isFailed ? 'error' : 'bypass',
        status,
        seconds: (clock.now() - began) / 1000,
        method: head.method,
        path: head.path,
        error,
      })
    })
    underWay += 1
    return passage
  }

  function leave(passage: Passage): void {
    underWay -= 1
    passage.ended()
  }

  function isAdmitted(passage: Passage): boolean {
    if (isLooping(passage.head)) {
      passage.fail(new Problem('upstream-failed', 'The web tier leads back here.'))
      return false
    }
    if (passage.head.maxForwards === 0) {
      passage.fail(new Problem('wrong-method', 'Max-Forwards lets it go no further.'), { Allow: '' })
      return false
    }
    if (underWay <= maxRequests) return true
    observe({ kind: 'shed', route: 'none', reason: 'upstream-full' })
    const wait = { 'Retry-After': String(1 + Math.floor(random() * 3)) }
    passage.fail(new Problem('upstream-full', 'The web tier has as much to do as it may have.'), wait)
    return false
  }

  function fieldsOf(request: IncomingMessage, head: Head): string[] {
    const { socket } = request
    const address = socket.remoteAddress?.replace(/^::ffff:(?=\d+\.)/, '')
    const family = address?.includes(':') ? 'ipv6' : 'ipv4'
    const isTrusted = trustsAnybody && address !== undefined && trusted.check(address, family)
    return upstreamFields(head, { address, isEncrypted: 'encrypted' in socket, isTrusted })
  }

  /**
   * Sends a request over a connection that nobody else has used or will use: its head at once, its content is to be written.
   * The answer goes to `passage`; `upgraded` says whether a 101 was wanted and taken.
   */
  function ask(
    passage: Passage,
    framing: readonly string[],
    upgraded: (answer: IncomingMessage, server: Socket, early: Buffer) => boolean,
  ): ClientRequest {
    const { head, fields } = passage
    const headers = [...(head.host === undefined ? ['Host', place.host] : []), ...fields, ...framing]
    const outgoing = (place.isEncrypted ? httpsRequest : httpRequest)({
      ...place.connect,
      ...place.address,
      agent: false,
      method: head.method,
      path: head.target,
      headers,
      setHost: false,
      insecureHTTPParser: false,
      maxHeaderSize: maxHeaderBytes,
    })
    passage.asking = { abort: (why) => outgoing.destroy(why) }
    outgoing.maxHeadersCount = 0
    // Alone, Node would write the head as UTF-8; in front of content, or of the end, it writes the bytes there are.
    if (headers.every((text) => !/[\x80-\xff]/.test(text))) outgoing.flushHeaders()
    watch(outgoing)
    outgoing.on('error', (error) => passage.fail(problemOf(error)))
    outgoing.on('information', ({ statusCode, rawHeaders }: InformationEvent) => {
      if (statusCode !== 100) passage.inform(statusCode, rawHeaders)
    })
    outgoing.on('upgrade', (answer, server: Socket, early) => {
      if (upgraded(answer, server, early)) return
      server.destroy()
      passage.fail(new Problem('upstream-failed', 'The web tier changes to a protocol that nobody asked for.'))
    })
    outgoing.on('response', (answer) => {
      answer.on('error', (error) => passage.fail(problemOf(error)))
      if (!passage.respond(answer.statusCode as number, answer.statusMessage, answer.rawHeaders)) return
      flushSoon(passage)
      answer.on('end', () => passage.end(answer.rawTrailers))
      answer.on('data', (chunk) => passage.write(chunk, answer))
    })
    return outgoing
  }

  /** Ends `outgoing` when it outlasts its timeouts. The first byte of the answer is awaited from when all has been sent. */
  function watch(outgoing: ClientRequest): void {
    const tooLate = (what: string) => () => outgoing.destroy(new Problem('upstream-timeout', what))
    let cancel = clock.after(connectTimeoutMs, tooLate('There is no connection to the web tier.'))
    outgoing.on('socket', (socket) => {
      socket.once(place.isEncrypted ? 'secureConnect' : 'connect', () => {
        cancel()
        socket.setTimeout(idleTimeoutMs, tooLate('Nothing moves to or from the web tier.'))
      })
    })
    outgoing.on('finish', () => {
      cancel()
      cancel = clock.after(firstByteTimeoutMs, tooLate('The web tier does not answer.'))
    })
    for (const event of ['response', 'upgrade', 'close'] as const) outgoing.on(event, () => cancel())
  }

  return {
    carry,
    tunnel,
    get underWay() {
      return underWay
    },
    drain() {
      for (const client of tunnels) client.end()
    },
    async close() {
      for (const client of tunnels) client.destroy()
      await pool.destroy()
    },
  }
}

/**
 * The answer to a request sent over a connection kept open. `again` asks once more, over a new one; `renew` is called when the
 * connection has shown that it cannot be trusted.
 */
class PooledAnswer implements Dispatcher.DispatchHandler, Asking {
  readonly #passage: Passage
  readonly #again: () => void
  readonly #renew: () => void
  readonly #flushSoon: (passage: Passage) => void
  #controller: Dispatcher.DispatchController | undefined
  #hasBegun = false

  constructor(passage: Passage, again: () => void, renew: () => void, flushSoon: (passage: Passage) => void) {
    this.#passage = passage
    this.#again = again
    this.#renew = renew
    this.#flushSoon = flushSoon
  }

  ask(pool: Pool, servername: string | undefined): void {
    const { method, target } = this.#passage.head
    const headers = this.#passage.fields as string[]
    // Without a name of ours undici would ask for, and check, the certificate of whatever the client's Host says.
    const named = servername === undefined ? {} : { servername }
    pool.dispatch({ method, path: target, headers, body: null, ...named } as Dispatcher.DispatchOptions, this)
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    if (this.#passage.isOver) return void controller.abort(new Error('the client has left'))
    this.#controller = controller
    this.#passage.asking = this
  }

  abort(why: Error): void {
    this.#controller?.abort(why)
  }

  onResponseStarted(): void {
    this.#hasBegun = true
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number, _fields: unknown, reason?: string): void {
    const rawHeaders = asStrings(controller.rawHeaders)
    if (status < 200) this.#passage.inform(status, rawHeaders)
    else if (this.#passage.respond(status, reason, rawHeaders)) this.#flushSoon(this.#passage)
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#passage.write(chunk, controller)
  }

  onResponseEnd(controller: Dispatcher.DispatchController): void {
    const trailers = asStrings(controller.rawTrailers)
    this.#done()
    if (isFramedByTrailers(trailers)) this.#renew()
    this.#passage.end(trailers)
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#done()
    const isStale = !this.#hasBegun && isConnectionClosed(error)
    if (isStale && !this.#passage.isOver) this.#again()
    else this.#passage.fail(problemOf(error))
  }

  #done(): void {
    this.#controller = undefined
    this.#passage.asking = undefined
  }
}

/** undici gives raw fields as buffers. Field values are bytes: latin1 keeps each. */
function asStrings(raw: Dispatcher.DispatchController['rawHeaders']): string[] {
  return Array.isArray(raw) ? raw.map((bytes) => (typeof bytes === 'string' ? bytes : bytes.toString('latin1'))) : []
}

/**
 * What may be asked again when a connection kept open turns out to be dead. undici takes no target but one that begins with a slash, or
 * with its scheme in lower case.
 */
function isRepeatable({ method, content, expectsContinue, target }: Head): boolean {
  return safeMethods.has(method) && !content && !expectsContinue && /^(\/|https?:\/\/)/.test(target)
}

/** What frames the content of a request that is sent on, the way it came framed. */
function framingOf({ method, content, expectsContinue }: Head): string[] {
  const expect = expectsContinue ? ['Expect', '100-continue'] : []
  if (content === 'chunked') return ['Transfer-Encoding', 'chunked', ...expect]
  if (content !== undefined) return ['Content-Length', String(content), ...expect]
  return safeMethods.has(method) || method === 'DELETE' ? [] : ['Content-Length', '0']
}

interface Place {
  /** For the connections kept open. */
  origin: string
  connect: { servername?: string; socketPath?: string }
  /** For a connection of its own. */
  address: { host: string; port: string } | Record<string, never>
  /** What Host says of a request of HTTP/1.0 that has none. */
  host: string
  isEncrypted: boolean
}

function placeOf(url: string): Place {
  if (url.startsWith('unix:')) {
    const socketPath = url.slice('unix:'.length)
    return { origin: 'http://localhost', connect: { socketPath }, address: {}, host: 'localhost', isEncrypted: false }
  }
  const { protocol, hostname, port, host, origin } = new URL(url)
  const isEncrypted = protocol === 'https:'
  const name = hostname.replace(/^\[|\]$/g, '')
  return {
    origin,
    connect: isEncrypted ? { servername: name } : {},
    address: { host: name, port: port || (isEncrypted ? '443' : '80') },
    host,
    isEncrypted,
  }
}

function codeOf(error: unknown): string | undefined {
  return (error as { code?: string }).code
}

function isConnectionClosed(error: Error): boolean {
  return (
    codeOf(error) === 'ECONNRESET' ||
    codeOf(error) === 'EPIPE' ||
    (codeOf(error) === 'UND_ERR_SOCKET' && /^(other side )?closed$/.test(error.message))
  )
}

function problemOf(error: Error): Problem {
  if (error instanceof Problem) return error
  const isTimeout = /_TIMEOUT$|^ETIMEDOUT$/.test(codeOf(error) ?? '')
  if (isTimeout) return new Problem('upstream-timeout', 'The web tier does not answer in time.', { cause: error })
  return new Problem('upstream-failed', 'The web tier cannot be asked, or its answer not be understood.', {
    cause: error,
  })
}
