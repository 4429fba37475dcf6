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

/** A server that can be frozen, killed and restarted at the same port, behind a proxy that simulates network faults. */
export interface Server {
  port: number
  proxy: FaultProxy
  freeze(): void
  thaw(): void
  /** With SIGKILL. */
  kill(): Promise<void>
  start(): Promise<void>
}

export interface Stand {
  postgres: Server & {
    /** A regular shutdown, as by an administrator. */
    stop(): Promise<void>
    /** Opens a superuser's connection that bypasses the proxy. The caller closes it. */
    superuser(): Promise<pg.Client>
    sql(text: string, values?: unknown[]): Promise<void>
  }
  redis: Server & {
    /** Opens a connection that bypasses the proxy. The caller closes it. */
    client(): Redis
    /** Runs one command over a connection of its own. */
    command(name: string, ...args: string[]): Promise<unknown>
  }
  /** A server without load or faults: the control of a measurement. */
  idleUrl: string
  /** The configuration of a program that uses these servers; `over` replaces defaults. */
  configuration(over?: Partial<StandOptions>): string
  stop(): Promise<void>
}

export interface StandOptions {
  redisTimeout: string
  /** The `staleIfError` of the routes. */
  staleIfError: string
  statementTimeout: string
  requestTimeout: string
  /** The `fresh` of the route `crowd`, whose entries are neither stale nor fallbacks after it. */
  crowdFresh: string
}

/** The most a request waits for Redis, in milliseconds: longer than the pauses of a slow machine. */
export const redisDeadlineMs = 250

/** Starts a small PostgreSQL and a Redis for the caller alone. */
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
    return one.on('error', () => {}) // the command rejects with the same error
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
