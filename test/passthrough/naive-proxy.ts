// A naive proxy: the twin of one that follows the rules.
import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { gate } from '../support.ts'
import { listening } from '../wire/listening.ts'
import type { ScriptedUpstream } from '../wire/scripted-upstream.ts'

/**
 * One upstream connection for all clients. A response is its head, and as many bytes as its last Content-Length or its
 * chunks say. Bytes behind it belong to the next response, and an early end is ignored.
 */
export class NaiveProxy {
  url = ''
  readonly #upstreamPort: number
  readonly #listener: Server
  readonly #clients: Socket[] = []
  #upstream: Socket | undefined
  /** Bytes that the upstream has sent and that are not read yet. */
  #held = ''
  #more = gate()
  /** The previous request. */
  #turn: Promise<unknown> = Promise.resolve()

  private constructor(upstreamPort: number) {
    this.#upstreamPort = upstreamPort
    this.#listener = createServer((client) => {
      this.#clients.push(client)
      client.on('error', () => {})
      client.on('data', (bytes) => {
        const answered = this.#turn.then(() => this.#carry(bytes.toString('latin1')))
        this.#turn = answered.then((answer) => client.write(answer, 'latin1'))
      })
    })
  }

  static async start(upstream: ScriptedUpstream): Promise<NaiveProxy> {
    const proxy = new NaiveProxy(Number(new URL(upstream.url).port))
    proxy.url = `http://127.0.0.1:${await listening(proxy.#listener)}`
    return proxy
  }

  async stop(): Promise<void> {
    for (const socket of [...this.#clients, this.#upstream]) socket?.destroy()
    this.#listener.close()
    await once(this.#listener, 'close')
  }

  async #carry(request: string): Promise<string> {
    this.#connected().write(request, 'latin1')
    const head = await this.#until('\r\n\r\n')
    const length = /content-length: *(\d+)\r\n(?!.*content-length)/is.exec(head)?.[1]
    const content = length !== undefined ? await this.#take(Number(length)) : await this.#chunks(head)
    const fields = head.replace(/\r\n(content-length|transfer-encoding):[^\r]*/gi, '')
    return `${fields.slice(0, -2)}Content-Length: ${content.length}\r\n\r\n${content}`
  }

  #connected(): Socket {
    if (this.#upstream && !this.#upstream.destroyed) return this.#upstream
    this.#held = ''
    const upstream = connect(this.#upstreamPort, '127.0.0.1')
    upstream.on('data', (bytes) => {
      this.#held += bytes.toString('latin1')
      this.#wake()
    })
    upstream.on('error', () => {})
    upstream.on('close', () => this.#wake())
    this.#upstream = upstream
    return upstream
  }

  #wake(): void {
    this.#more.open()
    this.#more = gate()
  }

  async #chunks(head: string): Promise<string> {
    if (!/chunked/i.test(head)) return ''
    let content = ''
    for (;;) {
      const size = Number.parseInt(await this.#until('\r\n'), 16) || 0
      const part = await this.#take(size + 2)
      if (size === 0) return content
      content += part.slice(0, size)
    }
  }

  /** The bytes up to and including `mark`, or all bytes if the connection ends earlier. */
  async #until(mark: string): Promise<string> {
    while (!this.#held.includes(mark) && !this.#upstream?.destroyed) await this.#more.opened
    const at = this.#held.indexOf(mark)
    return this.#cut(at === -1 ? this.#held.length : at + mark.length)
  }

  async #take(count: number): Promise<string> {
    while (this.#held.length < count && !this.#upstream?.destroyed) await this.#more.opened
    return this.#cut(count)
  }

  #cut(count: number): string {
    const part = this.#held.slice(0, count)
    this.#held = this.#held.slice(part.length)
    return part
  }
}
