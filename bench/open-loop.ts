import { Connection, requestOf } from './connection.ts'
import { random } from './random.ts'
import { noSource, Recording } from './recording.ts'

export interface OpenLoop {
  seconds: number
  /** Requests per second, `at` seconds after the start. */
  rate(at: number): number
  path(): string
  seed: number
  /** Limit of connections. A request that arrives when all are in use waits for one; this time counts as part of its wait. */
  connections?: number
  /** A request without an answer after this time counts as failed. */
  timeoutMs?: number
}

/**
 * An open loop: requests arrive at random (Poisson), whether or not earlier ones were answered, and each wait counts from the arrival.
 *
 * If the server stands still for a second, the waits of all requests that arrive in that second show it. A closed loop hides them
 * (coordinated omission).
 */
export async function openLoop(url: string, loop: OpenLoop): Promise<Recording> {
  const recording = new Recording()
  const pool = new Pool(new URL(url), loop.connections ?? 1000, loop.timeoutMs ?? 10_000)
  const next = random(loop.seed)
  const cpu = process.cpuUsage()
  const began = performance.now()
  let due = 0
  await new Promise<void>((resolve) => {
    let underWay = 0
    let isOver = false
    const tick = () => {
      const now = (performance.now() - began) / 1000
      while (due <= Math.min(now, loop.seconds)) {
        const came = due
        underWay += 1
        pool.ask(loop.path(), (status, source) => {
          recording.add(came, performance.now() - began - came * 1000, status, source)
          underWay -= 1
          if (isOver && underWay === 0) resolve()
        })
        due += -Math.log(1 - next()) / Math.max(1e-6, loop.rate(due))
      }
      if (due <= loop.seconds) return void setTimeout(tick, 1)
      isOver = true
      if (underWay === 0) resolve()
    }
    tick()
  })
  recording.seconds = loop.seconds
  const used = process.cpuUsage(cpu)
  recording.generatorCpu = (used.user + used.system) / 1e6 / ((performance.now() - began) / 1000)
  pool.close()
  return recording
}

interface Waiting {
  request: string
  answered: (status: number, source: string) => void
  isOver: boolean
  /** The server had closed the connection of the first try. A GET is then sent once more, as browsers do. */
  isSecondTry: boolean
}

/** Keep-alive connections, opened on demand. */
class Pool {
  #idle: Connection[] = []
  #queue: Waiting[] = []
  #all = new Set<Connection>()
  #url: URL
  #most: number
  #timeoutMs: number
  #isClosed = false
  constructor(url: URL, most: number, timeoutMs: number) {
    this.#url = url
    this.#most = most
    this.#timeoutMs = timeoutMs
  }

  ask(path: string, answered: (status: number, source: string) => void): void {
    const waiting: Waiting = {
      request: requestOf(path, this.#url.host),
      isOver: false,
      isSecondTry: false,
      answered: (status, source) => {
        if (waiting.isOver) return
        waiting.isOver = true
        clearTimeout(timer)
        answered(status, source)
      },
    }
    const timer = setTimeout(() => waiting.answered(0, noSource), this.#timeoutMs)
    this.#send(waiting)
  }

  close(): void {
    this.#isClosed = true
    for (const connection of this.#all) connection.close()
  }

  #send(waiting: Waiting): void {
    let idle = this.#idle.pop()
    while (idle?.isOver) idle = this.#idle.pop()
    if (idle !== undefined) {
      this.#give(idle, waiting)
      return
    }
    this.#queue.push(waiting)
    if (this.#all.size < this.#most) this.#open()
  }

  #open(): void {
    let wasOpen = false
    const connection = new Connection(
      { host: this.#url.hostname, port: Number(this.#url.port) },
      () => {
        wasOpen = true
        this.#idle.push(connection)
        this.#next()
      },
      () => {
        this.#all.delete(connection)
        if (this.#isClosed) return
        // The server cannot be reached: one waiting request has failed.
        if (!wasOpen) this.#queue.shift()?.answered(0, noSource)
        if (this.#queue.length > 0 && this.#all.size < this.#most) this.#open()
      },
    )
    this.#all.add(connection)
  }

  #next(): void {
    while (this.#queue.length > 0 && this.#idle.length > 0) {
      const connection = this.#idle.pop() as Connection
      if (connection.isOver) continue
      const waiting = this.#queue.shift() as Waiting
      if (waiting.isOver) this.#idle.push(connection)
      else this.#give(connection, waiting)
    }
  }

  #give(connection: Connection, waiting: Waiting): void {
    connection.ask(waiting.request, (status, source) => {
      const wasClosed = status === 0 && !waiting.isSecondTry && !waiting.isOver
      if (!connection.isOver) this.#idle.push(connection)
      if (wasClosed) {
        waiting.isSecondTry = true
        this.#send(waiting)
      } else waiting.answered(status, source)
      this.#next()
    })
  }
}
