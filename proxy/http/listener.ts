// The public listener: its sockets, limits and connections.
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerOptions, type ServerResponse } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import { createServer as createNetServer, type ListenOptions, Server as NetServer, Socket } from 'node:net'
import type { Clock } from '../clock.ts'
import type { Observe } from '../observation.ts'
import { answerUnreadable } from '../unreadable-request.ts'
import { type Certificate, followCertificate, secureOptions } from './certificate.ts'
import { connectionStateOf, type HttpSocket } from './connection.ts'

/** Limits of a listener. Times in milliseconds. */
export interface ConnectionLimits {
  maxConnections: number
  maxHeaderBytes: number
  headerTimeoutMs: number
  /** Maximum time without traffic on a connection while a request is in flight. */
  quietMs: number
  keepAliveTimeoutMs: number
}

/** Handlers for what arrives. */
export interface Handlers {
  request(request: IncomingMessage, response: ServerResponse): void
  /** Whether to pass the connection of `request` to `upgrade`; otherwise its Upgrade field is ignored. */
  mayUpgrade(request: IncomingMessage): boolean
  upgrade(request: IncomingMessage, socket: Socket, early: Buffer): void
}

/**
 * Maximum accept backlog per socket: the system caps it (net.core.somaxconn). When another process stops, its clients
 * connect here at once; a client that finds the backlog full retries after 1, 3 and 7 s. Node's default of 511 is too
 * small.
 */
export const backlog = 65_535
/**
 * Number of sockets that listen on the public port. Each accepts one connection per turn of the event loop
 * (libuv#3696), and a turn lasts as long as all work that arrived in the previous one. With one socket, a new client of
 * an overloaded process would wait for seconds while connected clients are served.
 */
export const sockets = 32
/**
 * Pace of closing connections in a handover, in milliseconds: `least` or more connections are told to close every
 * `everyMs`, all of them within `longestMs`. If there are more than `least`, the last ones told get `lastMs` for one
 * more request.
 */
const handing = { everyMs: 50, least: 10, longestMs: 5000, lastMs: 1000 }

const notATunnel = 'HTTP/1.1 501 Not Implemented\r\nContent-Length: 0\r\nConnection: close\r\n\r\n'

/** The public server, its listening sockets, and its connections. Not listening yet. */
export class PublicListener {
  readonly server: Server
  readonly #clock: Clock
  #mayUpgrade: Handlers['mayUpgrade'] = () => false
  #isClosing = false
  #clients = 0
  readonly #connections = new Set<HttpSocket>()
  /** Additional sockets that listen on the server's port. */
  #extraSockets: NetServer[] = []

