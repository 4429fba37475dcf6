// Byte-by-byte reader of a socket, independent of the code under test.
import type { Socket } from 'node:net'
import { type Field, fieldsOf } from './fields.ts'

/** The bytes that a socket has received and that are not read yet; waits for more as needed. */
export class Incoming {
  /** How the other side has ended; a regular end requires its FIN. */
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

  /** The bytes up to and including `mark`; nothing if the other side ends earlier. */
  async until(mark: string): Promise<string | undefined> {
    for (;;) {
      const at = this.#held.indexOf(mark)
      if (at !== -1) return this.#cut(at + mark.length).toString('latin1')
      if (this.ended !== undefined) return undefined
      await this.#more.promise
    }
  }

  /** `count` bytes, fewer if the other side ends earlier. */
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

export interface Content {
  bytes: Buffer
  trailers: readonly Field[]
  isWhole: boolean
}

export async function readSized(incoming: Incoming, length: number): Promise<Content> {
  const bytes = await incoming.take(length)
  return { bytes, trailers: [], isWhole: bytes.length === length }
}

export async function readChunked(incoming: Incoming): Promise<Content> {
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
