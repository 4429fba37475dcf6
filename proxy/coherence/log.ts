// The invalidation log: a Redis stream of chained events, or a log of this process only.
import { createHash, randomUUID } from 'node:crypto'
import type { Cluster, Redis } from 'ioredis'
import { quote } from '../errors.ts'
import { type Cause, causes } from '../observation.ts'
import type { Event, Invalidation, Position } from './ledger.ts'

type RedisClient = Redis | Cluster

/**
 * The last position of the log, and the last beat of the process that follows the database for all: it changes at least
 * each second.
 */
export interface LogHead extends Position {
  beat: string | undefined
}

/** The invalidation log: append-only, its events chained, the same for every process. Every method rejects if it is unreachable. */
export interface Log {
  /** Whether other processes read and write it too. */
  readonly isShared: boolean
  /** Whether there is a connection. Without one, no method need be tried. */
  readonly isReachable: boolean
  /** Appends one event. All transactions that `invalidation` stands for must be visible by now. */
  append(invalidation: Invalidation): Promise<Event>
  /** The last position; undefined if there is no log yet. */
  head(): Promise<LogHead | undefined>
  /** The events after `pos`, oldest first. Trimmed events are missing at the front. */
  read(pos: number): Promise<Event[]>
  /** The same, but waits up to a second for the first event. */
  next(pos: number): Promise<Event[]>
  /** Tells all processes that the database is being followed. */
  beat(): Promise<void>
  /** Calls `reconnected` on each new connection: earlier knowledge of the server may no longer hold. */
  onReconnect(reconnected: () => void): void
  close(): void
}

/** Events kept in the log. A starting process reads all of them (10,000 take 0.15 s), and they take memory in Redis. */
const keptEvents = 10_000
/** Most events in one reply; the rest needs another read. */
const atOnce = 1000

/**
 * One script on keys of one slot, so that it works the same on a single Redis, behind Sentinel and in a Cluster.
 *
 * Two chains are never mixed. If the head is gone, a new chain starts and the stream is deleted. If the stream rejects
 * the next position, the stream and the head do not belong together, and the stream is deleted.
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

/** Writes a beat only if there is a log: else the beat would make a head without a position. */
const beat = `if redis.call('exists', KEYS[1]) == 1 then redis.call('hset', KEYS[1], 'beat', ARGV[1]) end`

/** The log in Redis: a stream and its head, without a time to live. `client` must be quick or fail; `waiting` may block. */
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
  new Error(`Redis sent a malformed reply for the invalidation log: ${quote(reply)}`)

/** The position of an appended event. */
function placeOf(reply: unknown): Pick<Event, 'pos' | 'id' | 'prev'> {
  const [pos, id, prev]: unknown[] = Array.isArray(reply) ? reply : []
  if (!Number.isSafeInteger(pos) || typeof pos !== 'number' || typeof id !== 'string' || typeof prev !== 'string')
    throw malformed(reply)
  return { pos, id, prev }
}

/**
 * The events of a stream's entries. An event that cannot be read is left out: the event after it then does not
 * continue the chain, which is a gap.
 */
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

/** An entry of a stream: its id (a position and a number), and its fields and values in turn. */
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
