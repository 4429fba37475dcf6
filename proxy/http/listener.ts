// The socket side of it: limits, TLS, handing clients over.
import { once } from 'node:events'
import { readFileSync, unwatchFile, watchFile } from 'node:fs'
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import { type AddressInfo, createServer as createNetServer, Server as NetServer } from 'node:net'
import type { Duplex } from 'node:stream'
import { createSecureContext } from 'node:tls'
import type { Clock } from '../clock.ts'
import type { Observe } from '../observation.ts'
import { answerUnreadable, type HttpSocket } from '../unreadable-request.ts'
import type { Sender } from './upstream/fields.ts'

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
  request: RequestListener
  /** Whether the connection of `request` is to be handed over to `upgrade`; otherwise its wish for another protocol is ignored. */
  mayUpgrade(request: IncomingMessage): boolean
  upgrade(request: IncomingMessage, socket: Duplex, early: Buffer): void
}

/** Paths of PEM files. */
export interface Certificate {
  cert: string
  key: string
}

/**
 * Makes the server of the public listener, with Node's strict parser and every limit set: its own defaults let a header
 * section trickle in for a minute, drop fields past the two thousandth without a word, and know no bound on connections.
 */
export function limitedServer(
  limits: ConnectionLimits,
  certificate: Certificate | undefined,
  observe: Observe,
  handlers: Handlers,
): Server {
  const options = {
    insecureHTTPParser: false,
    maxHeaderSize: limits.maxHeaderBytes,
    headersTimeout: limits.headerTimeoutMs,
    // Content may take as long as it moves: what is passed on may be large. A POST to a route has a limit of its own.
    requestTimeout: 0,
    keepAliveTimeout: limits.keepAliveTimeoutMs,
    connectionsCheckingInterval: Math.min(1000, limits.headerTimeoutMs),
    // Refused in `head`, which has words for it.
    requireHostHeader: false,
    shouldUpgradeCallback: handlers.mayUpgrade,
  }
  const server =
    certificate === undefined
      ? createServer(options)
      : createSecureServer({ ...options, ...contents(certificate), minVersion: 'TLSv1.2' })
  let there = 0
  // Not the server's own limit, which knows only its own socket.
  server.prependListener('connection', (socket) => {
    there += 1
    socket.once('close', () => {
      there -= 1
    })
    if (there > limits.maxConnections) socket.destroy()
  })
  server.maxHeadersCount = 0
  server.timeout = limits.quietMs
  // From the start, and one object for all: a property added later would make every socket a thing of its own to the engine.
  for (const event of ['connection', 'secureConnection'])
    server.on(event, (socket: WithConnectionState) => {
      socket.line = { requests: 0, waiting: 0, changing: 0, isEnding: false, isLast: false, sender: undefined }
    })
  const open = new Set<HttpSocket & WithConnectionState>()
  connections.set(server, open)
  server.on(
    certificate === undefined ? 'connection' : 'secureConnection',
    (socket: HttpSocket & WithConnectionState) => {
      open.add(socket)
      socket.once('close', () => open.delete(socket))
    },
  )
  server.on('clientError', answerUnreadable)
  server.on('request', handlers.request)
  // Node would promise to read the content, or refuse what it does not know, by itself.
  server.on('checkContinue', handlers.request)
  server.on('checkExpectation', handlers.request)
  server.on('upgrade', handlers.upgrade)
  server.on('connect', (_request, socket: HttpSocket) => {
    const refuse = () => {
      socket.end(notATunnel)
      socket.resume()
    }
    // Behind a response under way it must not be taken for that one.
    if (socket._httpMessage == null) refuse()
    else socket._httpMessage.once('finish', refuse)
  })
  if (certificate !== undefined)
    followCertificate(server as ReturnType<typeof createSecureServer>, certificate, observe)
  return server
}

/** Whether the files of `certificate` hold a certificate and its key. Throws what is wrong with them. */
export function contents({ cert, key }: Certificate): { cert: Buffer; key: Buffer } {
  const read = { cert: readFileSync(cert), key: readFileSync(key) }
  createSecureContext(read)
  return read
}

/** What is known of a connection. */
export interface ConnectionState {
  requests: number
  /** Requests that wait for their turn to begin. */
  waiting: number
  /** Requests that change something and have no answer yet. */
  changing: number
  /** It ends with the answer under way: a request was refused, or its content is read by nobody. What follows is not heard. */
  isEnding: boolean
  /** It ends with its next answer: somebody else takes this process's place. */
  isLast: boolean
  /** Who is at its other end, once somebody has asked. */
  sender: Sender | undefined
}

interface WithConnectionState {
  line: ConnectionState
}

