// The Redis tier and its connection.
import { Cluster, Redis, type RedisOptions } from 'ioredis'
import type { Clock } from '../clock.ts'
import type { Position } from '../coherence/ledger.ts'
import type { Observe } from '../observation.ts'
import { decodeEntry, encodeEntry } from './entry-encoding.ts'
import { RedisTime } from './redis-time.ts'
import type { Tier } from './tier.ts'

export type RedisClient = Redis | Cluster

/**
 * A Redis connection for commands that must be quick or fail. It never throws and never queues. While it is down,
 * commands are refused at once; if the server freezes, `socketTimeout` ends the connection. It reconnects by itself,
 * forever.
 *
 * With the defaults of ioredis, a command to a stopped server still waits after eight seconds.
 */
export class RedisConnection {
  readonly client: RedisClient
  readonly #url: string
  #isReady = false
  /** Each failed attempt emits an error; one fact for the loss is enough. */
  #isLost = false
  #isLeaving = false
  #lastError: unknown

  constructor(url: string, observe: Observe) {
    this.#url = url
    this.client = open(url, {
      // For commands outside `fail-open`, whose limit is stricter but does not blame the server when this process was late.
      commandTimeout: 1000,
      socketTimeout: 1000,
      enableAutoPipelining: true,
      connectionName: 'onramp',
      reconnectOnError: (error) => this.#leaves(error),
    })
    this.client.on('ready', () => {
      this.#isReady = true
      this.#isLeaving = false
      this.#lastError = undefined
      observe({ kind: 'redis-connection', state: 'ready' })
    })
    this.client.on('error', (error) => {
      this.#lastError = error
      if (!this.#isReady && !this.#isLost) observe({ kind: 'redis-connection', state: 'lost', error })
      this.#isLost = !this.#isReady
    })
    this.client.on('close', () => {
      const error = this.#lastError ?? new Error('the server closed the connection')
      if (this.#isReady) observe({ kind: 'redis-connection', state: 'lost', error })
      this.#isLost = this.#isReady || this.#isLost
      this.#isReady = false
    })
  }

  get isConnected(): boolean {
    return this.#isReady
  }

  /**
   * A master that became a replica in a failover: only a new connection finds the new master. One reconnect is enough,
   * whatever else was under way on the connection.
   */
  #leaves(error: Error): boolean {
    if (this.#isLeaving || !error.message.startsWith('READONLY')) return false
    this.#isLeaving = true
    this.#lastError = error
    return true
  }

  /** Another connection, for commands that block: it limits silence (`blockingTimeout`), not the time of one command. */
  waiting(): RedisClient {
    const other = open(this.#url, { blockingTimeout: 2000, connectionName: 'onramp-log' })
    other.on('error', () => {}) // the command under way rejects, and the loss is observed on the other connection
    return other
  }

  close(): void {
    this.#isReady = false // closed on purpose, which is no loss
    this.client.disconnect()
  }
}

/**
 * Opens the servers of `url`: one server (`redis://`, `rediss://`), a Cluster by some of its nodes
 * (`redis+cluster://a:6379,b:6379`), or the master that Sentinels name (`redis+sentinel://a:26379,b:26379/mymaster`).
 * User and password come before the first host.
 */
function open(url: string, options: Options): RedisClient {
  const common = {
    connectTimeout: 500,
    maxRetriesPerRequest: 0,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    keepAlive: 5000,
    retryStrategy: again,
    ...options,
  }
  const several = /^redis\+(cluster|sentinel):\/\/(?:([^:@/]*)(?::([^@/]*))?@)?([^/]+)(?:\/(.*))?$/.exec(url)
  if (several === null) return new Redis(url, common)
  const [, kind, username, password, hosts = '', name] = several
  const nodes = hosts.split(',').map((host) => {
    const { hostname, port } = new URL(`redis://${host}`)
    return { host: hostname, port: Number(port) || (kind === 'cluster' ? 6379 : 26_379) }
  })
  const login = {
    ...(username && { username: decodeURIComponent(username) }),
    ...(password && { password: decodeURIComponent(password) }),
  }
  if (kind === 'sentinel')
    return new Redis({ ...common, ...login, sentinels: nodes, name: name ?? 'mymaster', sentinelRetryStrategy: again })
  return new Cluster(nodes, {
    // A Cluster takes these here. It repeats a command only after a redirection.
    enableOfflineQueue: false,
    enableAutoPipelining: options.enableAutoPipelining ?? false,
    retryDelayOnFailover: 0,
    retryDelayOnClusterDown: 0,
    clusterRetryStrategy: again,
    slotsRefreshTimeout: 1000,
    redisOptions: { ...common, ...login },
  })
}

type Options = Pick<
  RedisOptions,
  | 'commandTimeout'
  | 'socketTimeout'
  | 'blockingTimeout'
  | 'enableAutoPipelining'
  | 'connectionName'
  | 'reconnectOnError'
>

const again = (attempt: number) => Math.min(50 * 2 ** attempt, 1000)

/** Waits until `client` is ready, at most `ms`. Resolves to whether it is. */
export async function untilReady(client: RedisClient, clock: Clock, ms = 1000): Promise<boolean> {
  if (client.status === 'ready') return true
  return new Promise((resolve) => {
    const cancel = clock.after(ms, () => resolve(false))
    client.once('ready', () => {
      cancel()
      resolve(true)
    })
  })
}

/** Warnings about the eviction policy, in sentences: the invalidation log has no lifetime, and must not be evicted. */
export async function evictionFaults(redis: RedisConnection | undefined): Promise<string[]> {
  if (!redis?.isConnected) return []
  const memory = await redis.client.info('memory').catch(() => '') // INFO is not permitted: nothing is known
  const [limit, policy] = ['maxmemory', 'maxmemory_policy'].map(
    (name) => new RegExp(`^${name}:(\\S+)`, 'm').exec(memory)?.[1],
  )
  if (limit === undefined || limit === '0' || !policy?.startsWith('allkeys-')) return []
  return [
    `Redis may evict the invalidation log (maxmemory-policy ${policy}), and then no entry in Redis can be used. Set a volatile-* policy.`,
  ]
}

/** The names of the tier, also without Redis, so that counts by source have the same names everywhere. */
export const redisTierNames = { name: 'redis', label: 'Redis' } as const

/** Longest wait, in milliseconds, until this process has applied the log position of an entry that another process wrote. */
const catchUpMs = 20

/**
 * The Redis tier: one self-describing value a key. The value says when it was read, on the clock of Redis; its time to
 * live only makes room. A command that Redis takes late, or answers late, makes no entry younger.
 *
 * No value is trusted: one that is not exactly what {@link encodeEntry} wrote for this key is observed, and is a miss.
 * An entry whose stamp names no prefix of the log is not written: no process could verify it later.
 *
 * `sharing.isShared` says whether the tier may be used at all. `sharing.reached` waits a moment until this process has
 * applied the log position of an entry: only then can the entry be judged.
 */
export function redisTier(
  client: RedisClient,
  keyPrefix: string,
  sharing: { isShared: boolean; reached(position: Position, ms: number): Promise<boolean> },
  clock: Clock,
  observe: Observe,
): Tier {
  const time = new RedisTime(client, clock)
  return {
    ...redisTierNames,
    get isUsable() {
      return sharing.isShared
    },
    async get(key) {
      const [ahead, value] = await Promise.all([time.ahead(), client.getBuffer(keyPrefix + key)])
      if (value === null) return undefined
      const entry = decodeEntry(key, value, ahead, clock.now())
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
      if (entry.stamp.pos < 0 || leftMs < 1) return false
      await client.set(keyPrefix + key, encodeEntry(key, entry, await time.ahead()), 'PX', leftMs)
      return true
    },
  }
}
