// Passthrough: requests that no route answers go to the upstream.
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { BlockList, Socket } from 'node:net'
import type { Clock } from '../../clock.ts'
import { Problem } from '../../errors.ts'
import type { Observe } from '../../observation.ts'
import { isRequestId } from '../../request-id.ts'
import { connectionStateOf } from '../connection.ts'
import { type RequestHead, safeMethods } from '../head.ts'
import { type UpstreamOptions, upstreamAddressOf } from './address.ts'
import { type AskOverDedicatedConnection, dedicatedConnections } from './dedicated-connection.ts'
import { clientClosedRequest, type ReportOutcome, UpstreamExchange } from './exchange.ts'
import { isLooping, type Sender, trailerFields, upstreamFields } from './fields.ts'
import { LargeBodyCollector } from './gc.ts'
import { UpstreamPool } from './pool.ts'
import { join, lastResponse } from './tunnel.ts'

/**
 * Passes requests on to the upstream, the web tier behind this proxy. The target is passed on byte for byte, the
 * content as it arrives, with exact framing of its own.
 *
 * A safe request without content uses a pooled connection (undici). If that connection turns out to be closed before
 * the first byte of a response, the request is sent once more; nothing else is ever sent twice. Every other request
 * (unsafe, with content, or with 100-continue) uses a connection of its own. If another reader frames its content
 * differently, the surplus meets the end of that connection, and not another client's request.
 */
export class Passthrough {
  readonly #options: UpstreamOptions
  readonly #clock: Clock
  readonly #random: () => number
  readonly #observe: Observe
  readonly #askOverDedicated: AskOverDedicatedConnection
  readonly #pool: UpstreamPool
  readonly #collector = new LargeBodyCollector()
  readonly #tunnels = new Set<Socket>()
  /** Exchanges whose head is sent at the end of this turn of the event loop. */
  readonly #toFlush: UpstreamExchange[] = []
  // A number, not a Set: a Set with constant additions and deletions chains its old tables, whose contents outlive a
  // minor collection (measured: a third of all that a request allocates).
  #underWay = 0

  /** `random`: 0 to 1, evenly spread. */
  constructor(options: UpstreamOptions, clock: Clock, random: () => number, observe: Observe) {
    this.#options = options
    this.#clock = clock
    this.#random = random
    this.#observe = observe
    const address = upstreamAddressOf(options.url)
    const flushSoon = (exchange: UpstreamExchange) => this.#flushSoon(exchange)
    this.#askOverDedicated = dedicatedConnections(address, options, clock, flushSoon)
    const askAgain = (exchange: UpstreamExchange) => {
      this.#askOverDedicated(exchange, framingOf(exchange.head)).end()
    }
    this.#pool = new UpstreamPool(address, options, { flushSoon, askAgain })
  }

  /** Number of requests and tunnels in flight. */
  get underWay(): number {
    return this.#underWay
  }