/** What is known of the connection that `request` came on. */
export function connectionStateOf({ socket }: IncomingMessage): ConnectionState {
  return (socket as unknown as WithConnectionState).line
}

const connections = new WeakMap<Server, ReadonlySet<HttpSocket & WithConnectionState>>()

/**
 * Connections that wait to be accepted, a socket: all that the system lets (net.core.somaxconn). When the process before this one leaves, its
 * clients come at once, and who finds no room in the queue tries again after 1, 3 and 7 seconds. Node's own 511 is that little.
 */
export const backlog = 65_535
/**
 * How many sockets listen on the public port. Each takes one connection a turn of the event loop (libuv#3696), and a turn is as long as all
 * that has been asked meanwhile: with one, whoever connects to a busy process waits for seconds while those who are there are served.
 */
export const sockets = 32
const others = new WeakMap<Server, NetServer[]>()

/** Rejects if somebody else listens on `port` of `host`: a socket that is shared would listen beside them. */
export async function claim(host: string, port: number): Promise<void> {
  const probe = createNetServer()
  probe.listen({ host, port })
  await once(probe, 'listening')
  probe.close()
  await once(probe, 'close')
}

/** Has more sockets listen where `server` does, which shares its port. */
export async function shareSockets(server: Server, host: string): Promise<void> {
  const { port } = server.address() as AddressInfo
  const { allowHalfOpen, noDelay } = server as unknown as { allowHalfOpen: boolean; noDelay: boolean }
  const more = Array.from({ length: sockets - 1 }, () =>
    createNetServer({ allowHalfOpen, noDelay }, (socket) => void server.emit('connection', socket)),
  )
  others.set(server, more)
  for (const one of more) {
    one.listen({ host, port, reusePort: true, backlog })
    await once(one, 'listening')
  }
}

/** Resolves when the connections of all sockets but the server's own have ended. */
export async function othersClosed(server: Server): Promise<void> {
  const open = (one: NetServer) => new Promise<void>((resolve) => void one.close(() => resolve()))
  await Promise.all((others.get(server) ?? []).map(open))
}

/**
 * How often some connections are told to end, in milliseconds, at least so many at a time, and over how long at most; and where there are more than
 * that, how long those told last have to ask once more.
 */
const handing = { everyMs: 50, least: 10, longestMs: 5000, lastMs: 1000 }

/**
 * Takes no more connections, and has those there are end with their next answer: little by little, so that whoever takes this process's
 * place meets its clients in the same way, and not all of them, cold, within a second. Resolves when all have been told; some may be open then,
 * but idle. `graceMs` is how long there is until connections are cut: half of it is left to what is under way then.
 */
export async function handOver(server: Server, clock: Clock, graceMs: number): Promise<void> {
  if (!server.listening) return
  NetServer.prototype.close.call(server) // that of http would cut off who is idle just now
  for (const other of others.get(server) ?? []) other.close()
  const open = connections.get(server) ?? new Set()
  const told = [...open]
  const pause = () => new Promise<void>((resolve) => void clock.after(handing.everyMs, resolve))
  const atOnce = Math.max(
    handing.least,
    Math.ceil((told.length * handing.everyMs) / Math.min(handing.longestMs, graceMs / 2)),
  )
  for (let i = 0; i < told.length; i += 1) {
    if (i > 0 && i % atOnce === 0) await pause()
    const { line, _httpMessage: underWay } = told[i] as HttpSocket & WithConnectionState
    line.isLast = true
    if (underWay != null && !underWay.headersSent) underWay.shouldKeepAlive = false
  }
  if (told.length <= handing.least) return
  for (let ms = 0; ms < handing.lastMs && open.size > 0; ms += handing.everyMs) await pause()
}

const notATunnel = 'HTTP/1.1 501 Not Implemented\r\nContent-Length: 0\r\nConnection: close\r\n\r\n'

/** How often the files are looked at. By their time and size, not by events: a mounted secret is swapped by a symbolic link. */
const lookEveryMs = 2000

function followCertificate(
  server: ReturnType<typeof createSecureServer>,
  certificate: Certificate,
  observe: Observe,
): void {
  const take = () => {
    try {
      server.setSecureContext({ ...contents(certificate), minVersion: 'TLSv1.2' })
      observe({ kind: 'certificate', outcome: 'taken' })
    } catch (error) {
      // Also when only one of the two has been replaced yet: the other's change comes here again.
      observe({ kind: 'certificate', outcome: 'refused', error })
    }
  }
  const files = [certificate.cert, certificate.key]
  for (const file of files) watchFile(file, { interval: lookEveryMs, persistent: false }, take)
  server.on('close', () => {
    for (const file of files) unwatchFile(file, take)
  })
}
