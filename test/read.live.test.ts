import { Redis } from 'ioredis'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, inject, test } from 'vitest'
import { until } from '../bench/until.ts'
import type { RouteLifetime } from '../proxy/config/schema.ts'
import { type Running, startApp } from './live.ts'

/*
 * The promises of the README, on real PostgreSQL and real Redis. PostgreSQL counts the statements (pg_stat_statements),
 * never the program.
 */

let owner: pg.Client
let superuser: pg.Client
const running: Running[] = []
const prefixes: string[] = []

beforeAll(async () => {
  owner = new pg.Client({ connectionString: inject('ownerUrl') })
  superuser = new pg.Client({ connectionString: inject('superuserUrl') })
  await Promise.all([owner.connect(), superuser.connect()])
  await superuser.query('create extension if not exists pg_stat_statements')
})
afterAll(() => Promise.all([owner.end(), superuser.end()]))
afterEach(async () => {
  await Promise.all(running.splice(0).map((app) => app.stop()))
  const redis = new Redis(inject('redisUrl'))
  for (const prefix of prefixes.splice(0)) {
    const keys = await redis.keys(`*${prefix}*`)
    if (keys.length > 0) await redis.del(keys)
  }
  redis.disconnect()
})

interface Wanted {
  shared?: string
  lifetime?: Partial<RouteLifetime>
}

/** Starts one onramp; `shared` ones use the same key prefix in Redis. */
async function start({ shared, lifetime }: Wanted = {}): Promise<Running> {
  if (shared !== undefined) prefixes.push(shared)
  const app = await startApp(
    inject('databaseUrl'),
    shared === undefined ? {} : { REDIS_URL: inject('redisUrl') },
    (config) => ({
      ...config,
      redis: { ...config.redis, ...(shared !== undefined && { keyPrefix: `${shared}:` }) },
      routes: config.routes.map((route) => ({ ...route, lifetime: { ...route.lifetime, ...lifetime } })),
    }),
  )
  running.push(app)
  // At its start the program prepares each statement to inspect it; that does not run it.
  await superuser.query('select pg_stat_statements_reset()')
  return app
}

/** The number of times PostgreSQL ran a route's statement, identified by a piece of its text. */
async function statements(piece: string): Promise<number> {
  const { rows } = await superuser.query<{ calls: number }>(
    `select coalesce(sum(calls), 0)::int as calls from pg_stat_statements where query like '%row_to_json(onramp_row)%' and strpos(query, $1) > 0`,
    [piece],
  )
  return rows[0]?.calls as number
}

const planSearch = '/api/plans/search?county=51059&ages=34,32,5'
const inPlanSearch = 'with household as materialized'

/** Keeps `table` locked while `during` runs, so that no statement on it can finish. */
async function whileLocked<T>(table: string, during: () => Promise<T>): Promise<T> {
  await owner.query('begin')
  await owner.query(`lock table ${table} in access exclusive mode`)
  try {
    return await during()
  } finally {
    await owner.query('commit')
  }
}

