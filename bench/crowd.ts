import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { Connection, requestOf } from './connection.ts'
import { random } from './random.ts'
import { percentileOf } from './recording.ts'
import { recorded } from './servers/run-folder.ts'

/*
 * Clients that keep a connection open each: more than one process may have descriptors, and more than one address has ports. So they are
 * spread over processes, and use many addresses of 127.0.0.0/8. This file is both the module that starts these processes and their program.
 */

export interface Crowd {
  host: string
  port: number
  people: number
  /** Time in which the connections are opened. */
  openSeconds: number
  /** Time for which all connections stay open. Each client sends a request every `everySeconds`. */
  holdSeconds: number
  everySeconds: number
  paths: string[]
}

export interface Seen {
  opened: number
  refused: number
  /** Closed by the server before the end. */
  closedEarly: number
  asked: number
  failed: number
  /** Waits from the moment a request was due, in milliseconds, shortest first. */
  waits: Float64Array
  generatorCpuSeconds: number
}

/** Connections of one process: the usual limit is 20,000 descriptors, and it needs some itself. */
export const mostPerProcess = 17_000
/** Connections from one address to one port: the more ports are in use, the longer the kernel searches for a free one. */
const mostPerAddress = 1000

/** Runs a crowd. Calls `held` when all connections were tried, while they are open. */
export async function bringCrowd(crowd: Crowd, held: () => void): Promise<Seen> {
  const count = Math.ceil(crowd.people / mostPerProcess)
  const children = Array.from({ length: count }, () =>
    recorded(fork(fileURLToPath(import.meta.url), { serialization: 'advanced' })),
  )
  try {
    let open = 0
    const parts = await Promise.all(
      children.map(
        (child, i) =>
          new Promise<Seen>((resolve, reject) => {
            const people = Math.floor((crowd.people * (i + 1)) / count) - Math.floor((crowd.people * i) / count)
            child.on('message', (message: 'held' | Seen) => {
              if (message !== 'held') return resolve(message)
              open += 1
              if (open < count) return
              held()
              for (const each of children) each.send('go')
            })
            child.once('error', reject)
            child.once('exit', (code) =>
              reject(new Error(`A process of the load generator ended early with exit code ${code}.`)),
            )
            child.send({ ...crowd, people, first: i })
          }),
      ),
    )
    return together(parts)
  } finally {
    for (const child of children) child.kill('SIGKILL')
  }
}

function together(parts: Seen[]): Seen {
  const sum = (of: (seen: Seen) => number) => parts.reduce((total, part) => total + of(part), 0)
  const waits = new Float64Array(sum(({ waits }) => waits.length))
  let at = 0
  for (const part of parts) {
    waits.set(part.waits, at)
    at += part.waits.length
  }
  return {
    opened: sum((part) => part.opened),
    refused: sum((part) => part.refused),
    closedEarly: sum((part) => part.closedEarly),
    asked: sum((part) => part.asked),
    failed: sum((part) => part.failed),
    waits: waits.sort(),
    generatorCpuSeconds: sum((part) => part.generatorCpuSeconds),
  }
}

export function waitOf({ waits }: Seen, share: number): number {
  return percentileOf(waits, share)
}

/**
 * Runs one process of a crowd. A client sends a request when it connects, as a browser does, and then every `everySeconds`. Requests count
 * from the moment `allThere` resolves: then the connections of all processes are open.
 */
async function hold(crowd: Crowd & { first: number }, allThere: () => Promise<void>): Promise<Seen> {
  const { host, port, people, openSeconds, holdSeconds, everySeconds, paths, first } = crowd
  const requests = paths.map((path) => requestOf(path, `${host}:${port}`))
  const next = random(first + 1)
  const none = { opened: 0, refused: 0, closedEarly: 0, asked: 0, failed: 0, generatorCpuSeconds: 0 }
  const seen: Seen = { ...none, waits: new Float64Array(0) }
  const waits: number[] = []
  // All clients have the same interval, so the first client of each queue is due next.
  const [second, later] = [new Queue(), new Queue()]
  let [tried, answered, isThere, isHeld, isOver] = [0, 0, false, false, false]
  let cpu = process.cpuUsage()
  const began = performance.now()
  let until = Number.POSITIVE_INFINITY

  function come(): void {
    let wasOpen = false
    const localAddress = `127.${1 + first}.${1 + Math.floor(tried / mostPerAddress)}.1`
    tried += 1
    const connection = new Connection(
      { host, port, localAddress },
      () => {
        wasOpen = true
        seen.opened += 1
        const now = performance.now() - began
        ask(connection, now)
        second.push({ connection, at: now + everySeconds * 1000 })
      },
      () => {
        if (!wasOpen) seen.refused += 1
        else if (!isOver) seen.closedEarly += 1
      },
    )
  }

  function ask(connection: Connection, at: number): void {
    const counts = isHeld
    if (counts) seen.asked += 1
    const done = (isGood: boolean) => {
      if (isOver || !counts) return
      answered += 1
      if (isGood) waits.push(performance.now() - began - at)
      else seen.failed += 1
    }
    if (!connection.isOpen || connection.isBusy) done(false)
    else connection.ask(requests[Math.floor(next() * requests.length)] as string, (status) => done(status === 200))
  }

  for (let now = 0; now < until; now = performance.now() - began) {
    while (tried < people && now >= (tried / people) * openSeconds * 1000) come()
    if (!isThere && seen.opened + seen.refused === people) {
      isThere = true
      allThere().then(() => {
        isHeld = true
        cpu = process.cpuUsage()
        until = performance.now() - began + holdSeconds * 1000
      })
    }
    for (;;) {
      const queue = second.nextAt <= later.nextAt ? second : later
      if (queue.nextAt > now) break
      const { connection, at } = queue.take()
      ask(connection, at)
      later.push({ connection, at: at + everySeconds * 1000 })
    }
    await wait(1)
  }
  for (let i = 0; i < 100 && answered < seen.asked; i += 1) await wait(50)
  seen.failed += seen.asked - answered
  const used = process.cpuUsage(cpu)
  seen.generatorCpuSeconds = (used.user + used.system) / 1e6
  isOver = true
  for (const { connection } of [...second.rest(), ...later.rest()]) connection.close()
  seen.waits = Float64Array.from(waits)
  return seen
}

interface Due {
  connection: Connection
  at: number
}

/** First in, first out; removes taken items in bulk. */
class Queue {
  #all: Due[] = []
  #first = 0

  push(one: Due): void {
    this.#all.push(one)
  }

  get nextAt(): number {
    return this.#all[this.#first]?.at ?? Number.POSITIVE_INFINITY
  }

  take(): Due {
    const one = this.#all[this.#first] as Due
    this.#first += 1
    if (this.#first > 50_000) {
      this.#all.splice(0, this.#first)
      this.#first = 0
    }
    return one
  }

  rest(): Due[] {
    return this.#all.slice(this.#first)
  }
}

function wait(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

if (import.meta.main) {
  process.once('message', (crowd: Crowd & { first: number }) => {
    const allThere = () => {
      process.send?.('held')
      return new Promise<void>((resolve) => process.once('message', () => resolve()))
    }
    hold(crowd, allThere).then((seen) => process.send?.(seen))
  })
  // The parent process has ended.
  process.once('disconnect', () => process.exit(1))
}
