import { once } from 'node:events'
import { type IncomingHttpHeaders, type IncomingMessage, request, type Server } from 'node:http'
import { duplexPair } from 'node:stream'
import { text } from 'node:stream/consumers'
import { type Entry, etagOf, ownBytes } from '../proxy/cache/entry.ts'
import type { Clock } from '../proxy/clock.ts'
import type { Event, Invalidation, Position } from '../proxy/coherence/ledger.ts'
import type { Observation, Observe } from '../proxy/observation.ts'

/** A gate that a test waits for, or holds closed: `opened` resolves once `open` is called. */
export function gate(): { opened: Promise<void>; open: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>()
  return { opened: promise, open: resolve }
}

/** A clock that moves only when the test moves it. Timers fire in order as it passes them. */
export class ManualClock implements Clock {
  #now: number
  #timers: { at: number; run: () => void }[] = []

  constructor(now = 1_000_000) {
    this.#now = now
  }

  now(): number {
    return this.#now
  }

  after(ms: number, run: () => void): () => void {
    const timer = { at: this.#now + ms, run }
    this.#timers.push(timer)
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer)
    }
  }

  pass(ms: number): void {
    const until = this.#now + ms
    for (;;) {
      const next = this.#timers.filter(({ at }) => at <= until).sort((a, b) => a.at - b.at)[0]
      if (next === undefined) break
      this.#timers = this.#timers.filter((other) => other !== next)
      this.#now = Math.max(this.#now, next.at)
      next.run()
    }
    this.#now = until
  }

  get timers(): number {
    return this.#timers.length
  }
}

/** An entry of `body`, read at the start of the clock by default. */
export function entryOf(body: string | Buffer, over: Partial<Entry> = {}): Entry {
  const bytes = typeof body === 'string' ? ownBytes(body) : body
  const stamp = { seq: 0, pos: 0, id: '' }
  const { readAt = 0 } = over
  const etag = etagOf(bytes)
  return { body: bytes, rows: 1, tags: [], stamp, readAt, readBy: readAt, fillMs: 1, jitter: 0, etag, ...over }
}

/** An observer that records facts. */
export function recorder(): {
  observe: Observe
  facts: Observation[]
  of: (kind: Observation['kind']) => Observation[]
} {
  const facts: Observation[] = []
  return { observe: (fact) => void facts.push(fact), facts, of: (kind) => facts.filter((fact) => fact.kind === kind) }
}

/** Runs everything that is ready: settled promises, their continuations, and the work those start. */
export function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

/** The next event after `position` in the log. */
export function nextEvent(position: Position, invalidation: Invalidation): Event {
  return { pos: position.pos + 1, id: `${position.id}+`, prev: position.id, ...invalidation }
}

export interface Asked {
  method?: string
  url: string
  headers?: Record<string, string>
  payload?: string | Buffer
}

export interface Answered {
  statusCode: number
  headers: IncomingHttpHeaders
  body: string
  json<T = Record<string, unknown>>(): T
}

/**
 * Sends a request to `server`, which does not listen, over an in-memory connection: every part that a client meets is
 * included.
 */
export async function ask(server: Server, asked: string | Asked): Promise<Answered> {
  const { method = 'GET', url, headers, payload } = typeof asked === 'string' ? { url: asked } : asked
  const [client, line] = duplexPair()
  server.emit('connection', line)
  const outgoing = request({
    createConnection: () => client,
    method,
    path: url,
    headers: { host: 'onramp', connection: 'keep-alive', ...headers },
  })
  outgoing.end(payload)
  const [response] = (await once(outgoing, 'response')) as [IncomingMessage]
  const body = await text(response)
  client.destroy()
  return { statusCode: response.statusCode as number, headers: response.headers, body, json: () => JSON.parse(body) }
}
