import { Redis } from 'ioredis'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, expect, inject, test } from 'vitest'
import { type RedisServer, startRedis } from '../bench/servers/redis.ts'
import { until } from '../bench/until.ts'
import { programs, type Serving } from './program.ts'

/*
 * A thousand clients of four processes request one key: the statements as PostgreSQL itself counts them.
 */

interface Ready {
  redis: { connected: boolean }
}

const superuser = new pg.Client({ connectionString: inject('superuserUrl') })
beforeAll(async () => {
  await superuser.connect()
  await superuser.query('create extension if not exists pg_stat_statements')
})
afterAll(() => superuser.end())

const { configuration, ready } = programs('stampede')
let redis: RedisServer
let started: Serving[] = []
beforeEach(async () => {
  redis = await startRedis()
})
afterEach(() => redis.stop())

/** Starts separate processes: within one, all would be overloaded at once, and Redis would seem slow to each. */
async function start(processes: number, fresh = '1m'): Promise<void> {
  const sql = new URL('../config/marketplace/queries/national-benchmark.sql', import.meta.url).pathname
  const file = configuration(
    'stampede.yaml',
    `
listen: { port: 0 }
admin: { port: 0 }
# Long enough for a slow machine: a process that gives up on Redis sends a statement of its own, which is another test.
redis: { url: "${redis.url}", timeout: 10s }
request: { timeout: 30s }
postgres: { url: "${inject('databaseUrl')}", statementTimeout: 20s }
routes:
  national-benchmark:
    path: /api/benchmarks
    parameters: { age: { type: integer }, year: { type: integer, default: 2014 } }
    sql: { file: ${sql} }
    lifetime: { fresh: ${fresh}, stale: 0s, staleIfError: 0s }
`,
  )
  started = await Promise.all(Array.from({ length: processes }, () => ready(['--config', file])))
}

/** Resolves to how often the slow statement of national benchmarks was run, by pg_stat_statements. */
async function asked(): Promise<number> {
  const { rows } = await superuser.query(
    `select coalesce(sum(calls), 0)::int as n from pg_stat_statements where query like '%onramp_answer%' and query like '%rating_areas%'`,
  )
  return rows[0].n
}
const path = (age: number) => `/api/benchmarks?age=${age}`

/** Sends a thousand requests at once, spread over the processes. Resolves to the statuses. */
async function crowd(target: string): Promise<Set<number>> {
  const answers = await Promise.all(
    Array.from({ length: 1000 }, async (_, i) => {
      const response = await fetch((started[i % started.length] as Serving).url + target)
      await response.text()
      return response.status
    }),
  )
  return new Set(answers)
}

test('a new key costs one statement, and every client gets its answer', async () => {
  await start(4)
  const before = await asked()
  expect(await crowd(path(31))).toEqual(new Set([200]))
  expect((await asked()) - before).toBe(1)
})

test('an expired key costs one more statement', async () => {
  await start(4, '1500ms')
  await crowd(path(32))
  const client = new Redis(redis.url)
  await until(() => client.keys('onramp:national-benchmark*'), [])
  client.disconnect()
  const before = await asked()
  expect(await crowd(path(32))).toEqual(new Set([200]))
  expect((await asked()) - before).toBe(1)
})

test('a process killed during a fill delays the others until its lease ends, and no request fails', async () => {
  await start(4)
  const client = new Redis(redis.url)
  // The lease of a process that died during the fill.
  await crowd(path(33))
  const [name] = (await client.keys('onramp:national-benchmark*')) as [string]
  const key = name.slice('onramp:'.length).replace('age=33', 'age=34')
  const [pos, id] = await client.hmget('{onramp:log}:head', 'pos', 'id')
  await client.set(`onramp:lease:${key}`, `somebody-dead ${pos} ${id}`, 'PX', 2250)
  client.disconnect()
  const before = await asked()
  expect(await crowd(path(34))).toEqual(new Set([200]))
  expect((await asked()) - before).toBe(1)
})

test('twin: while Redis is down, each process sends at most one statement', async () => {
  await start(4)
  await redis.stop()
  for (const { adminUrl } of started) {
    const isConnected = async () => ((await (await fetch(`${adminUrl}/ready`)).json()) as Ready).redis.connected
    await until(isConnected, false)
  }
  const before = await asked()
  expect(await crowd(path(35))).toEqual(new Set([200]))
  const statements = (await asked()) - before
  expect(statements).toBeGreaterThan(1)
  expect(statements).toBeLessThanOrEqual(4)
})
