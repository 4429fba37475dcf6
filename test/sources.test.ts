import { beforeEach, describe, expect, test } from 'vitest'
import type { Read } from '../proxy/cache/answer.ts'
import type { Entry } from '../proxy/cache/entry.ts'
import { FailOpenTier } from '../proxy/cache/fail-open.ts'
import type { Key } from '../proxy/cache/key.ts'
import { noLeases } from '../proxy/cache/lease.ts'
import { ReadThrough } from '../proxy/cache/read-through.ts'
import { redisTierNames } from '../proxy/cache/redis.ts'
import type { Tier } from '../proxy/cache/tier.ts'
import { Ledger } from '../proxy/coherence/ledger.ts'
import { adminRoutes } from '../proxy/ops/admin.ts'
import { adminServer } from '../proxy/ops/admin-server.ts'
import { stateOf } from '../proxy/ops/process-state.ts'
import { statsOf } from '../proxy/ops/stats.ts'
import { answerSources } from '../proxy/sources.ts'
import { described, statsParts } from './stats-parts.ts'
import { entryOf, settled } from './support.ts'

/*
 * A third tier, `file`, is added as a program would add it: the tier itself, and its place in the list of tiers. No file in ops names
 * it.
 */

const route = 'plans'
const start = { pos: 7, id: 'head-1' }
const lifetime = { fresh: 60_000, stale: 600_000, staleIfError: 3_600_000, negative: 10_000 }

/** A tier that stands for files on a disk. */
function fileTier() {
  const kept = new Map<Key, Entry>()
  const state = { isBroken: false }
  const tier: Tier = {
    name: 'file',
    label: 'File',
    async get(key) {
      if (state.isBroken) throw new Error('EIO')
      return kept.get(key)
    },
    async set(key, entry) {
      if (state.isBroken) throw new Error('EIO')
      kept.set(key, entry)
      return true
    },
  }
  return { tier, kept, state }
}

function setup() {
  const file = fileTier()
  const parts = statsParts([redisTierNames, file.tier])
  const { clock, bus, memory } = parts
  const limits = { deadlineMs: 50, failuresToOpen: 2, openMs: 1000, isLate: () => false }
  const tier = new FailOpenTier(file.tier, limits, clock, bus.observe)
  const ledger = new Ledger()
  ledger.join(start)
  const cache = new ReadThrough({
    memory,
    farther: [tier],
    leases: noLeases,
    ledger,
    clock,
    observe: bus.observe,
    random: () => 0.999_999,
    softMs: 150,
    deadlineMs: 3000,
    mayRefresh: () => true,
    reached: async () => false,
  })
  /** Answers one request for the plan `id`, and reports it as the public listener does. */
  async function request(id: number): Promise<string> {
    const key = `plans@1?id=${id}` as Key
    const load = async () => ({ json: '[]', rows: 0 })
    const read: Read = { key, route, tags: () => [], lifetime, load }
    const { source, state } = await cache.read(read)
    const response = { method: 'GET', path: '/plans', status: 200, seconds: 0.001, route, source, state } as const
    bus.observe({ kind: 'response', ...response, ageSeconds: 2 })
    await settled()
    return source
  }
  const keepInFile = (id: number) =>
    file.kept.set(
      `plans@1?id=${id}` as Key,
      entryOf(`[${id}]`, { readAt: clock.now() - 2000, stamp: { seq: 0, ...start } }),
    )
  const admin = adminServer(() => 0.5)
  adminRoutes(admin, {
    ...parts,
    token: undefined,
    now: () => clock.now(),
    readiness: { why: undefined },
    state: () => stateOf(parts),
    stats: () => statsOf(parts),
    routes: () => [described(route)],
    purge: () => Promise.reject(new Error('not here')),
    reload: () => Promise.reject(new Error('not here')),
  })
  return { parts, file, request, keepInFile, admin }
}

/** Four requests in the first of ten seconds: three for two entries of the tier `file`, and one for a key that no tier has. */
async function quiet() {
  const made = setup()
  const { parts, request, keepInFile } = made
  parts.history.start()
  for (const id of [1, 2]) keepInFile(id)
  expect([await request(1), await request(2), await request(1), await request(3)]).toEqual([
    'file',
    'file',
    'memory',
    'origin',
  ])
  for (let i = 0; i < 10; i += 1) parts.clock.pass(1000)
  return made
}

