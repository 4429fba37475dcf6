import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'

// HTTP/1.1 as bytes, read strictly and by nobody else's parser. Bytes are latin1 strings here: one character is one byte.

export type Field = [name: string, value: string]

export interface Recorded {
  method: string
  target: string
  version: string
  fields: Field[]
  content: string
  trailers: Field[]
}

export interface Answer {
  status: number
  fields: Field[]
  content: string
  /** Method and target of the request it answers, as the strict upstream has put it there; '' when it is not by that. */
  answers: string
}

/** The most that anything is waited for: what does not happen by then is taken not to happen. */
export const deadlineMs = 3000

/** Something that changes, and that can be waited for. */
class Watched {
  readonly #lookers = new Set<() => void>()

  protected changed(): void {
    for (const look of [...this.#lookers]) look()
  }

  /** Whether `isSo` comes true within `ms`. */
  until(isSo: () => boolean, ms = deadlineMs): Promise<boolean> {
    if (isSo()) return Promise.resolve(true)
    return new Promise((resolve) => {
      const done = (so: boolean) => {
        clearTimeout(timer)
        this.#lookers.delete(look)
        resolve(so)
      }
      const look = () => {
        if (isSo()) done(true)
      }
      const timer = setTimeout(() => done(false), ms)
      this.#lookers.add(look)
    })
  }
}

/** What is not HTTP/1.1 as RFC 9112 has it. */
class Violation extends Error {}

interface Input {
  bytes: string
  isEnded: boolean
}
/** Reads from an input, and stands still (yields) for as long as there is not enough of it. */
type Reading<T> = Generator<void, T, void>

const token = /^[!#$%&'*+\-.^_`|~\w]+$/
const chunkHead =
  /^([\da-f]+)(?:[ \t]*;[ \t]*[!#$%&'*+\-.^`|~\w]+(?:[ \t]*=[ \t]*(?:[!#$%&'*+\-.^`|~\w]+|"(?:[^"\\]|\\.)*"))?)*$/i
/** RFC 3986, 3.2.2: a registered name or an address in brackets, and a port. */
const uriHost = /^(?:\[[\da-f:.]+\]|(?:[\w.~!$&'()*+,;=-]|%[\da-f]{2})+)(?::\d*)?$/i
const absolute = /^[a-z][a-z\d+.-]*:\/\/([^/?#]+)/i
const mayNotTrail = new Set(['content-length', 'transfer-encoding', 'host'])

function bad(what: string, text: string): Violation {
  return new Violation(`${what}: ${JSON.stringify(text.slice(0, 120))}`)
}

/** Visible characters, and bytes above ASCII; a field value has spaces and tabs besides. */
function isText(text: string, spaces = true): boolean {
  for (let i = 0; i < text.length; i += 1) {
    const code = text.charCodeAt(i)
    if (code === 0x7f || (code <= 0x20 && !(spaces && (code === 0x20 || code === 0x09)))) return false
  }
  return true
}

/** Up to a CRLF and without it. A CR or an LF by itself is a violation. */
function* line(input: Input): Reading<string> {
  for (;;) {
    const end = input.bytes.indexOf('\n')
    const text = end === -1 ? input.bytes : input.bytes.slice(0, end)
    const inner = text.endsWith('\r') ? text.slice(0, -1) : text
    if (inner.includes('\r')) throw bad('a bare CR', text)
    if (end !== -1) {
      if (inner === text) throw bad('a bare LF', text)
      input.bytes = input.bytes.slice(end + 1)
      return inner
    }
    yield
  }
}

function* take(input: Input, length: number): Reading<string> {
  while (input.bytes.length < length) yield
  const taken = input.bytes.slice(0, length)
  input.bytes = input.bytes.slice(length)
  return taken
}

/** A header or trailer section, with the empty line that ends it. */
function* section(input: Input): Reading<Field[]> {
  const fields: Field[] = []
  for (;;) {
    const text = yield* line(input)
    if (text === '') return fields
    const colon = text.indexOf(':')
    const name = text.slice(0, Math.max(colon, 0))
    const value = text.slice(colon + 1).replace(/^[ \t]+|[ \t]+$/g, '')
    if (!token.test(name)) throw bad('no field name', text)
    if (!isText(value)) throw bad('no field value', text)
    fields.push([name, value])
  }
}

function* chunks(input: Input): Reading<{ content: string; trailers: Field[] }> {
  let content = ''
  for (;;) {
    const text = yield* line(input)
    const size = Number.parseInt(chunkHead.exec(isText(text) ? text : '')?.[1] ?? '', 16)
    if (!Number.isSafeInteger(size)) throw bad('no chunk size', text)
    if (size === 0) break
    content += yield* take(input, size)
    const end = yield* take(input, 2)
    if (end !== '\r\n') throw bad('no CRLF behind a chunk', end)
  }
  const trailers = yield* section(input)
  for (const [name] of trailers) if (mayNotTrail.has(name.toLowerCase())) throw bad('in a trailer', name)
  return { content, trailers }
}

export function valuesOf(fields: readonly Field[], name: string): string[] {
  return fields.filter((field) => field[0].toLowerCase() === name).map((field) => field[1])
}

/** A number of bytes, 'chunked', or nothing said. One of them, once. */
function lengthOf(fields: readonly Field[]): number | 'chunked' | undefined {
  const lengths = valuesOf(fields, 'content-length')
  const codings = valuesOf(fields, 'transfer-encoding')
  if (lengths.length + codings.length > 1) throw bad('its length is said twice', [...lengths, ...codings].join(' and '))
  for (const coding of codings) {
    if (coding.toLowerCase() !== 'chunked') throw bad('an unknown transfer coding', coding)
    return 'chunked'
  }
  for (const length of lengths) {
    if (!/^\d+$/.test(length) || !Number.isSafeInteger(Number(length))) throw bad('no length', length)
    return Number(length)
  }
  return undefined
}

function* request(input: Input, headRead: (fields: Field[]) => void): Reading<Recorded> {
  const start = yield* line(input)
  const [method = '', target = '', version = '', ...more] = start.split(' ')
  if (more.length > 0 || !token.test(method)) throw bad('no request line', start)
  if (version !== 'HTTP/1.1' && version !== 'HTTP/1.0') throw bad('no version', start)
  // Of what RFC 3986 leaves out, visible ASCII is taken: the web tier gets it as browsers and clients send it.
  if (target === '' || [...target].some((c) => c <= ' ' || c > '~' || c === '#')) throw bad('no target', start)
  const fields = yield* section(input)
  const hosts = valuesOf(fields, 'host')
  if (hosts.length > 1 || (hosts.length === 0 && version === 'HTTP/1.1')) throw bad('not one Host', hosts.join())
  if (hosts[0] !== undefined && !uriHost.test(hosts[0])) throw bad('no Host', hosts[0])
  if (!target.startsWith('/') && !(target === '*' && method === 'OPTIONS')) {
    const authority = absolute.exec(target)?.[1]
    if (authority === undefined || authority.toLowerCase() !== hosts[0]?.toLowerCase()) throw bad('no target', start)
  }
  // Programs that make variables of field names take these for the ones they look like.
  for (const [name] of fields)
    if (/^(content_length|transfer_encoding)$/i.test(name)) throw bad('looks like a length', name)
  const length = lengthOf(fields)
  if (length === 'chunked' && version === 'HTTP/1.0') throw bad('a transfer coding in HTTP/1.0', start)
  if (method === 'TRACE' && length !== undefined && length !== 0) throw bad('TRACE with content', start)
  headRead(fields)
  const rest =
    length === 'chunked' ? yield* chunks(input) : { content: yield* take(input, length ?? 0), trailers: [] as Field[] }
  return { method, target, version, fields, ...rest }
}

function* answer(input: Input, isToHead: () => boolean): Reading<Answer> {
  const start = yield* line(input)
  const status = Number(/^HTTP\/1\.1 (\d{3})(?: |$)/.exec(start)?.[1])
  if (Number.isNaN(status)) throw bad('no status line', start)
  const fields = yield* section(input)
  const answers = valuesOf(fields, 'x-answers').join()
  if (status < 200 || status === 204 || status === 304 || isToHead()) return { status, fields, content: '', answers }
  const length = lengthOf(fields)
  if (length === 'chunked') return { status, fields, content: (yield* chunks(input)).content, answers }
  if (length !== undefined) return { status, fields, content: yield* take(input, length), answers }
  while (!input.isEnded) yield
  return { status, fields, content: yield* take(input, input.bytes.length), answers }
}

/** A client that sends bytes as they are, and reads what comes back. */
export class Client extends Watched {
  readonly answers: Answer[] = []
  readonly interim: number[] = []
  /** What came after a 101. */
  tunnelled = ''
  isClosed = false
  /** What came and is no answer. */
  fault: string | undefined
  readonly #socket: Socket

  /** `heads`: which of its requests, counted from 0, are HEAD. */
  constructor(port: number, heads: readonly number[] = []) {
    super()
    // Half open, so that what still comes after its own end is seen.
    this.#socket = connect({ port, host: '127.0.0.1', noDelay: true, allowHalfOpen: true })
    const input: Input = { bytes: '', isEnded: false }
    const next = () => answer(input, () => heads.includes(this.answers.length))
    let reading = next()
    let isTunnel = false
    const read = () => {
      try {
        while (this.fault === undefined && !isTunnel && (input.bytes !== '' || input.isEnded)) {
          const { done, value } = reading.next()
          if (!done) break
          if (value.status >= 200) this.answers.push(value)
          else this.interim.push(value.status)
          isTunnel = value.status === 101
          reading = next()
          if (input.isEnded && input.bytes === '') break
        }
      } catch (error) {
        this.fault = (error as Error).message
      }
      if (isTunnel) {
        this.tunnelled += input.bytes
        input.bytes = ''
      }
      this.changed()
    }
    this.#socket.setEncoding('latin1')
    this.#socket.on('data', (bytes) => {
      input.bytes += bytes
      read()
    })
    this.#socket.on('error', () => {}) // 'close' follows
    const ended = () => {
      if (this.isClosed) return
      this.isClosed = true
      const isCut = input.bytes !== ''
      input.isEnded = true
      read()
      if (isCut && input.bytes !== '') this.fault ??= 'an answer that is cut off'
      this.#socket.end()
      this.changed()
    }
    this.#socket.on('end', ended)
    this.#socket.on('close', ended)
  }

  send(bytes: string): void {
    this.#socket.write(bytes, 'latin1')
  }

  /** Sends `bytes` one by one, each in a packet of its own as far as the other side can see. */
  async sendSlowly(bytes: string): Promise<void> {
    for (const byte of bytes) {
      await new Promise<void>((resolve) => this.#socket.write(byte, 'latin1', () => resolve()))
      // The other side is in this process: it reads in the poll phase between these two.
      for (let turn = 0; turn < 2; turn += 1) await new Promise((resolve) => setImmediate(resolve))
    }
  }

  end(): void {
    this.#socket.end()
  }

  /** Leaves with a RST, once what it sent is on its way. */
  async reset(): Promise<void> {
    await new Promise<void>((resolve) => this.#socket.write('', () => resolve()))
    this.#socket.resetAndDestroy()
  }

  close(): void {
    this.#socket.destroy()
  }
}

interface Connection {
  socket: Socket
  /** What has come of the request being read. */
  begun: string
  state: 'http' | 'upgrading' | 'tunnel' | 'over'
  answered: Promise<void>
  /** Whether it is kept open for a next request: after one that was not to be the last. */
  isKept: boolean
}

/**
 * A web tier that reads requests by the letter of RFC 9112, remembers each, and answers each with its own method and target.
 *
 * What it cannot read is a violation, and ends the connection. A request for a WebSocket is answered with a 101 where its target
 * contains `accept`, and with a 426 elsewhere. All is kept in order of arrival until `forget`.
 */
export class StrictUpstream extends Watched {
  requests: Recorded[] = []
  violations: string[] = []
  /** What came of requests that never became whole. */
  cut: string[] = []
  /** What came through tunnels. It goes back with `echo:` ahead. */
  tunnelled = ''
  /** Holds the answer to a request back for as long as it likes. */
  pause: (request: Recorded) => Promise<void> | undefined = () => undefined
  /** Bytes that follow an answer without having been asked for. */
  excess: (request: Recorded) => string = () => ''
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

  /** Connections that are kept open for a next request. */
  get idle(): number {
    return [...this.#connections].filter(({ isKept, begun }) => isKept && begun === '').length
  }

  /** Whether it comes about that no connection is within a request. */
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
    const connection: Connection = { socket, begun: '', state: 'http', answered: Promise.resolve(), isKept: false }
    this.#connections.add(connection)
    this.#sockets.add(socket)
    socket.on('close', () => this.#sockets.delete(socket))
    const input: Input = { bytes: '', isEnded: false }
    const next = () =>
      request(input, (fields) => {
        const expects = valuesOf(fields, 'expect').some((value) => value.toLowerCase() === '100-continue')
        if (expects && input.bytes === '') socket.write('HTTP/1.1 100 Continue\r\n\r\n')
      })
    let reading = next()
    socket.setEncoding('latin1')
    socket.on('data', (bytes: string) => {
      try {
        if (connection.state === 'upgrading') throw bad('bytes ahead of the 101', bytes)
        if (connection.state === 'http') {
          input.bytes += bytes
          connection.begun += bytes
          while (connection.state === 'http' && input.bytes !== '') {
            const { done, value } = reading.next()
            if (!done) break
            connection.begun = input.bytes
            this.#take(value, connection)
            if (connection.state !== 'http' && input.bytes !== '') throw bad('bytes ahead of the 101', input.bytes)
            reading = next()
          }
        } else if (connection.state === 'tunnel') {
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
    })
    socket.on('end', () => connection.answered.then(() => socket.end()))
    socket.on('error', () => {}) // 'close' follows
    const gone = () => {
      if (!this.#connections.delete(connection)) return
      if (connection.state === 'http' && connection.begun !== '') this.cut.push(connection.begun)
      this.changed()
    }
    socket.on('end', gone)
    socket.on('close', gone)
  }

  #take(asked: Recorded, connection: Connection): void {
    this.requests.push(asked)
    const { socket } = connection
    const name = `${asked.method} ${asked.target}`
    const isUpgrade = /^websocket$/i.test(valuesOf(asked.fields, 'upgrade').join())
    const isAccepted = isUpgrade && asked.target.includes('accept')
    connection.isKept = !valuesOf(asked.fields, 'connection').some((value) => /\bclose\b/i.test(value))
    if (isAccepted) {
      connection.state = 'upgrading'
      connection.isKept = false
    }
    connection.answered = connection.answered.then(async () => {
      await this.pause(asked)
      if (connection.state === 'over' || socket.destroyed) return
      if (isAccepted) {
        connection.state = 'tunnel'
        const head = ['HTTP/1.1 101 Switching Protocols', 'Connection: Upgrade', 'Upgrade: websocket']
        socket.write(`${[...head, `X-Answers: ${name}`, '', ''].join('\r\n')}`, 'latin1')
        return
      }
      const head = [isUpgrade ? 'HTTP/1.1 426 Upgrade Required' : 'HTTP/1.1 200 OK', `X-Answers: ${name}`]
      const content = asked.method === 'HEAD' ? '' : name
      head.push(`Content-Length: ${name.length}`, '', content + this.excess(asked))
      socket.write(head.join('\r\n'), 'latin1')
      if (!connection.isKept) socket.end()
    })
  }
}

/** Something between a client and the web tier that does not keep the rules. */
export interface Relay {
  port: number
  stop(): Promise<void>
}

/** Passes every byte on as it comes, a connection to the web tier for each of a client. */
export function verbatimRelay(upstreamPort: number): Promise<Relay> {
  return relay((client) => {
    const server = connect({ port: upstreamPort, host: '127.0.0.1', noDelay: true, allowHalfOpen: true })
    server.on('error', () => client.destroy())
    client.on('error', () => server.destroy())
    client.pipe(server)
    server.pipe(client)
  })
}

/**
 * Reads on until its client has nothing more to say, and passes that on as a request, whatever there is of it: lines end as they
 * like, what is no field is left out, the length is what came.
 */
export function carelessRelay(upstreamPort: number): Promise<Relay> {
  return relay((client) => {
    let bytes = ''
    client.setEncoding('latin1')
    client.on('data', (more: string) => {
      bytes += more
    })
    client.on('error', () => {})
    let isSent = false
    const send = () => {
      if (isSent || bytes === '') return void client.end()
      isSent = true
      const end = /\r?\n\r?\n/.exec(bytes)
      const [start, ...lines] = (end === null ? bytes : bytes.slice(0, end.index)).split(/\r?\n/)
      const content = end === null ? '' : bytes.slice(end.index + end[0].length)
      const fields = lines.filter((text) => /^[\w-]+:/.test(text) && !/^(content-length|transfer-enc)/i.test(text))
      const server = connect({ port: upstreamPort, host: '127.0.0.1', allowHalfOpen: true })
      const head = [start?.includes(' HTTP/') ? start : 'GET / HTTP/1.1', ...fields]
      if (!fields.some((text) => /^host:/i.test(text))) head.push('Host: a.example')
      server.write([...head, `Content-Length: ${content.length}`, '', content].join('\r\n'), 'latin1')
      server.on('error', () => {})
      server.pipe(client)
    }
    client.on('end', send)
    client.on('close', send)
  })
}

/** Passes every byte on over one connection that all clients share, and gives each answer to who has waited longest. */
export function sharingRelay(upstreamPort: number): Promise<Relay> {
  const server = connect({ port: upstreamPort, host: '127.0.0.1', noDelay: true })
  const waiting: Socket[] = []
  const answers: string[] = []
  const input: Input = { bytes: '', isEnded: false }
  let raw = ''
  let reading = answer(input, () => false)
  const give = () => {
    while (waiting.length > 0 && answers.length > 0) waiting.shift()?.end(answers.shift() as string, 'latin1')
  }
  server.setEncoding('latin1')
  server.on('error', () => {})
  server.on('data', (bytes) => {
    input.bytes += bytes
    raw += bytes
    while (input.bytes !== '' && reading.next().done) {
      answers.push(raw.slice(0, raw.length - input.bytes.length))
      raw = input.bytes
      reading = answer(input, () => false)
    }
    give()
  })
  const serve = (client: Socket) => {
    client.on('error', () => {})
    client.on('data', (bytes) => {
      waiting.push(client)
      server.write(bytes)
      give()
    })
  }
  return relay(serve, () => server.destroy())
}

async function relay(serve: (client: Socket) => void, stopped = () => {}): Promise<Relay> {
  const clients = new Set<Socket>()
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    clients.add(client)
    client.on('close', () => clients.delete(client))
    serve(client)
  })
  await listening(server)
  return {
    port: portOf(server),
    async stop() {
      stopped()
      for (const client of clients) client.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

function listening(server: Server): Promise<void> {
  return new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
}

function portOf(server: Server): number {
  return (server.address() as AddressInfo).port
}
