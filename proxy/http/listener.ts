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

/** What one client may ask of a listener. Times in milliseconds. */
export interface ConnectionLimits {
  maxConnections: number
  maxHeaderBytes: number
  headerTimeoutMs: number
  /** The most a connection is quiet while a request is under way. */
  quietMs: number
  keepAliveTimeoutMs: number
}

/** What becomes of what arrives. */
export interface Handlers {
  request(request: IncomingMessage, response: ServerResponse): void
  /** Whether the connection of `request` is to be handed over to `upgrade`; otherwise its wish for another protocol is ignored. */
  mayUpgrade(request: IncomingMessage): boolean
  upgrade(request: IncomingMessage, socket: Socket, early: Buffer): void
}

/**
 * Connections that wait to be accepted, a socket: all that the system lets (net.core.somaxconn). When the process before this one leaves, its
 * clients come at once, and who finds no room in the queue tries again after 1, 3 and 7 seconds. Node's own 511 is that little.
 */
export const backlog = 65_535
/**
 * How many sockets listen on the public port. Each takes one connection a turn of the event loop (libuv#3696), and a turn is as long as all
 * that has been asked meanwhile: with one, whoever connects to an overloaded process waits for seconds while those who are there are served.
 */
export const sockets = 32
/**
 * How often some connections are told to end, in milliseconds, at least so many at a time, and over how long at most; and where there are more than
 * that, how long those told last have to ask once more.
 */
const handing = { everyMs: 50, least: 10, longestMs: 5000, lastMs: 1000 }

const notATunnel = 'HTTP/1.1 501 Not Implemented\r\nContent-Length: 0\r\nConnection: close\r\n\r\n'

/** The server that clients meet, the sockets that listen for it, and the connections it has. Not yet listening. */
export class PublicListener {
  readonly server: Server
  readonly #clock: Clock
  #mayUpgrade: Handlers['mayUpgrade'] = () => false
  #isClosing = false
  #clients = 0
  readonly #connections = new Set<HttpSocket>()
  /** More sockets that listen on the server's port. */
  #extraSockets: NetServer[] = []

  constructor(limits: ConnectionLimits, certificate: Certificate | undefined, clock: Clock, observe: Observe) {
    this.#clock = clock
    this.server = limitedServer(limits, certificate, observe, (request) => this.#mayUpgrade(request))
    // Not the server's own limit, which knows only its own socket.
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

  /** Whether connections end with the answer under way. */
  get isClosing(): boolean {
    return this.#isClosing
  }

  /** How many connections there are, on all sockets. */
  get clients(): number {
    return this.#clients
  }

  /** Has `handlers` take what arrives; to be called once. */
  serve(handlers: Handlers): void {
    this.#mayUpgrade = (request) => handlers.mayUpgrade(request)
    // Without a listener of its own Node would promise to read the content, or refuse what it does not know, by itself.
    for (const event of ['request', 'checkContinue', 'checkExpectation'])
      this.server.on(event, (request: IncomingMessage, response: ServerResponse) => handlers.request(request, response))
    this.server.on('upgrade', (request, socket, early) => {
      if (socket instanceof Socket) handlers.upgrade(request, socket, early)
      else socket.destroy()
    })
  }

  /** Resolves when it listens; rejects with the system's error where it cannot. */
  async listen(options: ListenOptions): Promise<void> {
    this.server.listen(options)
    await once(this.server, 'listening')
  }

  /** Has more sockets listen where the server does, on `host`, which share its port. */
  async shareSockets(host: string): Promise<void> {
    const address = this.server.address()
    if (address === null || typeof address === 'string') throw new Error('Only a port can be shared.')
    const { port } = address
    // Node's own properties, which its types do not have.
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
   * Takes no more connections, and has those there are end with their next answer: little by little, so that whoever takes this process's
   * place meets its clients in the same way, and not all of them, cold, within a second. Resolves when all have been told; some may be open
   * then, but idle. `graceMs` is how long there is until connections are cut: half of it is left to what is under way then.
   */
  async handOver(graceMs: number): Promise<void> {
    if (!this.server.listening) return
    NetServer.prototype.close.call(this.server) // that of http would cut off who is idle just now
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

  /** Takes no more connections; resolves when those there are have ended, each with its answer under way. */
  async close(): Promise<void> {
    this.#isClosing = true
    const closed = (one: NetServer) => new Promise<void>((resolve) => void one.close(() => resolve()))
    const all = Promise.all([this.server, ...this.#extraSockets].map(closed))
    this.server.closeIdleConnections()
    await all
  }

  /** Cuts every connection, whatever is under way on it. */
  cut(): void {
    this.server.closeAllConnections()
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => void this.#clock.after(ms, resolve))
  }
}

/** Rejects if somebody else listens on `port` of `host`: a socket that is shared would listen beside them. */
export async function claim(host: string, port: number): Promise<void> {
  const probe = createNetServer()
  probe.listen({ host, port })
  await once(probe, 'listening')
  probe.close()
  await once(probe, 'close')
}

/**
 * Makes a server with Node's strict parser and every limit set: its own defaults let a header section trickle in for a minute, drop fields
 * past the two thousandth without a word, and know no bound on connections.
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
    // Content may take as long as it moves: what is passed on may be large. A POST to a route has a limit of its own.
    requestTimeout: 0,
    keepAliveTimeout: limits.keepAliveTimeoutMs,
    connectionsCheckingInterval: Math.min(1000, limits.headerTimeoutMs),
    // Refused in `head`, which has words for it.
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

/** Refuses a CONNECT: behind a response under way, so that it is not taken for that one. */
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
