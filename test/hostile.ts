import { once } from 'node:events'
import { connect as connectTo, createServer, type Server, type Socket } from 'node:net'

/**
 * Both ends of a wire, read and written byte by byte, by code that shares nothing with what it tests: a web tier that answers
 * whatever a test tells it to, and a client that tells a whole answer from one that was cut.
 */

/** Rejects, saying `what` has not come, when `promise` does not settle within `ms`. */
export function within<T>(promise: Promise<T>, what: string, ms = 5000): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(new Error(`${what} has not come within ${ms} ms`)), ms)
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

type Field = readonly [name: string, value: string]

/** What a socket has received and nobody has read yet; waits for more as needed. */
class Incoming {
  /** How the other side has ended; an end is one only when its FIN has come. */
  ended: 'end' | 'reset' | undefined
  #held: Buffer = Buffer.alloc(0)
  #more = Promise.withResolvers<void>()

  constructor(socket: Socket) {
    const wake = () => {
      this.#more.resolve()
      this.#more = Promise.withResolvers()
    }
    socket.on('data', (bytes: Buffer) => {
      this.#held = this.#held.length === 0 ? bytes : Buffer.concat([this.#held, bytes])
      wake()
    })
    socket.on('end', () => {
      this.ended ??= 'end'
      wake()
    })
    socket.on('error', () => {
      this.ended ??= 'reset'
      wake()
    })
    socket.on('close', () => {
      this.ended ??= 'reset'
      wake()
    })
  }

  get held(): Buffer {
    return this.#held
  }

  /** Everything up to and with `mark`; nothing when the other side ends before. */
  async until(mark: string): Promise<string | undefined> {
    for (;;) {
      const at = this.#held.indexOf(mark)
      if (at !== -1) return this.#cut(at + mark.length).toString('latin1')
      if (this.ended !== undefined) return undefined
      await this.#more.promise
    }
  }

  /** `count` bytes, fewer when the other side ends before. */
  async take(count: number): Promise<Buffer> {
    const parts: Buffer[] = []
    for (let missing = count; missing > 0; ) {
      const part = this.#cut(missing)
      parts.push(part)
      missing -= part.length
      if (part.length > 0) continue
      if (this.ended !== undefined) break
      await this.#more.promise
    }
    return Buffer.concat(parts)
  }

  #cut(count: number): Buffer {
    const part = this.#held.subarray(0, count)
    this.#held = this.#held.subarray(part.length)
    return part
  }
}

function fieldsOf(lines: readonly string[]): Field[] {
  return lines.map((line) => {
    const colon = line.indexOf(':')
    return [line.slice(0, colon), line.slice(colon + 1).trim()]
  })
}

/** The values of every field called `name`, in their order. */
export function valuesOf(fields: readonly Field[], name: string): string[] {
  return fields.filter(([own]) => own.toLowerCase() === name.toLowerCase()).map(([, value]) => value)
}

export interface Content {
  bytes: Buffer
  trailers: readonly Field[]
  isWhole: boolean
}

async function readSized(incoming: Incoming, length: number): Promise<Content> {
  const bytes = await incoming.take(length)
  return { bytes, trailers: [], isWhole: bytes.length === length }
}

async function readChunked(incoming: Incoming): Promise<Content> {
  const parts: Buffer[] = []
  const cut = () => ({ bytes: Buffer.concat(parts), trailers: [], isWhole: false })
  for (;;) {
    const size = await incoming.until('\r\n')
    if (size === undefined || !/^[\da-f]+\r\n$/i.test(size)) return cut()
    const length = Number.parseInt(size, 16)
    if (length === 0) break
    const part = await incoming.take(length)
    parts.push(part)
    if (part.length < length || (await incoming.until('\r\n')) !== '\r\n') return cut()
  }
  const lines: string[] = []
  for (;;) {
    const line = await incoming.until('\r\n')
    if (line === undefined) return cut()
    if (line === '\r\n') return { bytes: Buffer.concat(parts), trailers: fieldsOf(lines), isWhole: true }
    lines.push(line.slice(0, -2))
  }
}

/** A request as it came to the web tier. */
export interface Asked {
  method: string
  target: string
  /** Its head as it came, latin1. */
  head: string
  fields: readonly Field[]
  /** The number of the connection it came on. */
  connection: number
  socket: Socket
  content: Promise<Content>
}

/** Bytes to answer with once all of a request has come; or what to do as soon as its head has. */
export type Script = string | Buffer | ((asked: Asked) => unknown)

/** An answer of `content` with its length; `head` goes before, a status line and fields. */
export function answerOf(content: string, head = 'HTTP/1.1 200 OK\r\n'): string {
  return `${head}Content-Length: ${Buffer.byteLength(content, 'latin1')}\r\n\r\n${content}`
}

