import { Agent, get } from 'node:http'
import { text } from 'node:stream/consumers'
import { setTimeout as pause } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import type pg from 'pg'

/** The results of all reads so far. */
export interface Found {
  reads: number
  /** A sentence each. */
  violations: string[]
  /** The age of each stale answer: milliseconds from the commit that it lacks to its request. */
  staleMs: number[]
  /** For each commit: milliseconds from it to the last request, at any node, that got an older answer. */
  everywhereMs: number[]
  failed: number
}

interface Event {
  prev: string
  versions: [number, number][]
  /** The URLs of the nodes that have applied it. */
  seenBy: Set<string>
}

interface Node {
  url: string
  adminUrl: string
}

const agent = new Agent({ keepAlive: true, maxSockets: 64 })

/** The number of rows. */
export const rows = 20
/** Concurrent readers of each node. */
const readersEach = 4

/**
 * Checks two promises of the nodes, while writers increment rows and readers read them from every node:
 *
 * 1. No answer is older than an event that its node had applied before the request. Each writer logs the new version as a tag
 *    (`v:ID:N`) in its own transaction, so the position that /ready reports is a set of versions.
 * 2. The answers of a node never go back in version, except fallbacks, which are labelled.
 */
export class Checker {
  readonly #nodes: Map<string, Node>
  readonly #redis: Redis
  readonly #events = new Map<string, Event>()
  /** By node and row: the lowest version that an answer may have. */
  readonly #required = new Map<string, number[]>()
  readonly #seen = new Map<string, number[]>()
  /** By row and version: when the commit was confirmed, by performance.now(). */
  readonly #committedAt: number[][] = Array.from({ length: rows }, () => [])
  #isOver = false
  #work: Promise<unknown>[] = []
  found: Found = nothing()

  constructor(nodes: readonly Node[], redis: Redis) {
    this.#nodes = new Map(nodes.map((node) => [node.url, node]))
    this.#redis = redis
  }

