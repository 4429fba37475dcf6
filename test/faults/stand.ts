import { fileURLToPath } from 'node:url'
import { Redis } from 'ioredis'
import type pg from 'pg'
import { signal } from '../../bench/proc.ts'
import { processes } from '../../bench/processes.ts'
import { startPostgres } from '../../bench/servers/postgres.ts'
import { freePort } from '../../bench/servers/programs.ts'
import { type RedisServer, startRedis } from '../../bench/servers/redis.ts'
import { newFolder } from '../../bench/servers/run-folder.ts'
import { openConnection } from '../../proxy/example/marketplace.ts'
import { type FaultProxy, faultProxy } from '../fault-proxy.ts'

/** A server that can be frozen, killed and started again at the same port, with a proxy before it that can be made to fail. */
export interface Server {
  port: number
  proxy: FaultProxy
  freeze(): void
  thaw(): void
  /** As by kill -9. */
  kill(): Promise<void>
  start(): Promise<void>
}

export interface Stand {
  postgres: Server & {
    /** Ends it as an administrator does. */
    stop(): Promise<void>
    /** A superuser's connection, past the proxy; to be ended by whoever asked for it. */
    superuser(): Promise<pg.Client>
    sql(text: string, values?: unknown[]): Promise<void>
  }
  redis: Server & {
    /** A connection to it, past the proxy; to be ended by whoever asked for it. */
    client(): Redis
    /** One command over one such. */
    command(name: string, ...args: string[]): Promise<unknown>
  }
  /** A server that does nothing, and to which nothing happens. */
  idleUrl: string
  /** The configuration of a program that reads from these, and whatever differs from the usual in it. */
  configuration(over?: Partial<StandOptions>): string
  stop(): Promise<void>
}

export interface StandOptions {
  redisTimeout: string
  /** How long an entry past `stale` may still be served if the database fails. */
  staleIfError: string
  statementTimeout: string
  requestTimeout: string
  /** `fresh` of the route `crowd`, which is not kept any longer. */
  crowdFresh: string
}

/** The most a request waits for Redis, in milliseconds: long beside the hiccups of a busy machine. */
export const redisDeadlineMs = 250

/** Starts a small PostgreSQL and a Redis of the caller's own. */
export async function startStand(): Promise<Stand> {
  const [postgres, redis, idle] = await Promise.all([
    startPostgresServer(),
    startRedisServer(),
    processes().node('./servers/upstream.ts'),
  ])
  return {
    postgres,
    redis,
    idleUrl: idle.url,
    configuration: (over = {}) => configuration(redis.proxy.port, postgres.proxy.port, over),
    async stop() {
      postgres.proxy.close()
      redis.proxy.close()
      await idle.stop()
      await redis.kill()
      await postgres.kill()
    },
  }
}

async function startPostgresServer() {
  const dataDir = newFolder('faults')
  const startServer = () =>
    startPostgres({
      dataDir,
      marketplaceDir: fileURLToPath(new URL('database', import.meta.url)),
      settings: ['max_connections = 50', 'superuser_reserved_connections = 5', 'shared_buffers = 32MB', 'fsync = off'],
    })
  let running = await startServer()
  const { port } = running
  const superuser = () => openConnection(running.superuserUrl)
  return {
    port,
    proxy: await faultProxy({ host: '127.0.0.1', port }),
    freeze: () => running.freeze(),
    thaw: () => running.thaw(),
    kill: () => running.kill(),
    async start() {
      running = await startServer()
      if (running.port !== port) throw new Error(`PostgreSQL came back on port ${running.port} instead of ${port}.`)
    },
    stop: () => running.stop(),
    superuser,
    async sql(text: string, values?: unknown[]) {
      const client = await superuser()
      await client.query(text, values)
      await client.end()
    },
  }
}

async function startRedisServer() {
  const port = await freePort()
  let running: RedisServer
  const start = async () => {
    running = await startRedis([], port)
  }
  const client = () => {
    const one = new Redis(port, '127.0.0.1', { maxRetriesPerRequest: 1 })
    return one.on('error', () => {}) // its command rejects with it
  }
  await start()
  return {
    port,
    proxy: await faultProxy({ host: '127.0.0.1', port }),
    freeze: () => signal([running.pid], 'SIGSTOP'),
    thaw: () => signal([running.pid], 'SIGCONT'),
    kill: () => running.stop(),
    start,
    client,
    async command(name: string, ...args: string[]) {
      const one = client()
      try {
        return await one.call(name, ...args)
      } finally {
        one.disconnect()
      }
    },
  }
}

function configuration(redisPort: number, postgresPort: number, over: Partial<StandOptions>): string {
  const { redisTimeout = `${redisDeadlineMs}ms`, statementTimeout = '750ms', requestTimeout = '3s' } = over
  const { staleIfError = '1d', crowdFresh = '1m' } = over
  const route = (name: string, table: string, lifetime: string, ifError = staleIfError) => `
  ${name}:
    path: /${name}/:id
    parameters: { id: { type: integer } }
    sql: select cast(:id as int) as id, text from ${table} where id = cast(:id as int) % 1000 and is_well()
    returns: row
    lifetime: { ${lifetime}, staleIfError: ${ifError} }`
  return `
listen: { port: 0 }
admin: { port: 0 }
redis: { url: "redis://127.0.0.1:${redisPort}", timeout: ${redisTimeout} }
postgres: { url: "postgres://onramp@127.0.0.1:${postgresPort}/marketplace", statementTimeout: ${statementTimeout} }
request: { timeout: ${requestTimeout} }
routes:${route('fresh', 'items', 'fresh: 1h, stale: 0s')}${route('stale', 'items', 'fresh: 200ms, stale: 1h')}${route('old', 'items', 'fresh: 200ms, stale: 0s')}${route('cold', 'items', 'fresh: 1h, stale: 0s')}${route('other', 'others', 'fresh: 1h, stale: 0s')}${route('crowd', 'items', `fresh: ${crowdFresh}, stale: 0s`, '0s')}
`
}