/** What a request gets that nothing is scripted for: content that no other request's answer has. */
export function ownAnswer(method: string, target: string): string {
  return `the answer to ${method} ${target}`
}

/** Answers with `bytes`, then closes. */
export function closing(bytes: string | Buffer): Script {
  return ({ socket, content }) => void content.then(() => socket.end(bytes, 'latin1'))
}

/** Answers with `bytes`, waits for `moment`, then resets the connection. */
export function resetting(bytes: string, moment: Promise<unknown> = Promise.resolve()): Script {
  return async ({ socket, content }) => {
    await content
    if (bytes !== '') await new Promise((resolve) => socket.write(bytes, 'latin1', resolve))
    await moment
    socket.resetAndDestroy()
  }
}

/** A web tier on a port or socket of its own, that answers as it is told. */
export class Hostile {
  readonly asked: Asked[] = []
  /** Every connection there has been. */
  readonly connections: Socket[] = []
  /** For requests that nothing is scripted for. */
  usual: Script = ({ method, target, socket, content }) =>
    void content.then(() => {
      const answer = answerOf(ownAnswer(method, target), 'HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n')
      socket.write(method === 'HEAD' ? answer.slice(0, answer.indexOf('\r\n\r\n') + 4) : answer, 'latin1')
    })
  #scripts = new Map<string, Script[]>()
  #waiting: { target: string; take: (asked: Asked) => void }[] = []
  #server: Server

