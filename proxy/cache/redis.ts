// The shared tier, and the connection it needs.
import { Cluster, Redis, type RedisOptions } from 'ioredis'
import type { Clock } from '../clock.ts'
import type { Position } from '../coherence/ledger.ts'
import type { Observe } from '../observation.ts'
import { decodeEntry, encodeEntry } from './entry-encoding.ts'
import { RedisTime } from './redis-time.ts'
import type { Tier } from './tier.ts'

export type RedisClient = Redis | Cluster

/**
 * A connection for commands that must be quick or fail. Never throws and never queues: while it is down, commands are
 * refused at once; while the server is frozen, `socketTimeout` ends the connection. It reconnects by itself, for ever.
 *
 * With ioredis' defaults a command against a stopped server is still waiting after eight seconds.
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
      // For what is not under `fail-open`, which is stricter but knows when it was this process that was late.
      commandTimeout: 1000,
      socketTimeout: 1000,
      enableAutoPipelining: true,
      connectionName: 'onramp',
      reconnectOnError: (error) => this.#leaves(error),
    })
    this.client.on('ready', () => {
      this.#isReady = true
      this.#isLeaving = false
      observe({ kind: 'redis-connection', state: 'ready' })
    })
    this.client.on('error', (error) => {
      this.#lastError = error
      if (!this.#isReady && !this.#isLost) observe({ kind: 'redis-connection', state: 'lost', error })
      this.#isLost = !this.#isReady
    })
    this.client.on('close', () => {
      if (this.#isReady) observe({ kind: 'redis-connection', state: 'lost', error: this.#lastError })
      this.#isLost = this.#isReady || this.#isLost
      this.#isReady = false
    })
  }

  get isConnected(): boolean {
    return this.#isReady
  }

  /**
   * A replica that was a master until a failover: only a new connection finds the new master. Once a connection is enough,
   * whatever else was under way on it.
   */
  #leaves(error: Error): boolean {
    if (this.#isLeaving || !error.message.startsWith('READONLY')) return false
    this.#isLeaving = true
    this.#lastError = error
    return true
  }

  /** Another connection, to wait on: it has no limit for one command, but one for silence. */
  waiting(): RedisClient {
    const other = open(this.#url, { blockingTimeout: 2000, connectionName: 'onramp-log' })
    other.on('error', () => {}) // the command under way rejects, and the loss is observed on the other connection
    return other
  }

  close(): void {
    this.#isReady = false // nothing is lost that was given up
    this.client.disconnect()
  }
}

/**
 * Opens what `url` says: one server (`redis://`, `rediss://`), a Cluster by some of its nodes (`redis+cluster://a:6379,b:6379`), or the
 * master that Sentinels name (`redis+sentinel://a:26379,b:26379/mymaster`). User and password go before the first host.
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
    // In a Cluster these belong here, and a command is tried again only where it was redirected.
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

/** Waits until `client` can be used, at most `ms`. Resolves to whether it can. */
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

/** What is wrong with how the server makes room, in sentences: the invalidation log has no lifetime, and must not be dropped. */
export async function evictionFaults(redis: RedisConnection | undefined): Promise<string[]> {
  if (!redis?.isConnected) return []
  const memory = await redis.client.info('memory').catch(() => '') // not allowed to ask: then nothing is known
  const [limit, policy] = ['maxmemory', 'maxmemory_policy'].map(
    (name) => new RegExp(`^${name}:(\\S+)`, 'm').exec(memory)?.[1],
  )
  if (limit === undefined || limit === '0' || !policy?.startsWith('allkeys-')) return []
  return [
    `Redis may drop the invalidation log for room (maxmemory-policy ${policy}): each time costs all that is kept there. Set a volatile-* policy.`,
  ]
}

/** What the tier is called; without Redis too, so that what is counted by source has the same names everywhere. */
export const redisTierNames = { name: 'redis', label: 'Redis' } as const

/** The most a reader waits for this process to have applied what whoever wrote an entry had. */
const catchUpMs = 20

/**
 * The shared tier: one self-describing value a key. It says when it was read, on the clock of Redis; the lifetime Redis counts down is only to
 * make room. A command that Redis takes late, or answers late, makes no entry younger.
 *
 * Nothing it returns is trusted: a value that is not exactly what {@link encodeEntry} wrote for this key is observed and is a
 * miss. An entry whose stamp names no prefix of the log cannot be verified by anyone later, so it is not sent.
 *
 * `sharing.isShared` says whether the tier may be used at all; `sharing.reached` waits a moment for a prefix of the log that whoever wrote an
 * entry had applied and we have not: only then can the entry be judged.
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
    async get(key) {
      if (!sharing.isShared) return undefined
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
      if (!sharing.isShared || entry.stamp.pos < 0 || leftMs < 1) return false
      await client.set(keyPrefix + key, encodeEntry(key, entry, await time.ahead()), 'PX', leftMs)
      return true
    },
  }
}
