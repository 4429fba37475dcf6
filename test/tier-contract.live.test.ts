import { afterAll, beforeAll, beforeEach, describe, expect, inject, test } from 'vitest'
import { startRedis } from '../bench/servers/redis.ts'
import { type Entry, etagOf, ownBytes } from '../proxy/cache/entry.ts'
import { FailOpenTier } from '../proxy/cache/fail-open.ts'
import type { Key } from '../proxy/cache/key.ts'
import { memoryTier } from '../proxy/cache/memory.ts'
import { evictionFaults, type RedisClient, RedisConnection, redisTier, untilReady } from '../proxy/cache/redis.ts'
import type { Tier } from '../proxy/cache/tier.ts'
import { systemClock } from '../proxy/clock.ts'
import { nowhere } from '../proxy/coherence/ledger.ts'
import { entryOf, recorder } from './support.ts'

const prefix = `contract-${process.pid}:`
const seen = recorder()
let connection: RedisConnection
let client: RedisClient

beforeAll(async () => {
  connection = new RedisConnection(inject('redisUrl'), seen.observe)
  client = connection.client
  expect(await untilReady(client, systemClock, 60_000)).toBe(true)
})
afterAll(() => connection.close())
beforeEach(() => {
  seen.facts.length = 0
})

const sharing = { isShared: true, reached: async () => true }
const newRedisTier = () => redisTier(client, prefix, sharing, systemClock, seen.observe)
const tiers: [string, () => Tier][] = [
  ['memory', () => memoryTier(16 * 1024 ** 2, seen.observe)],
  ['redis', newRedisTier],
  [
    'redis, failing open',
    () =>
      new FailOpenTier(
        newRedisTier(),
        { deadlineMs: 1000, failuresToOpen: 5, openMs: 1000, isLate: () => false },
        systemClock,
        seen.observe,
      ),
  ],
]

let keys = 0
function newKey(): Key {
  keys += 1
  return `plan@1?n=${keys}` as Key
}

function newEntry({ body = ownBytes('[{"plan_name":"Plan d’essai"}]'), ...over }: Partial<Entry> = {}): Entry {
  const [tags, stamp] = [['route:plan', 'county:51059'], { seq: 3, pos: 1, id: 'h' }]
  return entryOf(body, { tags, stamp, readAt: systemClock.now(), fillMs: 1.5, jitter: 0.25, ...over })
}

describe.each(tiers)('the tier contract: %s', (_name, make) => {
  test('returns the entry that was kept: bytes, rows, tags, validator, jitter, and its age within 50 ms', async () => {
    const [tier, key, entry] = [make(), newKey(), newEntry({ readAt: systemClock.now() - 5000 })]
    expect(await tier.set(key, entry, 60_000)).toBe(true)
    const found = (await tier.get(key)) as Entry
    const { body, rows, tags, etag, jitter, fillMs } = found
    expect({ body, rows, tags, etag, jitter, fillMs }).toEqual({
      body: entry.body,
      rows: 1,
      tags: entry.tags,
      etag: entry.etag,
      jitter: 0.25,
      fillMs: 1.5,
    })
    expect(Math.abs(found.readAt - entry.readAt)).toBeLessThan(50)
    expect(seen.facts).toEqual([])
  })

  test('returns nothing for another key, though it begins or ends alike', async () => {
    const [tier, key] = [make(), newKey()]
    await tier.set(key, newEntry(), 60_000)
    expect(await tier.get(`${key}0` as Key)).toBeUndefined()
    expect(await tier.get(key.slice(0, -1) as Key)).toBeUndefined()
  })

  test('keeps the last of two entries under one key', async () => {
    const [tier, key] = [make(), newKey()]
    await tier.set(key, newEntry(), 60_000)
    await tier.set(key, newEntry({ body: ownBytes('[2]'), etag: etagOf(Buffer.from('[2]')) }), 60_000)
    expect((await tier.get(key))?.body.toString()).toBe('[2]')
  })

  test('keeps an empty body, a negative entry, and a body of every possible byte', async () => {
    const tier = make()
    for (const body of [Buffer.alloc(0), Buffer.from(Array.from({ length: 256 }, (_, i) => i))]) {
      const key = newKey()
      await tier.set(key, newEntry({ body, rows: 0, etag: etagOf(body), tags: [] }), 60_000)
      const found = await tier.get(key)
      expect([found?.body.equals(body), found?.rows, found?.tags]).toEqual([true, 0, []])
    }
  })

  test('keeps for twenty years, the longest possible lifetime', async () => {
    const [tier, key, day] = [make(), newKey(), 86_400_000]
    const entry = newEntry({ readAt: systemClock.now() - 30 * day })
    expect(await tier.set(key, entry, 7300 * day)).toBe(true)
    const found = (await tier.get(key)) as Entry
    // The possible drift of two clocks.
    expect(Math.abs(found.readAt - entry.readAt)).toBeLessThan(50 + (30 * day) / 1000)
  })

  test('takes a megabyte', async () => {
    const [tier, key, body] = [make(), newKey(), Buffer.alloc(1024 ** 2, 'x')]
    expect(await tier.set(key, newEntry({ body, etag: etagOf(body) }), 60_000)).toBe(true)
    expect((await tier.get(key))?.body.equals(body)).toBe(true)
  })
})

