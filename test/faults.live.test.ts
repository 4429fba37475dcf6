import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, test } from 'vitest'
import { type Running, startApp } from './live.ts'
import { freePort, type RedisServer, startRedis } from './servers.ts'

/** The most a request may wait for Redis here: long beside this machine's own hiccups, so that they are told apart. */
const deadlineMs = 400
let redis: RedisServer
const running: Running[] = []

beforeEach(async () => {
  redis = await startRedis()
})
afterEach(async () => {
  await Promise.all(running.splice(0).map((app) => app.stop()))
  redis.stop()
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
/** Eight shoppers, each asking for something that nobody has asked for yet, `count` times in all: every request needs Redis. */
async function load(app: Running, count: number): Promise<{ failed: number; slowestMs: number; slow: number }> {
  const times: number[] = []
  let failed = 0
  const last = next + count
  const shopper = async () => {
    while (next < last) {
      next += 1
      const began = performance.now()
      const { status } = await app.get(`/api/plans/names?q=${next.toString(36)}x`)
      times.push(performance.now() - began)
      if (status !== 200) failed += 1
    }
  }
  await Promise.all(Array.from({ length: 8 }, shopper))
  return { failed, slowestMs: Math.max(...times), slow: times.filter((ms) => ms > deadlineMs / 2).length }
}

async function redisErrors(app: Running): Promise<number> {
  const { text } = await app.admin('/metrics')
  return [...text.matchAll(/^onramp_tier_errors_total\{tier="redis",operation="get".*\} (\d+)$/gm)].reduce(
    (sum, [, n]) => sum + Number(n),
    0,
  )
}

describe('Redis frozen under load', () => {
  test('fails no request, delays a request by one deadline at most, and soon delays none', async () => {
    const app = await start()
    await load(app, 200)
    const before = await load(app, 400)
    expect(before.failed).toBe(0)
    process.kill(redis.pid, 'SIGSTOP')
    const during = await load(app, 1200)
    expect(during.failed).toBe(0)
    expect(during.slowestMs - before.slowestMs).toBeLessThan(deadlineMs * 1.5)
    // One for each shopper at the moment of the fault, and later one try at a time.
    expect(during.slow).toBeGreaterThan(0)
    expect(during.slow).toBeLessThan(20)
    expect(await redisErrors(app)).toBeGreaterThan(0)
  })

  test('twin: with a deadline five times as long the same load is delayed past the bound', async () => {
    const app = await start(deadlineMs * 5)
    process.kill(redis.pid, 'SIGSTOP')
    const during = await load(app, 40)
    expect(during.failed).toBe(0)
    // The connection's own timeout ends it, after a second.
    expect(during.slowestMs).toBeGreaterThan(deadlineMs * 2)
  })
})

/** Asks `app` for something new, then a second process for the same. */
async function other(app: Running) {
  next += 1
  const path = `/api/plans/names?q=${next.toString(36)}y`
  await app.get(path)
  const second = await start()
  const answer = await second.get(path)
  await running.splice(running.indexOf(second), 1)[0]?.stop()
  return answer
}

describe('Redis gone', () => {
  const owner = new pg.Client({ connectionString: inject('ownerUrl') })
  beforeAll(() => owner.connect())
  afterAll(() => owner.end())
  const rename = (name: string) =>
    owner.query(`update counties set county_name = $1 where county_fips = '51059'`, [name])
  const name = async (asked: Running) =>
    ((await asked.get('/api/counties/51059')).json() as { county_name: string }).county_name

  test('not there at the start: the program starts, says so, and serves from memory and the database', async () => {
    const app = await start(deadlineMs, `redis://127.0.0.1:${await freePort()}`)
    expect((await load(app, 50)).failed).toBe(0)
    expect((await app.admin('/ready')).json()).toMatchObject({ status: 'ready', redis: { connected: false } })
  })

  test('a purge while it is gone says so, and nothing of before is believed when it is back', async () => {
    const app = await start()
    try {
      expect(await name(app)).toBe('Fairfax County')
      await rename('Fairest County')
      process.kill(redis.pid, 'SIGSTOP')
      const purged = await app.purge({ tags: ['county:51059'] })
      expect([purged.status, purged.json()]).toMatchObject([202, { reached: ['memory'], missed: ['redis'] }])
      process.kill(redis.pid, 'SIGCONT')
      expect(await name(app)).toBe('Fairest County')
      // Once Redis has heard of the purge, it is used again, and what it held before is given to nobody.
      const began = performance.now()
      while (!(await other(app)).cacheStatus?.includes('detail=redis'))
        expect(performance.now() - began).toBeLessThan(10_000)
      expect(await name(await start())).toBe('Fairest County')
    } finally {
      await rename('Fairfax County')
    }
  })

  test('restarted with what it had saved before a purge, it gives that to nobody', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'onramp-redis-'))
    redis.stop()
    redis = await startRedis(['--dir', folder])
    try {
      const app = await start()
      expect(await name(app)).toBe('Fairfax County')
      const client = new Redis(redis.url)
      while ((await client.keys('onramp:county*')).length === 0);
      await client.save()
      client.disconnect()
      await rename('Fairest County')
      expect((await app.purge({ tags: ['county:51059'] })).json()).toMatchObject({ reached: ['memory', 'redis'] })
      process.kill(redis.pid, 'SIGKILL')
      redis = await startRedis(['--dir', folder], Number(new URL(redis.url).port))
      while (!((await app.admin('/ready')).json() as { redis: { connected: boolean } }).redis.connected);
      await other(app) // a miss: its search tells the process which head Redis has now
      expect(await name(app)).toBe('Fairest County')
      expect(await name(await start())).toBe('Fairest County')
    } finally {
      await rename('Fairfax County')
      rmSync(folder, { recursive: true, force: true })
    }
  })

  test.each([
    ['a password it does not want', (url: string) => url.replace('redis://', 'redis://:secret@')],
    [
      'something that is not Redis',
      () =>
        inject('databaseUrl')
          .replace(/.*@/, 'redis://')
          .replace(/\/[^/]*$/, ''),
    ],
  ])('at an address with %s: no request fails', async (_what, address) => {
    const app = await start(deadlineMs, address(redis.url))
    expect((await load(app, 50)).failed).toBe(0)
  })
})