describe('hits of a tier that no file in ops names', () => {
  let made: Awaited<ReturnType<typeof quiet>>
  beforeEach(async () => {
    made = await quiet()
  })

  test('are counted in /stats under its name, and in the hit ratio', async () => {
    const stats = (await made.admin.inject('/stats')).json()
    const counts = { requests: 4, file: 2, memory: 1, redis: 0, origin: 1, upstream: 0, none: 0, hitRatio: 0.75 }
    expect(stats.total).toMatchObject(counts)
    expect(stats.routes.plans).toMatchObject(counts)
  })

  test('are in the current figures, with their share and latencies', async () => {
    const { now } = (await made.admin.inject('/stats')).json().total
    expect(now).toMatchObject({
      file: 0.2,
      fileRatio: 0.5,
      memory: 0.1,
      memoryRatio: 0.25,
      redis: 0,
      redisRatio: 0,
      origin: 0.1,
      hitRatio: 0.75,
      queriesSaved: 0.4,
    })
    expect(now.sources.file.p99Seconds).toBeCloseTo(0.001, 3)
    expect(now).not.toHaveProperty('originRatio')
  })

  test('have a column of their own in the history of the route and of the process', () => {
    const { history } = made.parts
    for (const { columns } of [history.read(), history.read(route)]) {
      expect(columns.file).toEqual([0.4, 0])
      expect(columns.memory).toEqual([0.2, 0])
    }
  })

  test('are series of their own in /metrics', async () => {
    const { body } = await made.admin.inject('/metrics')
    const lines = body.split('\n')
    expect(lines).toContain('onramp_responses_total{route="plans",source="file",state="fresh",status="200"} 2')
    expect(lines).toContain('onramp_response_seconds_count{route="plans",source="file"} 2')
  })

  test('are described in /stats for the charts', async () => {
    expect((await made.admin.inject('/stats')).json().sources).toEqual([
      { name: 'memory', label: 'Memory', isHit: true },
      { name: 'redis', label: 'Redis', isHit: true },
      { name: 'file', label: 'File', isHit: true },
      { name: 'origin', label: 'Database', isHit: false },
      { name: 'upstream', label: 'Upstream', isHit: false },
      { name: 'none', label: 'None', isHit: false },
    ])
  })
})

test('a bypassed tier that no file in ops names degrades the process, under its label, until it answers again', async () => {
  const { parts, file, request, keepInFile, admin } = setup()
  const stats = async () => (await admin.inject('/stats')).json()
  const level = async () => (await stats()).degradationLevel
  file.state.isBroken = true
  for (const id of [1, 2]) expect(await request(id)).toBe('origin')
  expect(await level()).toBe('memory-only')
  expect((await stats()).degradationReason).toBe('File: EIO')
  const changes = () => parts.recentEvents.changes().map(({ text }) => text)
  expect(changes()).toEqual([
    expect.stringMatching(/^Degraded to memory-only/),
    expect.stringMatching(/tier opened.* \(File\)\.$/),
  ])
  expect((await admin.inject('/metrics')).body).toContain(
    'onramp_tier_errors_total{tier="file",operation="get",reason="error"} 1',
  )
  file.state.isBroken = false
  parts.clock.pass(1000)
  keepInFile(3)
  expect(await request(3)).toBe('file')
  expect(await level()).toBe('healthy')
  expect(await stats()).not.toHaveProperty('degradationReason')
  expect(changes().slice(0, 2)).toEqual([
    expect.stringMatching(/^Healthy again/),
    expect.stringMatching(/tier closed.* \(File\)\.$/),
  ])
})

test('twin: an answer from an unlisted source is no hit', async () => {
  const { parts, request, keepInFile } = setup()
  keepInFile(1)
  await request(1)
  expect(statsOf(parts).total.hitRatio).toBe(1)
  expect(statsOf({ ...parts, sources: answerSources([parts.memory]) }).total).toMatchObject({
    requests: 1,
    hitRatio: null,
  })
})
