// The invalidation log: a stream in Redis, its events chained; or this process's own.
import { createHash, randomUUID } from 'node:crypto'
import type { Cluster, Redis } from 'ioredis'
import { quote } from '../errors.ts'
import { type Cause, causes } from '../observation.ts'
import type { Event, Invalidation, Position } from './ledger.ts'

type RedisClient = Redis | Cluster

/** Where the log stands, and the last sign of whoever follows the database for all: it changes at least each second. */
export interface LogHead extends Position {
  beat: string | undefined
}

/** The invalidation log: append-only, its events chained, the same to everybody. Every method rejects when it cannot be reached. */
export interface Log {
  /** Whether other processes write and read it too. */
  readonly isShared: boolean
  /** Whether there is a connection: without one nothing need be tried. */
  readonly isReachable: boolean
  /** Appends one event; all transactions that `invalidation` speaks of must be visible by now. */
  append(invalidation: Invalidation): Promise<Event>
  /** Where it stands; nothing, where there is no log yet. */
  head(): Promise<LogHead | undefined>
  /** What follows `pos`, the oldest first; what was forgotten is missing at the front. */
  read(pos: number): Promise<Event[]>
  /** The same, but waits up to a second for the first. */
  next(pos: number): Promise<Event[]>
  /** Lets everybody see that the database is followed. */
  beat(): Promise<void>
  /** Calls `reconnected` on each new connection: what was known of the server may not hold any more. */
  onReconnect(reconnected: () => void): void
  close(): void
}

/** What is kept of the log, in events: a process that starts reads all of it (10,000 take 0.15 s), and Redis holds it. */
const keptEvents = 10_000
/** Of events in one answer: more are asked for again. */
const atOnce = 1000

/**
 * One script on keys of one slot, so that it is the same on a single Redis, behind Sentinel and in a Cluster.
 *
 * A head that is gone starts a new chain, and a stream that cannot be continued is older than its head: two chains are never mixed.
 */
const append = `local head = redis.call('hmget', KEYS[1], 'pos', 'id')
if not head[1] then redis.call('del', KEYS[2]) end
local prev = head[2] or ''
local pos = redis.call('hincrby', KEYS[1], 'pos', 1)
local id = string.sub(redis.sha1hex(prev .. '|' .. pos .. '|' .. ARGV[1]), 1, 16)
redis.call('hset', KEYS[1], 'id', id)
local function add()
  return redis.pcall('xadd', KEYS[2], 'maxlen', '~', ARGV[3], pos .. '-1', 'id', id, 'prev', prev, 'event', ARGV[2])
end
if type(add()) == 'table' then
  redis.call('del', KEYS[2])
  add()
end
return {pos, id, prev}`

/** A beat of a log that is not there would make a head without a position. */
const beat = `if redis.call('exists', KEYS[1]) == 1 then redis.call('hset', KEYS[1], 'beat', ARGV[1]) end`

/** The log in Redis: a stream and its head, without a time to live. `client` must be quick or fail; `waiting` may be waited on. */
export function redisLog(client: RedisClient, waiting: RedisClient, keyPrefix: string): Log {
  const head = `{${keyPrefix}log}:head`
  const events = `{${keyPrefix}log}:events`
  const listeners: (() => void)[] = []
  client.on('ready', () => {
    for (const reconnected of listeners) reconnected()
  })
  return {
    isShared: true,
    get isReachable() {
      return client.status === 'ready'
    },
    async append(invalidation) {
      const payload = JSON.stringify(invalidation)
      const reply = await client.eval(append, 2, head, events, randomUUID(), payload, keptEvents)
      return { ...placeOf(reply), ...invalidation }
    },
    async head() {
      const [pos, id, beat] = await client.hmget(head, 'pos', 'id', 'beat')
      if (typeof pos !== 'string' || typeof id !== 'string') return undefined
      if (!Number.isSafeInteger(Number(pos))) throw malformed(pos)
      return { pos: Number(pos), id, beat: beat ?? undefined }
    },
    async read(pos) {
      return eventsOf(await client.xrange(events, `(${pos}-1`, '+', 'COUNT', atOnce))
    },
    async next(pos) {
      const reply = await waiting.xread('COUNT', atOnce, 'BLOCK', 1000, 'STREAMS', events, `${pos}-1`)
      if (reply === null) return []
      const [stream] = reply
      if (stream === undefined) throw malformed(reply)
      return eventsOf(stream[1])
    },
    async beat() {
      await client.eval(beat, 1, head, randomUUID())
    },
    onReconnect: (reconnected) => listeners.push(reconnected),
    close: () => waiting.disconnect(),
  }
}

const malformed = (reply: unknown) =>
  new Error(`Redis has answered for the invalidation log what it should not: ${quote(reply)}`)

/** Where an event was appended. */
function placeOf(reply: unknown): Pick<Event, 'pos' | 'id' | 'prev'> {
  const [pos, id, prev]: unknown[] = Array.isArray(reply) ? reply : []
  if (!Number.isSafeInteger(pos) || typeof pos !== 'number' || typeof id !== 'string' || typeof prev !== 'string')
    throw malformed(reply)
  return { pos, id, prev }
}

/** What a stream holds as events. An odd one is left out: then the next does not continue the chain, and that is a gap. */
function eventsOf(entries: unknown): Event[] {
  if (!Array.isArray(entries)) throw malformed(entries)
  return entries.flatMap((entry: unknown) => {
    if (!isEntry(entry)) throw malformed(entry)
    const [at, [idName, id, prevName, prev, eventName, payload]] = entry
    const isOdd = idName !== 'id' || prevName !== 'prev' || eventName !== 'event'
    if (isOdd || id === undefined || prev === undefined || payload === undefined) return []
    const invalidation = invalidationOf(payload)
    return invalidation === undefined ? [] : [{ pos: Number.parseInt(at, 10), id, prev, ...invalidation }]
  })
}

/** An entry of a stream: its id, which is a position and a number, and its fields and their values by turns. */
function isEntry(entry: unknown): entry is [string, string[]] {
  const [at, fields]: unknown[] = Array.isArray(entry) ? entry : []
  const isPlaced = typeof at === 'string' && /^\d+-\d+$/.test(at)
  return isPlaced && Array.isArray(fields) && fields.every((field) => typeof field === 'string')
}

const isCause = (value: unknown): value is Cause => causes.some((cause) => cause === value)

function invalidationOf(payload: string): Invalidation | undefined {
  let given: unknown
  try {
    given = JSON.parse(payload)
  } catch {
    return undefined
  }
  if (typeof given !== 'object' || given === null) return undefined
  const { tags, soft, cause }: { tags?: unknown; soft?: unknown; cause?: unknown } = given
  const isTagList = Array.isArray(tags) && tags.every((tag) => typeof tag === 'string')
  if (!isTagList || typeof soft !== 'boolean' || !isCause(cause)) return undefined
  return { tags, soft, cause }
}

/** The log of a process that shares nothing. */
export function ownLog(): Log {
  let tail: Position = { pos: 0, id: randomUUID() }
  let beats = 0
  return {
    isShared: false,
    isReachable: true,
    async append(invalidation) {
      const [pos, prev] = [tail.pos + 1, tail.id]
      tail = { pos, id: createHash('sha1').update(`${prev}|${pos}`).digest('hex').slice(0, 16) }
      return { ...tail, prev, ...invalidation }
    },
    head: async () => ({ ...tail, beat: `${beats}` }),
    read: async () => [],
    next: () => new Promise(() => {}),
    beat: async () => {
      beats += 1
    },
    onReconnect() {},
    close() {},
  }
}