  private constructor() {
    this.#server = createServer({ noDelay: true }, (socket) => {
      const number = this.connections.push(socket) - 1
      void this.#serve(socket, number)
    })
  }

  static async start(path?: string): Promise<Hostile> {
    const hostile = new Hostile()
    if (path === undefined) hostile.#server.listen(0, '127.0.0.1')
    else hostile.#server.listen(path)
    await once(hostile.#server, 'listening')
    return hostile
  }

  get url(): string {
    const address = this.#server.address()
    return typeof address === 'string' ? `unix:${address}` : `http://127.0.0.1:${address?.port}`
  }

  /** The next requests for `target` are answered by `scripts`, one each, in turn. */
  script(target: string, ...scripts: Script[]): void {
    this.#scripts.set(target, [...(this.#scripts.get(target) ?? []), ...scripts])
  }

  to(target: string): Asked[] {
    return this.asked.filter((asked) => asked.target === target)
  }

  /** The next request for `target`, as soon as its head has come. */
  next(target: string): Promise<Asked> {
    return within(new Promise((take) => this.#waiting.push({ target, take })), `a request for ${target}`)
  }

  async stop(): Promise<void> {
    for (const socket of this.connections) socket.destroy()
    this.#server.close()
    await once(this.#server, 'close')
  }

  async #serve(socket: Socket, connection: number): Promise<void> {
    const incoming = new Incoming(socket)
    for (;;) {
      const head = await incoming.until('\r\n\r\n')
      if (head === undefined) return void socket.end()
      const [line = '', ...lines] = head.slice(0, -4).split('\r\n')
      const [method = '', target = ''] = line.split(' ')
      const fields = fieldsOf(lines)
      const isUpgrade = valuesOf(fields, 'upgrade').length > 0
      const isChunked = valuesOf(fields, 'transfer-encoding').length > 0
      const length = Number(valuesOf(fields, 'content-length')[0] ?? 0)
      const content = isChunked ? readChunked(incoming) : readSized(incoming, length)
      const asked: Asked = { method, target, head, fields, connection, socket, content }
      this.asked.push(asked)
      const waiting = this.#waiting.filter((one) => one.target === target)
      this.#waiting = this.#waiting.filter((one) => one.target !== target)
      for (const { take } of waiting) take(asked)
      const script = this.#scripts.get(target)?.shift() ?? this.usual
      if (typeof script === 'function') await script(asked)
      else void content.then(() => socket.writable && socket.write(script as string, 'latin1'))
      await content
      if (isUpgrade) return
    }
  }
}

/** A response as a client has seen it. */
export interface Answer {
  /** 0 when there is none. */
  status: number
  reason: string
  fields: readonly Field[]
  content: Buffer
  trailers: readonly Field[]
  /** Informational responses that came before it. */
  interim: { status: number; fields: readonly Field[] }[]
  /** Whether a client may believe that it is all of the answer. */
  isWhole: boolean
}

/** A connection of a client. */
export class Client {
  readonly socket: Socket
  readonly closed: Promise<unknown>
  static #open = new Set<Client>()
  #incoming: Incoming

  private constructor(socket: Socket) {
    Client.#open.add(this)
    this.socket = socket
    this.#incoming = new Incoming(socket)
    this.closed = new Promise((resolve) => socket.on('close', resolve))
  }

  static async to(url: string): Promise<Client> {
    const { hostname, port } = new URL(url)
    const socket = connectTo({ host: hostname, port: Number(port), noDelay: true })
    const client = new Client(socket)
    await once(socket, 'connect')
    return client
  }

  /** Closes what a test has left open, so that nothing waits for it. */
  static closeAll(): void {
    for (const client of Client.#open) client.close()
  }

  get isOpen(): boolean {
    return this.#incoming.ended === undefined && !this.socket.destroyed
  }

  /** Bytes that belong to no response read so far. */
  get unread(): Buffer {
    return this.#incoming.held
  }

  send(bytes: string | Buffer): void {
    this.socket.write(bytes as string, 'latin1')
  }

  /** Sends a request and reads its answer. */
  async ask(request: string): Promise<Answer> {
    this.send(request)
    return this.read(request.slice(0, request.indexOf(' ')))
  }

  /** The next final response, one to `method`. */
  read(method = 'GET'): Promise<Answer> {
    return within(this.#read(method), `the answer to ${method}`)
  }

  until(mark: string): Promise<string | undefined> {
    return within(this.#incoming.until(mark), JSON.stringify(mark))
  }

  close(): void {
    Client.#open.delete(this)
    this.socket.destroy()
  }

  async #read(method: string): Promise<Answer> {
    const interim: Answer['interim'] = []
    const none = { reason: '', fields: [], content: Buffer.alloc(0), trailers: [], interim, isWhole: false }
    for (;;) {
      const head = await this.#incoming.until('\r\n\r\n')
      if (head === undefined) return { ...none, status: 0, reason: this.unread.toString('latin1') }
      const [line = '', ...lines] = head.slice(0, -4).split('\r\n')
      const [, code = '', reason = ''] = /^HTTP\/1\.1 (\d{3}) (.*)$/s.exec(line) ?? []
      const status = Number(code)
      const fields = fieldsOf(lines)
      if (status >= 100 && status < 200) {
        interim.push({ status, fields })
        if (status !== 101) continue
        return { ...none, status, reason, fields, isWhole: true }
      }
      const { bytes, trailers, isWhole } = await this.#content(method, status, fields)
      return { status, reason, fields, content: bytes, trailers, interim, isWhole }
    }
  }

  async #content(method: string, status: number, fields: readonly Field[]): Promise<Content> {
    const lengths = valuesOf(fields, 'content-length')
    const codings = valuesOf(fields, 'transfer-encoding')
    if (method === 'HEAD' || status === 204 || status === 304) return readSized(this.#incoming, 0)
    if (lengths.length + codings.length > 1) return { bytes: Buffer.alloc(0), trailers: [], isWhole: false }
    if (codings.length === 1) return readChunked(this.#incoming)
    if (lengths.length === 1) return readSized(this.#incoming, Number(lengths[0]))
    const bytes = await this.#incoming.take(Number.POSITIVE_INFINITY)
    return { bytes, trailers: [], isWhole: this.#incoming.ended === 'end' }
  }
}

/** A request of HTTP/1.1 as bytes. Content gets its length. */
export function requestOf(method: string, target: string, fields: readonly string[] = [], content?: string): string {
  const length = content === undefined ? [] : [`Content-Length: ${Buffer.byteLength(content, 'latin1')}`]
  const names = fields.map((field) => field.slice(0, field.indexOf(':')).toLowerCase())
  const host = names.includes('host') ? [] : ['Host: web.example']
  return `${method} ${target} HTTP/1.1\r\n${[...host, ...fields, ...length].join('\r\n')}\r\n\r\n${content ?? ''}`
}

/** Sends one request over a connection of its own. */
export async function askOnce(url: string, request: string): Promise<Answer> {
  const client = await Client.to(url)
  try {
    return await client.ask(request)
  } finally {
    client.close()
  }
}

/** Everything that keeps `answer` from being the proxy's own error of this status, that nobody keeps. */
export function notAProblem({ status, fields, content, isWhole }: Answer, ...statuses: number[]): string[] {
  const expected: [string, string][] = [
    ['Content-Type', 'application/problem+json'],
    ['Cache-Control', 'no-store'],
    ['Cache-Status', 'onramp; fwd=bypass; detail=upstream'],
  ]
  return [
    ...(isWhole ? [] : ['it is cut']),
    ...(statuses.includes(status) ? [] : [`its status is ${status}`]),
    ...expected.flatMap(([name, value]) => {
      const values = valuesOf(fields, name)
      return values.join('|') === value ? [] : [`its ${name} is ${JSON.stringify(values)}`]
    }),
    ...(content.includes(`"status":${status}`) ? [] : [`its content is ${JSON.stringify(content.toString())}`]),
  ]
}