describe('in Redis', () => {
  test('an entry lives only as long as it may be of use', async () => {
    const [tier, key] = [newRedisTier(), newKey()]
    await tier.set(key, newEntry({ readAt: systemClock.now() - 4000 }), 10_000)
    const left = await client.pttl(prefix + key)
    expect(left).toBeGreaterThan(5000)
    expect(left).toBeLessThanOrEqual(6000)
    expect(await tier.set(key, newEntry({ readAt: systemClock.now() - 4000 }), 4000)).toBe(false)
  })

  test('an entry that no process could verify is not written', async () => {
    const [tier, key] = [newRedisTier(), newKey()]
    expect(await tier.set(key, newEntry({ stamp: { seq: 1, ...nowhere } }), 10_000)).toBe(false)
    expect(await client.exists(prefix + key)).toBe(0)
  })

  test.each([
    ['a string of somebody else', 'format', (key: string) => client.set(key, 'x'.repeat(100), 'PX', 9000)],
    ['something too short', 'length', (key: string) => client.set(key, 'onr', 'PX', 9000)],
    [
      'an entry of tomorrow',
      'time',
      async (key: string) =>
        newRedisTier().set(key.slice(prefix.length) as Key, newEntry({ readAt: systemClock.now() + 86_400_000 }), 9e8),
    ],
    [
      'a value cut short',
      'digest',
      async (key: string) => client.set(key, (await client.getBuffer(key))?.subarray(0, -1) as Buffer, 'PX', 9000),
    ],
    ['a byte changed', 'digest', (key: string) => client.setrange(key, 40, 'X')],
    [
      'another key’s value',
      'key',
      async (key: string) => {
        await newRedisTier().set('other' as Key, newEntry(), 60_000)
        await client.copy(`${prefix}other`, key, 'REPLACE')
      },
    ],
  ])('%s is a miss and is counted', async (_what, reason, spoil) => {
    const [tier, key] = [newRedisTier(), newKey()]
    await tier.set(key, newEntry(), 60_000)
    await spoil(prefix + key)
    expect(await tier.get(key)).toBeUndefined()
    expect(seen.facts).toEqual([{ kind: 'tier-error', tier: 'redis', operation: 'get', reason }])
  })

  test('another type of value under the key is a failure, which fail-open turns into a miss', async () => {
    const key = newKey()
    await client.lpush(prefix + key, 'a')
    await expect(newRedisTier().get(key)).rejects.toThrow('WRONGTYPE')
    const tier = new FailOpenTier(
      newRedisTier(),
      { deadlineMs: 1000, failuresToOpen: 5, openMs: 1000, isLate: () => false },
      systemClock,
      seen.observe,
    )
    expect(await tier.get(key)).toBeUndefined()
    expect(seen.of('tier-error')).toHaveLength(1)
  })
})

test('a frozen Redis writes an entry late and returns it late: its age stays right', async () => {
  const server = await startRedis()
  const connection = new RedisConnection(server.url, seen.observe)
  expect(await untilReady(connection.client, systemClock, 60_000)).toBe(true)
  const tier = redisTier(connection.client, prefix, sharing, systemClock, seen.observe)
  const [key, frozenMs] = [newKey(), 400]
  const standStill = async (work: () => unknown) => {
    process.kill(server.pid, 'SIGSTOP')
    const done = work()
    await new Promise((resolve) => setTimeout(resolve, frozenMs))
    process.kill(server.pid, 'SIGCONT')
    return done
  }
  await tier.get(key) // the clock of Redis has been read
  const entry = newEntry()
  expect(await standStill(() => tier.set(key, entry, 60_000))).toBe(true)
  expect(systemClock.now() - entry.readAt).toBeGreaterThanOrEqual(frozenMs)
  const late = (await tier.get(key)) as Entry
  expect(late.readAt).toBeLessThanOrEqual(entry.readAt)
  expect(entry.readAt - late.readAt).toBeLessThan(50)
  const again = (await standStill(() => tier.get(key))) as Entry
  expect(again.readAt).toBeLessThanOrEqual(entry.readAt)
  expect(again.readBy).toBeGreaterThanOrEqual(entry.readBy)
  connection.close()
  await server.stop()
})

test('a Redis that may evict keys without a lifetime causes a warning, and no other does', async () => {
  const server = await startRedis(['--maxmemory', '50mb', '--maxmemory-policy', 'allkeys-lru'])
  const connection = new RedisConnection(server.url, seen.observe)
  await untilReady(connection.client, systemClock, 60_000)
  expect(await evictionFaults(connection)).toEqual([expect.stringContaining('maxmemory-policy allkeys-lru')])
  await connection.client.config('SET', 'maxmemory-policy', 'volatile-lru')
  expect(await evictionFaults(connection)).toEqual([])
  connection.close()
  await server.stop()
})