/** Waits until PostgreSQL reports that `count` statements wait for a lock. */
async function untilWaiting(count: number): Promise<void> {
  const waiting = () =>
    superuser.query(
      `select query from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
    )
  await until(
    async () => (await waiting()).rows,
    (rows) => rows.length >= count,
  )
}

describe('one statement', () => {
  test('for a thousand concurrent requests on a cold key', async () => {
    const app = await start()
    const asking = await whileLocked('plan_county', async () => {
      const asking = Array.from({ length: 1000 }, () => app.get(planSearch))
      await until(async () => collapsed(await app.admin('/stats')), 999)
      return { all: asking }
    })
    const answered = await Promise.all(asking.all)
    expect(new Set(answered.map(({ status, text }) => `${status} ${text}`)).size).toBe(1)
    expect(answered[0]?.status).toBe(200)
    expect(await statements(inPlanSearch)).toBe(1)
  })

  test('for a thousand requests on a stale key, none of which waits', async () => {
    const app = await start({ lifetime: { fresh: 1, stale: 600_000 } })
    await app.get(planSearch)
    await superuser.query('select pg_stat_statements_reset()')
    const answered = await whileLocked('plan_county', async () => {
      const first = await app.get(planSearch)
      await untilWaiting(1)
      return [first, ...(await Promise.all(Array.from({ length: 999 }, () => app.get(planSearch))))]
    })
    for (const { cacheStatus } of answered) expect(cacheStatus).toMatch(/^onramp; hit; ttl=-\d+; detail=memory$/)
    await until(
      () => statements(inPlanSearch),
      (count) => count > 0,
    )
    expect(await statements(inPlanSearch)).toBe(1)
  })

  test('serves GET, HEAD and POST, and every order of the same list', async () => {
    const app = await start()
    const first = await app.get(planSearch)
    const again = [
      await app.get('/api/plans/search?ages=5,34,32&county=51059&utm_source=x&limit=10'),
      await app.post('/api/plans/search', { county: '51059', ages: [32, 34, 5] }),
      await app.post('/api/plans/search?county=99999', { ages: '34,5,32', county: '51059', sort: 'premium', extra: 1 }),
    ]
    for (const { cacheStatus, text } of again) {
      expect(cacheStatus).toContain('hit')
      expect(text).toBe(first.text)
    }
    const head = await fetch(app.url + planSearch, { method: 'HEAD', headers: { 'Accept-Encoding': 'identity' } })
    expect([head.status, head.headers.get('content-length'), await head.text()]).toEqual([
      200,
      String(Buffer.byteLength(first.text)),
      '',
    ])
    expect(await statements(inPlanSearch)).toBe(1)
  })
})

function collapsed(stats: { json(): unknown }): number {
  return (stats.json() as { total: { collapsed: number } }).total.collapsed
}

describe('a changed row', () => {
  const rename = (name: string) =>
    owner.query(`update counties set county_name = $1 where county_fips = '51059'`, [name])
  const nameIn = (answer: { json(): unknown }) => (answer.json() as { county_name: string }).county_name
  afterEach(() => rename('Fairfax County'))

  test.each([
    ['its tag', { tags: ['county:51059'] }],
    ['its table', { tags: ['table:counties'] }],
    ['its route', { route: 'county' }],
    ['its key', { route: 'county', params: { fips: '51059' } }],
    ['everything', { all: true }],
  ])('is visible to the next request once %s is purged, with Redis and without', async (_what, purge) => {
    for (const shared of [undefined, 'purge']) {
      const app = await start(shared === undefined ? {} : { shared })
      await rename('Fairfax County')
      expect(nameIn(await app.get('/api/counties/51059'))).toBe('Fairfax County')
      await rename('Fairest County')
      expect(nameIn(await app.get('/api/counties/51059'))).toBe('Fairfax County')
      const purged = await app.purge(purge)
      expect(purged.json()).toMatchObject({
        soft: false,
        reached: shared === undefined ? ['memory'] : ['memory', 'redis'],
        missed: [],
      })
      const after = await app.get('/api/counties/51059')
      expect(after.cacheStatus).toBe('onramp; fwd=uri-miss; stored; detail=origin')
      expect(nameIn(after)).toBe('Fairest County')
      await app.purge({ all: true })
    }
  })

  test('is not served from Redis in its old form, neither by another process nor after a restart', async () => {
    const one = await start({ shared: 'restart' })
    await one.get('/api/counties/51059')
    await rename('Fairest County')
    await one.purge({ tags: ['county:51059'] })
    const two = await start({ shared: 'restart' })
    const answer = await two.get('/api/counties/51059')
    expect([answer.cacheStatus, nameIn(answer)]).toEqual([
      'onramp; fwd=uri-miss; stored; detail=origin',
      'Fairest County',
    ])
  })

  test('during a fill is not cached in its old form: waiting requests get the fill, the next request sees the new row', async () => {
    const app = await start({ shared: 'race' })
    const redis = new Redis(inject('redisUrl'))
    // The fill reads counties (old snapshot), then waits for rates; the purge arrives meanwhile.
    await owner.query('begin')
    await owner.query('lock table rates in access exclusive mode')
    const early = app.get('/api/counties/51059/stats?age=40')
    await untilWaiting(1)
    await app.purge({ tags: ['county:51059'] })
    const late = app.get('/api/counties/51059/stats?age=40')
    await untilWaiting(2)
    await owner.query('commit')
    const [before, after] = await Promise.all([early, late])
    expect(before.cacheStatus).toBe('onramp; fwd=uri-miss; detail=origin')
    expect(after.cacheStatus).toBe('onramp; fwd=uri-miss; stored; detail=origin')
    expect((await app.get('/api/counties/51059/stats?age=40')).cacheStatus).toContain('detail=memory')
    expect(await statements('percentile_cont')).toBe(2)
    await until(
      () => redis.keys('race:county-stats*'),
      (keys) => keys.length === 1,
    )
    redis.disconnect()
  })

  test('after a soft purge is served once more in its old form, and refreshed', async () => {
    const app = await start()
    await app.get('/api/counties/51059')
    await rename('Fairest County')
    await app.purge({ tags: ['county:51059'], soft: true })
    const once = await app.get('/api/counties/51059')
    expect(once.cacheStatus).toMatch(/^onramp; hit; ttl=-\d+; detail=memory$/)
    expect(nameIn(once)).toBe('Fairfax County')
    await until(async () => nameIn(await app.get('/api/counties/51059')), 'Fairest County')
    expect(await statements('from counties')).toBe(2)
  })
})

describe('Redis', () => {
  test('gives a second process its first answer, without a statement', async () => {
    const one = await start({ shared: 'second' })
    const first = await one.get(planSearch)
    const redis = new Redis(inject('redisUrl'))
    await until(
      () => redis.keys('second:plan-search*'),
      (keys) => keys.length === 1,
    )
    redis.disconnect()
    const two = await start({ shared: 'second' })
    const answer = await two.get(planSearch)
    expect(answer.cacheStatus).toMatch(/^onramp; hit; ttl=\d+; detail=redis$/)
    expect([answer.text, answer.headers.get('etag')]).toEqual([first.text, first.headers.get('etag')])
    expect((await two.get(planSearch)).cacheStatus).toContain('detail=memory')
    expect(await statements(inPlanSearch)).toBe(0)
  })
})

describe('bytes', () => {
  test('arrive as PostgreSQL writes them, and a variant contains the same', async () => {
    const app = await start()
    const { rows } = await superuser.query(
      `select json_agg(t)::text as json from (select premium from rates limit 1) t`,
    )
    expect(rows[0].json).toMatch(/\d+\.\d\d/)
    const plain = await app.get('/api/states/VA/lowest?age=40', { 'Accept-Encoding': 'identity' })
    expect(plain.headers.get('vary')).toBe('Accept-Encoding')
    for (const encoding of ['br', 'gzip']) {
      const variant = await until(
        () => app.get('/api/states/VA/lowest?age=40', { 'Accept-Encoding': encoding }),
        ({ headers }) => headers.get('content-encoding') === encoding,
      )
      expect(variant.text).toBe(plain.text)
      expect(variant.headers.get('etag')).not.toBe(plain.headers.get('etag'))
      const unchanged = await app.get('/api/states/VA/lowest?age=40', {
        'If-None-Match': variant.headers.get('etag') as string,
        'Accept-Encoding': encoding,
      })
      expect([unchanged.status, unchanged.text, unchanged.headers.get('etag')]).toEqual([
        304,
        '',
        variant.headers.get('etag'),
      ])
    }
    expect(await statements('lowest_silver')).toBe(1)
  })
})
