// An upstream that parses requests strictly by RFC 9112, and records them.
import { createServer, type Server, type Socket } from 'node:net'
import { type Field, valuesOf } from '../wire/fields.ts'
import { listening, portOf } from '../wire/listening.ts'
import { bad, type Input, type Reading, readRequest, type StrictRequest, Violation } from './strict-http.ts'
import { Watched } from './watched.ts'

interface Connection {
  socket: Socket
  input: Input
  reading: Reading<StrictRequest>
  /** The received part of the current request. */
  begun: string
  state: 'http' | 'upgrading' | 'tunnel' | 'over'
  answered: Promise<void>
  /** Whether it stays open for another request: false after a request that closes it. */
  isKept: boolean
}

/**
 * Answers each request with its own method and target.
 *
 * Invalid input is a violation, and ends the connection. A WebSocket request gets a 101 if its target contains
 * `accept`, otherwise a 426. Everything is kept in order of arrival until `forget`.
 */
export class StrictUpstream extends Watched {
  requests: StrictRequest[] = []
  violations: string[] = []
  /** The received parts of incomplete requests. */
  cut: string[] = []
  /** The bytes received through tunnels. They are echoed with the prefix `echo:`. */
  tunnelled = ''
  /** Delays the answer to a request. */
  pause: (request: StrictRequest) => Promise<void> | undefined = () => undefined
  /** Unsolicited bytes that follow an answer. */
  excess: (request: StrictRequest) => string = () => ''
  readonly #connections = new Set<Connection>()
  readonly #sockets = new Set<Socket>()
  readonly #server: Server

  private constructor(server: Server) {
    super()
    this.#server = server
    server.on('connection', (socket) => this.#accept(socket))
  }

  static async start(): Promise<StrictUpstream> {
    const server = createServer({ allowHalfOpen: true, noDelay: true })
    const upstream = new StrictUpstream(server)
    await listening(server)
    return upstream
  }

  get port(): number {
    return portOf(this.#server)
  }

  /** Connections that stay open for another request. */
  get idle(): number {
    return [...this.#connections].filter(({ isKept, begun }) => isKept && begun === '').length
  }

  /** Whether all connections become idle between requests. */
  quiet(ms?: number): Promise<boolean> {
    return this.until(() => [...this.#connections].every(({ state, begun }) => state !== 'http' || begun === ''), ms)
  }

  forget(): void {
    this.requests = []
    this.violations = []
    this.cut = []
    this.tunnelled = ''
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  #accept(socket: Socket): void {
    const input: Input = { bytes: '', isEnded: false }
    const reading = readingOf(socket, input)
    const answered = Promise.resolve()
    const connection: Connection = { socket, input, reading, begun: '', state: 'http', answered, isKept: false }
    this.#connections.add(connection)
    this.#sockets.add(socket)
    socket.setEncoding('latin1')
    socket.on('data', (bytes: string) => this.#read(connection, bytes))
    socket.on('error', () => {}) // 'close' follows
    socket.on('end', () => {
      connection.answered.then(() => socket.end())
      this.#gone(connection)
    })
    socket.on('close', () => {
      this.#sockets.delete(socket)
      this.#gone(connection)
    })
  }

  #read(connection: Connection, bytes: string): void {
    const { socket } = connection
    try {
      if (connection.state === 'upgrading') throw bad('bytes ahead of the 101', bytes)
      if (connection.state === 'http') this.#readRequests(connection, bytes)
      else if (connection.state === 'tunnel') {
        this.tunnelled += bytes
        socket.write(`echo:${bytes}`, 'latin1')
      }
    } catch (error) {
      if (!(error instanceof Violation)) throw error
      this.violations.push(error.message)
      connection.state = 'over'
      connection.isKept = false
      socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n')
    }
    this.changed()
  }

  #readRequests(connection: Connection, bytes: string): void {
    const { socket, input } = connection
    input.bytes += bytes
    connection.begun += bytes
    while (connection.state === 'http' && input.bytes !== '') {
      const { done, value } = connection.reading.next()
      if (!done) return
      connection.begun = input.bytes
      const isAccepted = this.#take(value, connection)
      if (isAccepted && input.bytes !== '') throw bad('bytes ahead of the 101', input.bytes)
      connection.reading = readingOf(socket, input)
    }
  }

  /** Whether the connection becomes a tunnel. */
  #take(asked: StrictRequest, connection: Connection): boolean {
    this.requests.push(asked)
    const isUpgrade = /^websocket$/i.test(valuesOf(asked.fields, 'upgrade').join())
    const isAccepted = isUpgrade && asked.target.includes('accept')
    connection.isKept = !valuesOf(asked.fields, 'connection').some((value) => /\bclose\b/i.test(value))
    if (isAccepted) {
      connection.state = 'upgrading'
      connection.isKept = false
    }
    connection.answered = connection.answered.then(async () => {
      await this.pause(asked)
      if (connection.state === 'over' || connection.socket.destroyed) return
      if (isAccepted) accept(asked, connection)
      else this.#answer(asked, connection, isUpgrade ? '426 Upgrade Required' : '200 OK')
    })
    return isAccepted
  }

  #answer(asked: StrictRequest, { socket, isKept }: Connection, status: string): void {
    const name = nameOf(asked)
    const content = asked.method === 'HEAD' ? '' : name
    const head = [`HTTP/1.1 ${status}`, `X-Answers: ${name}`, `Content-Length: ${name.length}`, '', '']
    socket.write(head.join('\r\n') + content + this.excess(asked), 'latin1')
    if (!isKept) socket.end()
  }

  #gone(connection: Connection): void {
    if (!this.#connections.delete(connection)) return
    if (connection.state === 'http' && connection.begun !== '') this.cut.push(connection.begun)
    this.changed()
  }
}

/** Reads the next request of `input`; sends a 100 if the request expects one before its content. */
function readingOf(socket: Socket, input: Input): Reading<StrictRequest> {
  return readRequest(input, (fields: Field[]) => {
    const isExpecting = valuesOf(fields, 'expect').some((value) => value.toLowerCase() === '100-continue')
    if (isExpecting && input.bytes === '') socket.write('HTTP/1.1 100 Continue\r\n\r\n')
  })
}

function accept(asked: StrictRequest, connection: Connection): void {
  connection.state = 'tunnel'
  const head = ['HTTP/1.1 101 Switching Protocols', 'Connection: Upgrade', 'Upgrade: websocket']
  connection.socket.write([...head, `X-Answers: ${nameOf(asked)}`, '', ''].join('\r\n'), 'latin1')
}

function nameOf({ method, target }: StrictRequest): string {
  return `${method} ${target}`
}
