// Carries to the upstream what no route answers.
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Clock } from '../../clock.ts'
import { Problem } from '../../errors.ts'
import type { Observe } from '../../observation.ts'
import { type RequestHead, safeMethods } from '../head.ts'
import { connectionStateOf } from '../listener.ts'
import { isRequestId } from '../request-id.ts'
import { type UpstreamOptions, upstreamAddressOf } from './address.ts'
import { dedicatedConnections } from './dedicated-connection.ts'
import { clientClosedRequest, UpstreamExchange } from './exchange.ts'
import { isLooping, type Sender, trailerFields, upstreamFields } from './fields.ts'
import { noteCarried } from './gc.ts'
import { upstreamPool } from './pool.ts'
import { join, lastResponse } from './tunnel.ts'

export interface Passthrough {
  /** Carries a request to the web tier, and its answer back. */
  carry(request: IncomingMessage, response: ServerResponse, head: RequestHead): void
  /** The same for a request that asks for a WebSocket; `early` is what the client has sent after its head. */
  tunnel(request: IncomingMessage, client: Duplex, early: Buffer, head: RequestHead): void
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
export function passthrough(
  upstream: UpstreamOptions,
  clock: Clock,
  random: () => number,
  observe: Observe,
): Passthrough {
  const { maxRequests, idleTimeoutMs, trusted } = upstream
  const place = upstreamAddressOf(upstream.url)
  const heads: UpstreamExchange[] = []
  /** Sends the head of an answer when this turn of the event loop is over, unless content has come with it. */
  const flushSoon = (exchange: UpstreamExchange) => {
    if (heads.push(exchange) > 1) return
    setImmediate(() => {
      for (const one of heads.splice(0)) one.flush()
    })
  }
  const askOverDedicated = dedicatedConnections(place, upstream, clock, flushSoon)
  const pool = upstreamPool(place, upstream, flushSoon, (exchange) =>
    askOverDedicated(exchange, framingOf(exchange.head)).end(),
  )
  // A number, not a set of them: a Set that is added to and deleted from all day chains its old tables, and what was in them
  // outlives a young collection (a third of all that a request allocates, as measured).
  let underWay = 0
  const tunnels = new Set<Duplex>()

  function carry(request: IncomingMessage, response: ServerResponse, head: RequestHead): void {
    const exchange = admit(request, response, head)
    response.on('error', () => {}) // its 'close' follows
    response.on('close', () => leave(exchange))
    if (!isAdmitted(exchange)) return
    if (isRepeatable(head)) {
      return void pool.ask(exchange)
    }
    const outgoing = askOverDedicated(exchange, framingOf(head))
    outgoing.on('continue', () => head.expectsContinue && !response.headersSent && response.writeContinue())
    // What the web tier does not want is read all the same, or a client that sends first and then reads never would.
    outgoing.on('close', () => request.resume())
    request.on('end', () => {
      if (head.content === 'chunked') outgoing.addTrailers(trailerFields(request.rawTrailers))
      outgoing.end()
    })
    let sent = 0
    request.on('data', ({ length }: Buffer) => {
      sent = noteCarried(sent, length)
    })
    request.pipe(outgoing, { end: false })
  }

  function tunnel(request: IncomingMessage, client: Duplex, early: Buffer, head: RequestHead): void {
    const response = lastResponse(request, client)
    const exchange = admit(request, response, head)
    client.on('error', () => {}) // its 'close' follows
    client.on('close', () => {
      tunnels.delete(client)
      leave(exchange)
    })
    if (!isAdmitted(exchange)) return
    askOverDedicated(exchange, ['Connection', 'Upgrade', 'Upgrade', 'websocket'], (answer, server, first) => {
      if (!join(client, answer, server, { client: early, server: first }, idleTimeoutMs)) return false
      response.detachSocket(client as Socket)
      exchange.upgraded()
      tunnels.add(client)
      return true
    }).end()
  }

  function admit(request: IncomingMessage, response: ServerResponse, head: RequestHead): UpstreamExchange {
    const exchange = new UpstreamExchange(request, response, head, fieldsOf(request, head), clock.now(), answered)
    // How long a client takes to send its content says nothing of the web tier.
    if (head.content) request.once('end', () => (exchange.began = clock.now()))
    underWay += 1
    return exchange
  }

  function answered({ head, began }: UpstreamExchange, status: number, error?: unknown): void {
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
      // Looked for only where it will be written down.
      requestId: isFailed || status >= 500 ? requestIdOf(head) : undefined,
      error,
    })
  }

  function leave(exchange: UpstreamExchange): void {
    underWay -= 1
    exchange.ended()
  }

  function isAdmitted(exchange: UpstreamExchange): boolean {
    if (isLooping(exchange.head)) {
      exchange.fail(new Problem('upstream-failed', 'The web tier leads back here.'))
      return false
    }
    if (exchange.head.maxForwards === 0) {
      exchange.fail(new Problem('wrong-method', 'Max-Forwards lets it go no further.'), { Allow: '' })
      return false
    }
    if (underWay <= maxRequests) return true
    observe({ kind: 'shed', route: 'none', reason: 'upstream-full' })
    const wait = { 'Retry-After': String(1 + Math.floor(random() * 3)) }
    exchange.fail(new Problem('upstream-full', 'The web tier has as much to do as it may have.'), wait)
    return false
  }

  function senderOf({ socket }: IncomingMessage): Sender {
    const address = socket.remoteAddress?.replace(/^::ffff:(?=\d+\.)/, '')
    const family = address?.includes(':') ? 'ipv6' : 'ipv4'
    const isTrusted = address !== undefined && trusted.check(address, family)
    return { address, isEncrypted: 'encrypted' in socket, isTrusted }
  }

  function fieldsOf(request: IncomingMessage, head: RequestHead): string[] {
    const line = connectionStateOf(request)
    line.sender ??= senderOf(request)
    return upstreamFields(head, line.sender)
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
      await pool.close()
    },
  }
}

/**
 * What may be asked again when a connection kept open turns out to be dead. undici takes no target but one that begins with a slash, or
 * with its scheme in lower case.
 */
function isRepeatable({ method, content, expectsContinue, target }: RequestHead): boolean {
  return safeMethods.has(method) && !content && !expectsContinue && /^(\/|https?:\/\/)/.test(target)
}

function requestIdOf({ names, rawHeaders }: RequestHead): string | undefined {
  const given = rawHeaders[names.indexOf('x-request-id') * 2 + 1]
  return names.includes('x-request-id') && isRequestId(given) ? given : undefined
}

/** What frames the content of a request that is sent on, the way it came framed. */
function framingOf({ method, content, expectsContinue }: RequestHead): string[] {
  const expect = expectsContinue ? ['Expect', '100-continue'] : []
  if (content === 'chunked') return ['Transfer-Encoding', 'chunked', ...expect]
  if (content !== undefined) return ['Content-Length', String(content), ...expect]
  return safeMethods.has(method) || method === 'DELETE' ? [] : ['Content-Length', '0']
}
