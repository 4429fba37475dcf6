import { connect, type Socket } from 'node:net'
import { noSource } from './recording.ts'

/** Called at the end of a request: with its status, or 0 without an answer, and the source that Cache-Status names. */
export type Answered = (status: number, source: string) => void

export interface Target {
  host: string
  port: number
  /** Source address, of 127.0.0.0/8: each address has its own 28,000 ports. */
  localAddress?: string | undefined
}

/**
 * A minimal HTTP client: one keep-alive connection, one request at a time. It is small, so that one process can have tens of thousands.
 *
 * It understands only answers with a Content-Length, and skips their bodies.
 */
export class Connection {
  #socket: Socket
  #answered: Answered | undefined
  #head = ''
  /** Remaining bytes of the body; -1 while the header section is read. */
  #left = -1
  #status = 0
  #source = noSource
  #mustClose = false
  isOpen = false
  isOver = false

  /** Calls `opened` at most once, and `closed` exactly once, also if the connection never opened. */
  constructor(target: Target, opened: () => void, closed: (error?: NodeJS.ErrnoException) => void) {
    let failure: NodeJS.ErrnoException | undefined
    this.#socket = connect({ noDelay: true, ...target } as never)
    this.#socket.on('connect', () => {
      this.isOpen = true
      opened()
    })
    this.#socket.on('data', (bytes: Buffer) => this.#read(bytes))
    this.#socket.on('error', (error) => {
      failure = error
    })
    this.#socket.on('close', () => {
      this.isOpen = false
      this.isOver = true
      this.#finish(0)
      closed(failure)
    })
  }

  get isBusy(): boolean {
    return this.#answered !== undefined
  }

  /** Sends a serialized request. Only one request may be in progress. */
  ask(request: string, answered: Answered): void {
    this.#answered = answered
    this.#socket.write(request, 'latin1')
  }

  close(): void {
    this.#socket.destroy()
  }

  #read(bytes: Buffer): void {
    let body = bytes.length
    if (this.#left < 0) {
      this.#head += bytes.toString('latin1')
      const end = this.#head.indexOf('\r\n\r\n')
      if (end < 0) return
      body = this.#head.length - end - 4
      this.#readHead(this.#head.slice(0, end))
      this.#head = ''
    }
    this.#left -= body
    if (this.#left > 0) return
    const status = this.#left < 0 ? 0 : this.#status // longer than its Content-Length: counts as no answer
    this.#left = -1
    if (this.#mustClose || status === 0) {
      this.isOver = true
      this.#socket.destroy()
    }
    this.#finish(status)
  }

  #readHead(head: string): void {
    this.#status = Number(head.slice(9, 12))
    const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1]
    this.#left = this.#status === 304 || this.#status === 204 ? 0 : Number(length ?? 0)
    // RFC 9211, detail: the tier, or the reason for a stale answer.
    this.#source = /\r\ncache-status:[^\r]*detail=([\w-]+)/i.exec(head)?.[1] ?? noSource
    this.#mustClose = /\r\nconnection: *close/i.test(head)
  }

  #finish(status: number): void {
    const answered = this.#answered
    this.#answered = undefined
    answered?.(status, this.#source)
  }
}

/** A serialized GET request. */
export function requestOf(path: string, host: string, headers: Record<string, string> = {}): string {
  const fields = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  return `GET ${path} HTTP/1.1\r\nHost: ${host}\r\n${fields.join('')}\r\n`
}
