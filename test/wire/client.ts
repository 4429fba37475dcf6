// A client that distinguishes a complete answer from one that was cut off.
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { type Field, fieldsOf, valuesOf } from './fields.ts'
import { type Content, Incoming, readChunked, readSized } from './incoming.ts'
import { within } from './within.ts'

/** A response as received by a client. */
export interface WireAnswer {
  /** 0 if there is none. */
  status: number
  reason: string
  fields: readonly Field[]
  content: Buffer
  trailers: readonly Field[]
  /** Informational responses before it. */
  interim: { status: number; fields: readonly Field[] }[]
  /** Whether a client may assume that the answer is complete. */
  isWhole: boolean
}

/** A connection of a client. */
export class WireClient {
  readonly socket: Socket
  readonly closed: Promise<unknown>
  static #open = new Set<WireClient>()
  #incoming: Incoming

  private constructor(socket: Socket) {
    WireClient.#open.add(this)
    this.socket = socket
    this.#incoming = new Incoming(socket)
    this.closed = new Promise((resolve) => socket.on('close', resolve))
  }

  static async to(url: string): Promise<WireClient> {
    const { hostname, port } = new URL(url)
    const socket = connect({ host: hostname, port: Number(port), noDelay: true })
    const client = new WireClient(socket)
    await once(socket, 'connect')
    return client
  }

  /** Closes connections that a test has left open, so that nothing waits for them. */
  static closeAll(): void {
    for (const client of WireClient.#open) client.close()
  }

  get isOpen(): boolean {
    return this.#incoming.ended === undefined && !this.socket.destroyed
  }

  /** Bytes that belong to no response read so far. */
  get unread(): Buffer {
    return this.#incoming.held
  }

  send(bytes: string | Buffer): void {
    if (typeof bytes === 'string') this.socket.write(bytes, 'latin1')
    else this.socket.write(bytes)
  }

  /** Sends a request and reads its answer. */
  async ask(request: string): Promise<WireAnswer> {
    this.send(request)
    return this.read(request.slice(0, request.indexOf(' ')))
  }

  /** The next final response, one to `method`. */
  read(method = 'GET'): Promise<WireAnswer> {
    return within(this.#read(method), `the answer to ${method}`)
  }

  until(mark: string): Promise<string | undefined> {
    return within(this.#incoming.until(mark), JSON.stringify(mark))
  }

  close(): void {
    WireClient.#open.delete(this)
    this.socket.destroy()
  }

  async #read(method: string): Promise<WireAnswer> {
    const interim: WireAnswer['interim'] = []
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

/** Sends one request over a connection of its own. */
export async function askOnce(url: string, request: string): Promise<WireAnswer> {
  const client = await WireClient.to(url)
  try {
    return await client.ask(request)
  } finally {
    client.close()
  }
}
