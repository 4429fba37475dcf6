// An upstream with scripted answers.
import { once } from 'node:events'
import { createServer, type Server, type Socket } from 'node:net'
import { type Field, fieldsOf, valuesOf } from './fields.ts'
import { type Content, Incoming, readChunked, readSized } from './incoming.ts'
import { ownAnswer, responseOf } from './messages.ts'
import { within } from './within.ts'

/** A request as received by the upstream. */
export interface ReceivedRequest {
  method: string
  target: string
  /** Its unmodified head, latin1. */
  head: string
  fields: readonly Field[]
  /** The number of its connection. */
  connection: number
  socket: Socket
  content: Promise<Content>
}

/** Called as soon as the head of a request has arrived. */
export type Respond = (asked: ReceivedRequest) => unknown

/** The same; or bytes to answer with once the whole request has arrived. */
export type Script = string | Respond

/** Answers with `bytes`, then closes. */
export function closing(bytes: string): Respond {
  return ({ socket, content }) => void content.then(() => socket.end(bytes, 'latin1'))
}

/** Answers with `bytes`, then resets the connection. */
export function resetting(bytes: string): Respond {
  return async ({ socket, content }) => {
    await content
    if (bytes !== '') await new Promise((resolve) => socket.write(bytes, 'latin1', resolve))
    socket.resetAndDestroy()
  }
}

/** An upstream on a port or socket of its own, with scripted answers. */
export class ScriptedUpstream {
  readonly asked: ReceivedRequest[] = []
  /** All connections so far. */
  readonly connections: Socket[] = []
  /** The answer to unscripted requests. */
  usual: Respond = ({ method, target, socket, content }) =>
    void content.then(() => {
      const answer = responseOf(ownAnswer(method, target), 'HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n')
      socket.write(method === 'HEAD' ? answer.slice(0, answer.indexOf('\r\n\r\n') + 4) : answer, 'latin1')
    })
  #scripts = new Map<string, Script[]>()
  #waiting: { target: string; take: (asked: ReceivedRequest) => void }[] = []
  #server: Server

  private constructor() {
    this.#server = createServer({ noDelay: true }, (socket) => {
      const number = this.connections.push(socket) - 1
      void this.#serve(socket, number)
    })
  }

  static async start(path?: string): Promise<ScriptedUpstream> {
    const upstream = new ScriptedUpstream()
    if (path === undefined) upstream.#server.listen(0, '127.0.0.1')
    else upstream.#server.listen(path)
    await once(upstream.#server, 'listening')
    return upstream
  }

  get url(): string {
    const address = this.#server.address()
    return typeof address === 'string' ? `unix:${address}` : `http://127.0.0.1:${address?.port}`
  }

  /** Scripts the next requests for `target`, one script each, in turn. */
  script(target: string, ...scripts: Script[]): void {
    this.#scripts.set(target, [...(this.#scripts.get(target) ?? []), ...scripts])
  }

  to(target: string): ReceivedRequest[] {
    return this.asked.filter((asked) => asked.target === target)
  }

  /** The next request for `target`, as soon as its head has arrived. */
  next(target: string): Promise<ReceivedRequest> {
    return within(new Promise((take) => this.#waiting.push({ target, take })), `a request for ${target}`)
  }

  /** The latest connection that is still open. */
  get lastOpen(): Socket {
    const socket = this.connections.findLast(({ destroyed }) => !destroyed)
    if (socket === undefined) throw new Error('No connection is open.')
    return socket
  }

  async stop(): Promise<void> {
    if (!this.#server.listening) return
    for (const socket of this.connections) socket.destroy()
    this.#server.close()
    await once(this.#server, 'close')
  }

  async #serve(socket: Socket, connection: number): Promise<void> {
    const incoming = new Incoming(socket)
    for (;;) {
      const head = await incoming.until('\r\n\r\n')
      if (head === undefined) return void socket.end()
      const asked = received(head, incoming, socket, connection)
      this.#tell(asked)
      const script = this.#scripts.get(asked.target)?.shift() ?? this.usual
      if (typeof script === 'function') await script(asked)
      else void asked.content.then(() => socket.writable && socket.write(script, 'latin1'))
      await asked.content
      if (valuesOf(asked.fields, 'upgrade').length > 0) return
    }
  }

  /** Records `asked`, and resolves the promises that wait for it. */
  #tell(asked: ReceivedRequest): void {
    this.asked.push(asked)
    const waiting = this.#waiting.filter((one) => one.target === asked.target)
    this.#waiting = this.#waiting.filter((one) => one.target !== asked.target)
    for (const { take } of waiting) take(asked)
  }
}

function received(head: string, incoming: Incoming, socket: Socket, connection: number): ReceivedRequest {
  const [line = '', ...lines] = head.slice(0, -4).split('\r\n')
  const [method = '', target = ''] = line.split(' ')
  const fields = fieldsOf(lines)
  const isChunked = valuesOf(fields, 'transfer-encoding').length > 0
  const length = Number(valuesOf(fields, 'content-length')[0] ?? 0)
  const content = isChunked ? readChunked(incoming) : readSized(incoming, length)
  return { method, target, head, fields, connection, socket, content }
}