  constructor(limits: ConnectionLimits, certificate: Certificate | undefined, clock: Clock, observe: Observe) {
    this.#clock = clock
    this.server = limitedServer(limits, certificate, observe, (request) => this.#mayUpgrade(request))
    // Not the server's own limit, which counts only its own socket.
    this.server.prependListener('connection', (socket) => {
      this.#clients += 1
      socket.once('close', () => {
        this.#clients -= 1
      })
      if (this.#clients > limits.maxConnections) socket.destroy()
    })
    this.server.on(certificate === undefined ? 'connection' : 'secureConnection', (socket: HttpSocket) => {
      connectionStateOf({ socket })
      this.#connections.add(socket)
      socket.once('close', () => this.#connections.delete(socket))
    })
  }

  /** Whether connections close after the current response. */
  get isClosing(): boolean {
    return this.#isClosing
  }

  /** Number of connections, on all sockets. */
  get clients(): number {
    return this.#clients
  }

  /** Passes everything that arrives to `handlers`. Call it once. */
  serve(handlers: Handlers): void {
    this.#mayUpgrade = (request) => handlers.mayUpgrade(request)
    // Without these listeners Node itself would send 100-continue, or reject an unknown expectation.
    for (const event of ['request', 'checkContinue', 'checkExpectation'])
      this.server.on(event, (request: IncomingMessage, response: ServerResponse) => handlers.request(request, response))
    this.server.on('upgrade', (request, socket, early) => {
      if (socket instanceof Socket) handlers.upgrade(request, socket, early)
      else socket.destroy()
    })
  }

  /** Resolves once it listens; rejects with the system's error if it cannot. */
  async listen(options: ListenOptions): Promise<void> {
    this.server.listen(options)
    await once(this.server, 'listening')
  }

  /** Makes additional sockets, which share the server's port, listen on `host`. */
  async shareSockets(host: string): Promise<void> {
    const address = this.server.address()
    if (address === null || typeof address === 'string')
      throw new Error('A Unix socket cannot be shared; only a port can.')
    const { port } = address
    // Properties of Node that its types lack.
    const { allowHalfOpen = false, noDelay = false } = this.server as { allowHalfOpen?: boolean; noDelay?: boolean }
    this.#extraSockets = Array.from({ length: sockets - 1 }, () =>
      createNetServer({ allowHalfOpen, noDelay }, (socket) => void this.server.emit('connection', socket)),
    )
    for (const one of this.#extraSockets) {
      one.listen({ host, port, reusePort: true, backlog })
      await once(one, 'listening')
    }
  }

  /**
   * Stops accepting connections, and closes open ones after their next response. It does so gradually, so that the
   * processes that take over get these clients over several seconds, and not all at once with a cold cache. Resolves
   * when all connections have been told; some may still be open, but idle. `graceMs` is the time until connections are
   * cut: half of it is left for requests in flight.
   */
  async handOver(graceMs: number): Promise<void> {
    if (!this.server.listening) return
    NetServer.prototype.close.call(this.server) // that of http would cut off idle connections
    for (const one of this.#extraSockets) one.close()
    const told = [...this.#connections]
    const { everyMs, least, longestMs, lastMs } = handing
    const atOnce = Math.max(least, Math.ceil((told.length * everyMs) / Math.min(longestMs, graceMs / 2)))
    for (const [i, socket] of told.entries()) {
      if (i > 0 && i % atOnce === 0) await this.#pause(everyMs)
      endWithNextAnswer(socket)
    }
    if (told.length <= least) return
    for (let ms = 0; ms < lastMs && this.#connections.size > 0; ms += everyMs) await this.#pause(everyMs)
  }

  /** Stops accepting connections. Resolves when the open ones have closed, each after its current response. */
  async close(): Promise<void> {
    this.#isClosing = true
    const closed = (one: NetServer) => new Promise<void>((resolve) => void one.close(() => resolve()))
    const all = Promise.all([this.server, ...this.#extraSockets].map(closed))
    this.server.closeIdleConnections()
    await all
  }

  /** Cuts every connection, including those with requests in flight. */
  cut(): void {
    this.server.closeAllConnections()
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => void this.#clock.after(ms, resolve))
  }
}

/** Rejects if another process listens on `port` of `host`: a shared socket would listen beside it. */
export async function claim(host: string, port: number): Promise<void> {
  const probe = createNetServer()
  probe.listen({ host, port })
  await once(probe, 'listening')
  probe.close()
  await once(probe, 'close')
}

/**
 * Creates a server with Node's strict parser and every limit set. Node's defaults let a header section trickle in for a
 * minute, silently drop fields after the two thousandth, and do not limit connections.
 */
function limitedServer(
  limits: ConnectionLimits,
  certificate: Certificate | undefined,
  observe: Observe,
  shouldUpgradeCallback: Handlers['mayUpgrade'],
): Server {
  const options: ServerOptions = {
    insecureHTTPParser: false,
    maxHeaderSize: limits.maxHeaderBytes,
    headersTimeout: limits.headerTimeoutMs,
    // Content may take any time while it makes progress: passed-on content may be large. A POST to a route has its own
    // limit.
    requestTimeout: 0,
    keepAliveTimeout: limits.keepAliveTimeoutMs,
    connectionsCheckingInterval: Math.min(1000, limits.headerTimeoutMs),
    // Rejected in `head`, with a problem detail.
    requireHostHeader: false,
    shouldUpgradeCallback,
  }
  const server = certificate === undefined ? createServer(options) : secureServer(options, certificate, observe)
  server.maxHeadersCount = 0
  server.timeout = limits.quietMs
  server.on('clientError', answerUnreadable)
  server.on('connect', (_request, socket) => refuseTunnel(socket))
  return server
}

function secureServer(options: ServerOptions, certificate: Certificate, observe: Observe): Server {
  const server = createSecureServer({ ...options, ...secureOptions(certificate) })
  followCertificate(server, certificate, observe)
  return server
}

/** Rejects a CONNECT, after any pending response, so that it is not taken for that one. */
function refuseTunnel(socket: HttpSocket): void {
  const refuse = () => {
    socket.end(notATunnel)
    socket.resume()
  }
  if (socket._httpMessage == null) refuse()
  else socket._httpMessage.once('finish', refuse)
}

function endWithNextAnswer(socket: HttpSocket): void {
  connectionStateOf({ socket }).isLast = true
  const underWay = socket._httpMessage
  if (underWay != null && !underWay.headersSent) underWay.shouldKeepAlive = false
}
