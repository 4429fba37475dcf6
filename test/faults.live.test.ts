import { Redis } from 'ioredis'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, test } from 'vitest'
import { freePort } from '../bench/servers/programs.ts'
import { type RedisServer, startRedis } from '../bench/servers/redis.ts'
import { newFolder } from '../bench/servers/run-folder.ts'
import { until } from '../bench/until.ts'
import { type Running, startApp } from './live.ts'

/** The most a request waits for Redis, in milliseconds: longer than the pauses of a slow machine. */
const deadlineMs = 400
let redis: RedisServer
const running: Running[] = []

beforeEach(async () => {
  redis = await startRedis()
})
afterEach(async () => {
  await Promise.all(running.splice(0).map((app) => app.stop()))
  await redis.stop()
})

async function start(timeoutMs = deadlineMs, url = redis.url): Promise<Running> {
  const app = await startApp(inject('databaseUrl'), { REDIS_URL: url }, (config) => ({
    ...config,
    redis: { ...config.redis, timeout: timeoutMs },
  }))
  running.push(app)
  return app
}

let next = 0
/** Sends `count` requests for new keys, so that every one needs Redis. Resolves to the number of failures. */
async function load(app: Running, count: number): Promise<number> {
  const asked = Array.from({ length: count }, async () => {
    next += 1
    return (await app.get(`/api/plans/names?q=${next.toString(36)}x`)).status
  })
  return (await Promise.all(asked)).filter((status) => status !== 200).length
}

/** Requests a new key from `app`, then the same from a second process, whose answer it resolves to. */
async function other(app: Running) {
  next += 1
  const path = `/api/plans/names?q=${next.toString(36)}y`
  await app.get(path)
  const second = await start()
  const answer = await second.get(path)
  await running.splice(running.indexOf(second), 1)[0]?.stop()
  return answer
}

describe('Redis unavailable', () => {
  const owner = new pg.Client({ connectionString: inject('ownerUrl') })
  beforeAll(() => owner.connect())
  afterAll(() => owner.end())
  const rename = (name: string) =>
    owner.query(`update counties set county_name = $1 where county_fips = '51059'`, [name])
  const name = async (asked: Running) =>
    ((await asked.get('/api/counties/51059')).json() as { county_name: string }).county_name

  test('at the start: the program starts, reports it, and serves from memory and the database', async () => {
    const app = await start(deadlineMs, `redis://127.0.0.1:${await freePort()}`)
    expect(await load(app, 50)).toBe(0)
    expect((await app.admin('/ready')).json()).toMatchObject({ status: 'ready', redis: { connected: false } })
  })

  test('during a purge: the purge reports it, and Redis serves no older entry when it is back', async () => {
    const app = await start()
    try {
      expect(await name(app)).toBe('Fairfax County')
      await rename('Fairest County')
      process.kill(redis.pid, 'SIGSTOP')
      const purged = await app.purge({ tags: ['county:51059'] })
      expect([purged.status, purged.json()]).toMatchObject([202, { reached: ['memory'], missed: ['redis'] }])
      process.kill(redis.pid, 'SIGCONT')
      expect(await name(app)).toBe('Fairest County')
      // Redis is used again once it has the purge, and its older entries are served to no client.
      await until(
        async () => (await other(app)).cacheStatus,
        (status) => status?.includes('detail=redis') === true,
      )
      expect(await name(await start())).toBe('Fairest County')
    } finally {
      await rename('Fairfax County')
    }
  })

  test('and restarted with entries saved before a purge: none of them is served', async () => {
    const folder = newFolder('redis-saved')
    await redis.stop()
    redis = await startRedis(['--dir', folder])
    try {
      const app = await start()
      expect(await name(app)).toBe('Fairfax County')
      const client = new Redis(redis.url)
      await until(
        () => client.keys('onramp:county*'),
        (keys) => keys.length > 0,
      )
      await client.save()
      client.disconnect()
      await rename('Fairest County')
      expect((await app.purge({ tags: ['county:51059'] })).json()).toMatchObject({ reached: ['memory', 'redis'] })
      await redis.stop()
      const isConnected = async () =>
        ((await app.admin('/ready')).json() as { redis: { connected: boolean } }).redis.connected
      await until(isConnected, false)
      redis = await startRedis(['--dir', folder], redis.port)
      await until(isConnected)
      await other(app) // a miss: by its search the process learns the head of the log in Redis
      expect(await name(app)).toBe('Fairest County')
      expect(await name(await start())).toBe('Fairest County')
    } finally {
      await rename('Fairfax County')
    }
  })

  test.each([
    ['a password that Redis does not expect', (url: string) => url.replace('redis://', 'redis://:secret@')],
    [
      'something that is not Redis',
      () =>
        inject('databaseUrl')
          .replace(/.*@/, 'redis://')
          .replace(/\/[^/]*$/, ''),
    ],
  ])('behind an address with %s: no request fails', async (_what, address) => {
    const app = await start(deadlineMs, address(redis.url))
    expect(await load(app, 50)).toBe(0)
  })
})
