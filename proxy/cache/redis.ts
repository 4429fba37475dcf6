import { Redis } from 'ioredis'
import type { Clock } from '../clock.ts'
import type { Position } from '../coherence/ledger.ts'
import type { Observe } from '../observation.ts'
import { decodeEntry, encodeEntry } from './entry.ts'
import type { Tier } from './tier.ts'

export interface RedisConnection {
  client: Redis
  close(): void
}

/**
 * A connection for commands that must be quick or fail. Never throws and never queues: while it is down, commands are
 * refused at once; while the server is frozen, `socketTimeout` ends the connection. It reconnects by itself, for ever.
 *
 * With ioredis' defaults a command against a stopped server is still waiting after eight seconds.
 */
export function connectRedis(url: string, timeoutMs: number, observe: Observe): RedisConnection {
  const client = new Redis(url, {
    connectTimeout: 500,
    // For what is not under `fail-open`, which is stricter but knows when it was this process that was late.
    commandTimeout: timeoutMs * 2,
    socketTimeout: 1000,
    maxRetriesPerRequest: 0,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    keepAlive: 5000,
    enableAutoPipelining: true,
    connectionName: 'onramp',
    retryStrategy: (attempt) => Math.min(50 * 2 ** attempt, 1000),
    // A replica that was a master until a failover: only a new connection finds the new master.
    reconnectOnError: (error) => error.message.startsWith('READONLY'),
  })
  let isReady = false
  client.on('ready', () => {
    isReady = true
    observe({ kind: 'redis-connection', state: 'ready' })
  })
  // Each failed attempt emits an error; one fact for the loss is enough.
  let lastError: unknown
  let isLost = false
  client.on('error', (error) => {
    lastError = error
    if (!isReady && !isLost) observe({ kind: 'redis-connection', state: 'lost', error })
    isLost = !isReady
  })
  client.on('close', () => {
    if (isReady) observe({ kind: 'redis-connection', state: 'lost', error: lastError })
    isLost = isReady || isLost
    isReady = false
  })
  const close = () => {
    isReady = false // nothing is lost that was given up
    client.disconnect()
  }
  return { client, close }
}

/** Waits until `client` can be used, at most `ms`. Resolves to whether it can. */
export function untilReady(client: Redis, clock: Clock, ms: number): Promise<boolean> {
  return new Promise((resolve) => {
    const cancel = clock.after(ms, () => resolve(false))
    client.once('ready', () => {
      cancel()
      resolve(true)
    })
  })
}

/** The most a reader waits for this process to have applied what whoever wrote an entry had. */
const catchUpMs = 20

/**
 * The shared tier: one self-describing value a key, with the lifetime Redis counts down.
 *
 * Nothing it returns is trusted: a value that is not exactly what {@link encodeEntry} wrote for this key is observed and is a
 * miss. An entry whose stamp names no prefix of the log cannot be verified by anyone later, so it is not sent.
 *
 * `sharing.isShared` says whether the tier may be used at all; `sharing.reached` waits a moment for a prefix of the log that whoever wrote an
 * entry had applied and we have not: only then can the entry be judged.
 */
export function redisTier(
  client: Redis,
  keyPrefix: string,
  sharing: { isShared: boolean; reached(position: Position, ms: number): Promise<boolean> },
  clock: Clock,
  observe: Observe,
): Tier {
  return {
    name: 'redis',
    async get(key) {
      // In one write, but other clients' commands may come between them. The lifetime first: if the value is replaced after
      // it was told, the new one looks older than it is, never younger.
      if (!sharing.isShared) return undefined
      const [leftMs, value] = await Promise.all([client.pttl(keyPrefix + key), client.getBuffer(keyPrefix + key)])
      if (value === null || leftMs === -2) return undefined
      const entry = decodeEntry(key, value, leftMs, clock.now())
      if (typeof entry !== 'string') {
        await sharing.reached(entry.stamp, catchUpMs)
        return sharing.isShared ? entry : undefined
      }
      observe({ kind: 'tier-error', tier: 'redis', operation: 'get', reason: entry })
      return undefined
    },
    async set(key, entry, keepMs) {
      const ageMs = Math.max(0, Math.ceil(clock.now() - entry.readAt))
      const leftMs = Math.floor(keepMs) - ageMs
      if (!sharing.isShared || entry.stamp.pos < 0 || leftMs < 1) return false
      await client.set(keyPrefix + key, encodeEntry(key, entry, ageMs, leftMs), 'PX', leftMs)
      return true
    },
  }
}
