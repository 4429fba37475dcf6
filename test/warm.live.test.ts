import pg from 'pg'
import { afterEach, describe, expect, inject, test } from 'vitest'
import { until } from '../bench/until.ts'
import type { Config } from '../proxy/config/schema.ts'
import { Refusal } from '../proxy/errors.ts'
import { type Running, startApp } from './live.ts'

/*
 * Warm-up: a process starts with the entries that an earlier process left in Redis.
 */

const list: Config['warm'] = [
  'states',
  { route: 'county', params: { fips: '51059' } },
  { route: 'plan-search', params: { county: '51059', ages: [34, 32, 5], metal: 'Silver' } },
]
const paths = ['/api/states', '/api/counties/51059', '/api/plans/search?county=51059&ages=5,32,34&metal=Silver']

const running: Running[] = []
afterEach(async () => {
  await Promise.all(running.splice(0).map((app) => app.stop()))
})

let prefix = 0
async function start(warm: Config['warm'], change = (config: Config) => config): Promise<Running> {
  const app = await startApp(inject('databaseUrl'), { REDIS_URL: inject('redisUrl') }, (config) => ({
    ...change(config),
    warm,
    redis: { ...config.redis, keyPrefix: `warm${prefix}:`, timeout: 1000 },
  }))
  running.push(app)
  return app
}

const isReady = async (app: Running) => (await app.admin('/ready')).status === 200
const untilReady = (app: Running) => until(() => isReady(app))

const queries = async (app: Running) =>
  ((await app.admin('/stats')).json() as { total: { queries: number } }).total.queries

/** Resolves to the source of each answer. */
const sources = (app: Running) =>
  Promise.all(paths.map(async (path) => /detail=(.*)/.exec((await app.get(path)).cacheStatus ?? '')?.[1]))

/** Adds a route whose statement waits for a lock, which `holder` has. */
async function withHeldRoute() {
  const holder = new pg.Client({ connectionString: inject('superuserUrl') })
  await holder.connect()
  await holder.query(`create or replace function read_when_allowed() returns int language plpgsql stable
    as 'begin perform pg_advisory_xact_lock_shared(4711); return 1; end'`)
  await holder.query('select pg_advisory_lock(4711)')
  const held = (config: Config): Config => {
    const states = config.routes.find(({ name }) => name === 'states') as Config['routes'][number]
    const route = { ...states, name: 'held', path: '/held', sql: 'select read_when_allowed() as n' }
    const postgres = { ...config.postgres, statementTimeout: 9000 }
    return { ...config, postgres, request: { ...config.request, timeout: 10_000 }, routes: [...config.routes, route] }
  }
  return { holder, held }
}

async function waitingForLock(holder: pg.Client): Promise<boolean> {
  const { rows } = await holder.query(
    `select from pg_locks where locktype = 'advisory' and objid = 4711 and not granted`,
  )
  return rows.length > 0
}

describe('a process with a warm-up list', () => {
  test('reads it from the database; a later process reads it from Redis, without any statement', async () => {
    prefix += 1
    const first = await start(list)
    await untilReady(first)
    expect([await queries(first), await sources(first)]).toEqual([3, ['memory', 'memory', 'memory']])
    const second = await start(list)
    await untilReady(second)
    expect([await sources(second), await queries(second)]).toEqual([['memory', 'memory', 'memory'], 0])
    const twin = await start([])
    expect(await isReady(twin)).toBe(true)
    expect(await sources(twin)).toEqual(['redis', 'redis', 'redis'])
  })

  test('is not ready before it has read the list', async () => {
    prefix += 1
    const { holder, held } = await withHeldRoute()
    const app = await start([...list, 'held'], held)
    await until(() => sources(app), ['memory', 'memory', 'memory'])
    const answer = await app.admin('/ready')
    expect([answer.status, answer.json()]).toMatchObject([
      503,
      { detail: 'The process is reading the entries listed in warm; it is ready after that, within ten seconds.' },
    ])
    await holder.query('select pg_advisory_unlock(4711)')
    await untilReady(app)
    expect((await app.get('/held')).cacheStatus).toContain('detail=memory')
    await holder.query('drop function read_when_allowed')
    await holder.end()
  })

  test('stopped during the warm-up, waits for the statement, and keeps its answer in Redis', async () => {
    prefix += 1
    const { holder, held } = await withHeldRoute()
    const app = await start(['held'], held)
    await until(() => waitingForLock(holder))
    const stopped = app.stop()
    await holder.query('select pg_advisory_unlock(4711)')
    await stopped
    const next = await start([], held)
    expect((await next.get('/held')).cacheStatus).toContain('detail=redis')
    await holder.query('drop function read_when_allowed')
    await holder.end()
  })

  test('does not start if the parameters do not fit their route', async () => {
    const wrong: Config['warm'] = [{ route: 'county', params: { fips: 'x' } }, 'county']
    await expect(start(wrong)).rejects.toThrow(Refusal)
    await expect(start(wrong)).rejects.toThrow(
      /warm: of route county, fips .*\nwarm: of route county, fips is required\./,
    )
  })
})
