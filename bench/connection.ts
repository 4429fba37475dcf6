import { connect, type Socket } from 'node:net'
import { noSource } from './recording.ts'

/** How a request ended: its status, 0 if there was no answer, and where the answer says it came from. */
export type Answered = (status: number, source: string) => void

export interface Target {
  host: string
  port: number
  /** The address to come from, of 127.0.0.0/8: each has its own 28,000 ports. */
  localAddress?: string | undefined
}

/**
 * One connection kept open, one request at a time: the least that can ask, so that tens of thousands fit into a process. It reads answers
 * with a Content-Length, and bodies it only counts.
 */
export class Connection {
  #socket: Socket
  #answered: Answered | undefined
  #head = ''
  /** Bytes of the body still to come; -1 while the head is being read. */
  #left = -1
  #status = 0
  #source = noSource
  #mustClose = false
  isOpen = false
  isOver = false

  /** `opened` is called once, and `closed` once: also when it never opened. */
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

  /** Sends a request that is whole already; not while another is under way. */
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
    const status = this.#left < 0 ? 0 : this.#status // more than was announced: not an answer we can read
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
    // RFC 9211's detail: the tier, or why an answer past its time is served.
    this.#source = /\r\ncache-status:[^\r]*detail=([\w-]+)/i.exec(head)?.[1] ?? noSource
    this.#mustClose = /\r\nconnection: *close/i.test(head)
  }

  #finish(status: number): void {
    const answered = this.#answered
    this.#answered = undefined
    answered?.(status, this.#source)
  }
}

/** A GET as it goes over the wire. */
export function requestOf(path: string, host: string, headers: Record<string, string> = {}): string {
  const fields = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  return `GET ${path} HTTP/1.1\r\nHost: ${host}\r\n${fields.join('')}\r\n`
}