  /** Starts the readers, and writers over connections that `connect` opens. */
  start(connect: () => Promise<pg.Client>, writers = 2): void {
    this.#work = [this.#followLog()]
    for (const url of this.#nodes.keys()) this.watch(url)
    for (let i = 0; i < writers; i += 1) this.#work.push(this.#write(connect, i))
  }

  /** Starts to read from a node; `node` replaces one that was killed. */
  watch(url: string, node = this.#nodes.get(url) as Node): void {
    this.#nodes.set(url, node)
    this.#required.set(url, new Array(rows).fill(0))
    this.#seen.set(url, new Array(rows).fill(-1))
    this.#work.push(this.#poll(url))
    for (let i = 0; i < readersEach; i += 1) this.#work.push(this.#read(url))
  }

  /** Stops reading from a node. */
  leave(url: string): void {
    this.#nodes.delete(url)
  }

  /** Returns the results since the last call. */
  take(): Found {
    const found = this.found
    this.found = nothing()
    for (const times of this.#lastStale.values()) found.everywhereMs.push(times)
    this.#lastStale.clear()
    return found
  }

  async stop(): Promise<void> {
    this.#isOver = true
    await Promise.all(this.#work)
  }

  /** Increments row `id`, and resolves to its new version once that is committed. */
  async write(client: pg.Client, id: number): Promise<number | undefined> {
    await client.query('begin')
    const { rows: changed } = await client.query('update counters set n = n + 1 where id = $1 returning n::int', [id])
    const n = changed[0].n as number
    const message = JSON.stringify({ tags: [`v:${id}:${n}`] })
    await client.query(`select pg_logical_emit_message(true, 'onramp', $1)`, [message])
    await client.query('commit')
    this.committed(id, n)
    return n
  }

  committed(id: number, n: number): void {
    ;(this.#committedAt[id] as number[])[n] = performance.now()
    this.#lastStale.set(`${id}:${n}`, 0)
  }

  readonly #lastStale = new Map<string, number>()

  async #write(connect: () => Promise<pg.Client>, offset: number): Promise<void> {
    let client: pg.Client | undefined
    for (let i = offset; !this.#isOver; i += 7) {
      try {
        client ??= await connect()
        await this.write(client, i % rows)
      } catch {
        // PostgreSQL is down, or has ended the connection. The log says whether the transaction was committed.
        client?.end().catch(() => {})
        client = undefined
      }
      await pause(10) // the pace of the load
    }
    await client?.end()
  }

  async #read(url: string): Promise<void> {
    while (!this.#isOver && this.#nodes.has(url)) {
      const id = Math.floor(Math.random() * rows)
      const required = (this.#required.get(url) as number[])[id] as number
      const seen = this.#seen.get(url) as number[]
      const before = seen[id] as number
      const asked = performance.now()
      const answer = await ask(`${url}/counters/${id}`)
      this.found.reads += 1
      if (answer.status !== 200) {
        this.found.failed += 1
        await pause(5) // the pace of the load, where errors come at once
        continue
      }
      const { n } = JSON.parse(answer.body) as { n: number }
      const isLabelled = /detail=(stale-only|soft-timeout|shed|after-invalidation)/.test(answer.cacheStatus)
      if (n < required && !/after-invalidation/.test(answer.cacheStatus))
        this.#violated(`${url} answered row ${id} with ${n}, though it had applied ${required} (${answer.cacheStatus})`)
      if (n < before && !isLabelled)
        this.#violated(`${url} went back from ${before} to ${n} of row ${id} (${answer.cacheStatus})`)
      seen[id] = Math.max(seen[id] as number, n)
      const nextAt = (this.#committedAt[id] as number[])[n + 1]
      if (nextAt === undefined || nextAt > asked) continue
      this.found.staleMs.push(asked - nextAt)
      this.#lastStale.set(`${id}:${n + 1}`, Math.max(this.#lastStale.get(`${id}:${n + 1}`) ?? 0, asked - nextAt))
    }
  }

  #violated(sentence: string): void {
    if (this.found.violations.length < 20) this.found.violations.push(sentence)
  }

  /** Polls a node for the events that it has applied: from then on its answers must include them. */
  async #poll(url: string): Promise<void> {
    while (!this.#isOver && this.#nodes.has(url)) {
      await pause(20) // the polling interval
      const { adminUrl } = this.#nodes.get(url) ?? {}
      if (adminUrl === undefined) return
      const { body } = await ask(`${adminUrl}/ready`)
      const position = /"position":"\d+:(\w+)"/.exec(body)?.[1]
      let event = position === undefined ? undefined : this.#events.get(position)
      const required = this.#required.get(url) as number[]
      while (event !== undefined && !event.seenBy.has(url)) {
        event.seenBy.add(url)
        for (const [id, n] of event.versions) required[id] = Math.max(required[id] as number, n)
        event = this.#events.get(event.prev)
      }
    }
  }

  async #followLog(): Promise<void> {
    let last = '-'
    while (!this.#isOver) {
      await pause(3) // the polling interval: shorter than that of the nodes, so that their events are known
      try {
        const entries = await this.#redis.xrange('{onramp:log}:events', last, '+')
        for (const [at, fields] of entries) {
          const [, id, , prev, , payload] = fields as [string, string, string, string, string, string]
          last = `(${at}`
          if (this.#events.has(id)) continue
          const { tags } = JSON.parse(payload) as { tags: string[] }
          const versions = tags.flatMap((tag): [number, number][] => {
            const [, row, n] = /^v:(\d+):(\d+)$/.exec(tag) ?? []
            return row === undefined ? [] : [[Number(row), Number(n)]]
          })
          this.#events.set(id, { prev, versions, seenBy: new Set() })
        }
        // A log that has lost its tail, or was deleted, is read from its start.
        const [newest] = await this.#redis.xrevrange('{onramp:log}:events', '+', '-', 'COUNT', 1)
        if (newest !== undefined && last !== `(${newest[0]}`) last = '-'
      } catch {
        last = '-'
      }
    }
  }
}

function nothing(): Found {
  return { reads: 0, violations: [], staleMs: [], everywhereMs: [], failed: 0 }
}

/** Resolves to the response; to status 0 if there is none. */
export function ask(url: string): Promise<{ status: number; body: string; cacheStatus: string }> {
  return new Promise((resolve) => {
    const failed = () => resolve({ status: 0, body: '', cacheStatus: '' })
    const request = get(url, { agent, timeout: 10_000 }, (response) => {
      const { statusCode = 0, headers } = response
      text(response).then(
        (body) => resolve({ status: statusCode, body, cacheStatus: String(headers['cache-status'] ?? '') }),
        failed,
      )
    })
    request.on('error', failed)
    request.on('timeout', () => request.destroy(new Error('timeout')))
  })
}
