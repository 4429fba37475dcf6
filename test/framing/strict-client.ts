// A client that sends raw bytes, and parses the responses strictly by RFC 9112.
import { connect, type Socket } from 'node:net'
import { type Input, type Reading, readAnswer, type StrictAnswer, Violation } from './strict-http.ts'
import { Watched } from './watched.ts'

export class StrictClient extends Watched {
  readonly answers: StrictAnswer[] = []
  /** The statuses of informational responses. */
  readonly interim: number[] = []
  /** The bytes received after a 101. */
  tunnelled = ''
  isClosed = false
  /** Received bytes that are not a response. */
  fault: string | undefined
  readonly #heads: readonly number[]
  readonly #input: Input = { bytes: '', isEnded: false }
  readonly #socket: Socket
  #isTunnel = false
  #reading = this.#next()

  /** `heads`: which of its requests, counted from 0, are HEAD. */
  constructor(port: number, heads: readonly number[] = []) {
    super()
    this.#heads = heads
    // Half open, so that bytes after its own end are seen.
    this.#socket = connect({ port, host: '127.0.0.1', noDelay: true, allowHalfOpen: true })
    this.#socket.setEncoding('latin1')
    this.#socket.on('data', (bytes) => {
      this.#input.bytes += bytes
      this.#read()
    })
    this.#socket.on('error', () => {}) // 'close' follows
    this.#socket.on('end', () => this.#ended())
    this.#socket.on('close', () => this.#ended())
  }

  send(bytes: string): void {
    this.#socket.write(bytes, 'latin1')
  }

  /** Sends `bytes` one by one, each in a packet of its own as far as the other side can tell. */
  async sendSlowly(bytes: string): Promise<void> {
    for (const byte of bytes) {
      await this.#written(byte)
      // The other side is in this process: it reads in the poll phase between these two.
      for (let turn = 0; turn < 2; turn += 1) await new Promise((resolve) => setImmediate(resolve))
    }
  }

  end(): void {
    this.#socket.end()
  }

  /** Disconnects with a RST, after its bytes are on their way. */
  async reset(): Promise<void> {
    await this.#written('')
    this.#socket.resetAndDestroy()
  }

  close(): void {
    this.#socket.destroy()
  }

  #written(bytes: string): Promise<void> {
    return new Promise((resolve) => this.#socket.write(bytes, 'latin1', () => resolve()))
  }

  #next(): Reading<StrictAnswer> {
    return readAnswer(this.#input, () => this.#heads.includes(this.answers.length))
  }

  #read(): void {
    try {
      this.#readAnswers()
    } catch (error) {
      if (!(error instanceof Violation)) throw error
      this.fault = error.message
    }
    if (this.#isTunnel) {
      this.tunnelled += this.#input.bytes
      this.#input.bytes = ''
    }
    this.changed()
  }

  #readAnswers(): void {
    const input = this.#input
    while (this.fault === undefined && !this.#isTunnel && (input.bytes !== '' || input.isEnded)) {
      const { done, value } = this.#reading.next()
      if (!done) return
      if (value.status >= 200) this.answers.push(value)
      else this.interim.push(value.status)
      this.#isTunnel = value.status === 101
      this.#reading = this.#next()
      if (input.isEnded && input.bytes === '') return
    }
  }

  #ended(): void {
    if (this.isClosed) return
    this.isClosed = true
    const isCut = this.#input.bytes !== ''
    this.#input.isEnded = true
    this.#read()
    if (isCut && this.#input.bytes !== '') this.fault ??= 'an answer that is cut off'
    this.#socket.end()
    this.changed()
  }
}