  /** Passes a request to the upstream, and its response back. */
  carry(request: IncomingMessage, response: ServerResponse, head: RequestHead): void {
    const exchange = this.#newExchange(request, response, head)
    response.on('error', () => {}) // its 'close' follows
    response.on('close', () => this.#leave(exchange))
    if (this.#refuses(exchange)) return
    if (isRepeatable(head)) this.#pool.ask(exchange)
    else this.#sendContent(request, exchange)
  }

  /** The same for a WebSocket request. `early`: bytes that the client sent after its head. */
  tunnel(request: IncomingMessage, client: Socket, early: Buffer, head: RequestHead): void {
    const response = lastResponse(request, client)
    const exchange = this.#newExchange(request, response, head)
    client.on('error', () => {}) // its 'close' follows
    client.on('close', () => {
      this.#tunnels.delete(client)
      this.#leave(exchange)
    })
    if (this.#refuses(exchange)) return
    const framing = ['Connection', 'Upgrade', 'Upgrade', 'websocket']
    const outgoing = this.#askOverDedicated(exchange, framing, (answer, upstream, earlyOfUpstream) => {
      const sides = { client, earlyOfClient: early, upstream, earlyOfUpstream }
      if (!join(sides, answer, this.#options.idleTimeoutMs, this.#collector)) return false
      response.detachSocket(client)
      exchange.upgraded()
      this.#tunnels.add(client)
      return true
    })
    outgoing.end()
  }

  /** Ends the tunnels. */
  drain(): void {
    for (const client of this.#tunnels) client.end()
  }

  /** Cuts the tunnels and the pooled connections. Other requests end with their client's connection. */
  async close(): Promise<void> {
    for (const client of this.#tunnels) client.destroy()
    await this.#pool.close()
  }

  #sendContent(request: IncomingMessage, exchange: UpstreamExchange): void {
    const { head, response } = exchange
    const outgoing = this.#askOverDedicated(exchange, framingOf(head))
    outgoing.on('continue', () => head.expectsContinue && !response.headersSent && response.writeContinue())
    // Content that the upstream does not want is still read: a client that sends first and reads later would otherwise
    // hang.
    outgoing.on('close', () => request.resume())
    request.on('end', () => {
      if (head.content === 'chunked') outgoing.addTrailers(trailerFields(request.rawTrailers))
      outgoing.end()
    })
    let sent = 0
    request.on('data', ({ length }: Buffer) => {
      sent = this.#collector.note(sent, length)
    })
    request.pipe(outgoing, { end: false })
  }

  /** Sends the head of a response at the end of this turn of the event loop, unless content has arrived with it. */
  #flushSoon(exchange: UpstreamExchange): void {
    if (this.#toFlush.push(exchange) > 1) return
    setImmediate(() => {
      for (const one of this.#toFlush.splice(0)) one.flush()
    })
  }

  #newExchange(request: IncomingMessage, response: ServerResponse, head: RequestHead): UpstreamExchange {
    const connection = connectionStateOf(request)
    connection.sender ??= senderOf(request, this.#options.trusted)
    const fields = upstreamFields(head, connection.sender)
    const exchange = new UpstreamExchange(
      response,
      head,
      fields,
      this.#clock.now(),
      this.#collector,
      this.#observeOutcome,
    )
    // The time that a client takes to send its content says nothing about the upstream.
    if (head.content) request.once('end', () => (exchange.began = this.#clock.now()))
    this.#underWay += 1
    return exchange
  }

  readonly #observeOutcome: ReportOutcome = ({ head, began }, status, error) => {
    const isFailed = error !== undefined || status === clientClosedRequest
    this.#observe({
      kind: 'response',
      route: 'none',
      source: isFailed ? 'none' : 'upstream',
      state: isFailed ? 'error' : 'bypass',
      status,
      seconds: (this.#clock.now() - began) / 1000,
      method: head.method,
      path: head.path,
      // Searched only if it will be logged.
      requestId: isFailed || status >= 500 ? requestIdOf(head) : undefined,
      error,
    })
  }

  #leave(exchange: UpstreamExchange): void {
    this.#underWay -= 1
    exchange.ended()
  }

  /** Rejects a request that is in a loop, has no Max-Forwards left, or exceeds the limit. Returns whether it did. */
  #refuses(exchange: UpstreamExchange): boolean {
    const { head } = exchange
    if (isLooping(head))
      exchange.fail(
        new Problem(
          'upstream-failed',
          'Request loop: the upstream sends requests back to this proxy. The operator must correct upstream.url.',
        ),
      )
    else if (head.maxForwards === 0)
      exchange.fail(new Problem('wrong-method', 'Max-Forwards is 0, so the request is not passed on.'), { Allow: '' })
    else if (this.#underWay > this.#options.maxRequests) {
      this.#observe({ kind: 'shed', route: 'none', reason: 'upstream-full' })
      const retry = { 'Retry-After': String(1 + Math.floor(this.#random() * 3)) }
      exchange.fail(
        new Problem(
          'upstream-full',
          'The upstream has the maximum number of requests in flight. Retry after the time in Retry-After.',
        ),
        retry,
      )
    } else return false
    return true
  }
}

function senderOf({ socket }: IncomingMessage, trusted: BlockList): Sender {
  const address = socket.remoteAddress?.replace(/^::ffff:(?=\d+\.)/, '')
  const family = address?.includes(':') ? 'ipv6' : 'ipv4'
  const isTrusted = address !== undefined && trusted.check(address, family)
  return { address, isEncrypted: 'encrypted' in socket, isTrusted }
}

/**
 * Whether a request may be sent again after a pooled connection turned out to be closed. undici accepts only targets
 * that begin with a slash, or with a scheme in lower case.
 */
function isRepeatable({ method, content, expectsContinue, target }: RequestHead): boolean {
  return safeMethods.has(method) && !content && !expectsContinue && /^(\/|https?:\/\/)/.test(target)
}

function requestIdOf({ names, rawHeaders }: RequestHead): string | undefined {
  const given = rawHeaders[names.indexOf('x-request-id') * 2 + 1]
  return names.includes('x-request-id') && isRequestId(given) ? given : undefined
}

/** The framing fields of a passed-on request, equivalent to those received. */
function framingOf({ method, content, expectsContinue }: RequestHead): string[] {
  const expect = expectsContinue ? ['Expect', '100-continue'] : []
  if (content === 'chunked') return ['Transfer-Encoding', 'chunked', ...expect]
  if (content !== undefined) return ['Content-Length', String(content), ...expect]
  return safeMethods.has(method) || method === 'DELETE' ? [] : ['Content-Length', '0']
}
