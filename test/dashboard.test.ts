import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { HotKeys } from '../proxy/cache/hot-keys.ts'
import type { Key } from '../proxy/cache/key.ts'
import type { Observation } from '../proxy/observation.ts'
import { adminServer } from '../proxy/ops/admin-server.ts'
import { dashboardRoutes } from '../proxy/ops/dashboard.ts'
import { bounds, Histogram, quantile } from '../proxy/ops/histogram.ts'
import { RecentEvents } from '../proxy/ops/recent-events.ts'
import { statsOf } from '../proxy/ops/stats.ts'
import { statsParts } from './stats-parts.ts'
import { ManualClock } from './support.ts'

describe('a histogram', () => {
  test('has a bucket for every bound, its bound included', () => {
    for (const [i, bound] of bounds.entries()) {
      const histogram = new Histogram()
      histogram.add(bound)
      histogram.add(bound * 1.000001)
      expect([histogram.counts[i], histogram.counts[i + 1]]).toEqual([1, 1])
    }
  })

  test('knows quantiles within the width of a bucket, of whatever is put in', () => {
    for (const shape of [
      (u: number) => 0.00005 / (1 - u),
      (u: number) => 0.002 + u,
      (u: number) => 0.0001 * 10 ** (4 * u),
    ]) {
      const values = Array.from({ length: 10_000 }, (_, i) => Math.min(shape(i / 10_000), 9.9))
      const histogram = new Histogram()
      for (const value of values) histogram.add(value)
      for (const q of [0.01, 0.5, 0.9, 0.99]) {
        const ratio = (quantile(histogram.counts, q) as number) / (values[Math.floor(q * values.length)] as number)
        expect(ratio).toBeGreaterThan(1 / 1.27)
        expect(ratio).toBeLessThan(1.27)
      }
    }
  })

  test('of nothing has none; of what is longer than its last bound says that bound', () => {
    expect(quantile(new Histogram().counts, 0.5)).toBeNull()
    const histogram = new Histogram()
    histogram.add(1000)
    expect(quantile(histogram.counts, 0.5)).toBe(10)
  })
})

const response = { kind: 'response', route: 'plan', method: 'GET', path: '/x', status: 200 } as const
const fromMemory = { ...response, source: 'memory', state: 'fresh', seconds: 0.0001, ageSeconds: 4 } as const
const fromOrigin = { ...response, source: 'origin', state: 'miss', seconds: 0.1, ageSeconds: 0 } as const
const query = { kind: 'origin-query', route: 'plan', outcome: 'ok', seconds: 0.1 } as const

function setup() {
  const parts = statsParts()
  const { clock, metrics, history, gauges } = parts
  history.start()
  /** Observes each of `facts` so many times, in one second. */
  const second = (...facts: [Observation, number][]) => {
    for (const [fact, times] of facts) for (let i = 0; i < times; i += 1) metrics.observe(fact)
    clock.pass(1000)
  }
  return { parts, clock, history, gauges, second }
}

describe('now', () => {
  test('is the last ten seconds, a second, and nothing older', () => {
    const { history, second } = setup()
    second([fromOrigin, 1000])
    for (let i = 0; i < 10; i += 1) second([fromMemory, 90], [fromOrigin, 10], [query, 10])
    const { overSeconds, total, routes } = history.latest()
    expect([overSeconds, total]).toEqual([10, routes.get('plan')])
    expect(total).toMatchObject({
      requests: 100,
      memory: 90,
      origin: 10,
      errors: 0,
      hitRatio: 0.9,
      errorRatio: 0,
      queries: 10,
      queriesSaved: 90,
      ageSeconds: 3.6,
    })
    expect(total.p50Seconds).toBeCloseTo(0.0001, 4)
    expect(total.sources.memory?.p99Seconds).toBeCloseTo(0.0001, 4)
    expect(total.sources.origin?.p50Seconds).toBeCloseTo(0.09, 2)
    for (let i = 0; i < 10; i += 1) second()
    expect(history.latest().total).toMatchObject({ requests: 0, hitRatio: null, p50Seconds: null, ageSeconds: null })
  })

  test('says what it can before ten seconds have passed, and before one has', () => {
    const { history, second } = setup()
    expect(history.latest().total).toMatchObject({ requests: 0, hitRatio: null })
    second([fromMemory, 8])
    second()
    expect(history.latest()).toMatchObject({ overSeconds: 2, total: { requests: 4 } })
  })

  test('the percentiles of all are those of the routes together', () => {
    const { history, second } = setup()
    second([fromMemory, 98], [{ ...fromOrigin, route: 'search', seconds: 1 }, 2])
    const { total, routes } = history.latest()
    expect(routes.get('plan')?.p99Seconds).toBeLessThan(0.001)
    expect(total.p50Seconds).toBeLessThan(0.001)
    expect(total.p99Seconds).toBeGreaterThan(0.7)
  })
})

describe('the past', () => {
  test('is kept for 720 steps of five seconds and not one more, oldest first', () => {
    const { history, gauges, clock } = setup()
    for (let i = 0; i < 721; i += 1) {
      gauges.clients = i
      for (let k = 0; k < 5; k += 1) clock.pass(1000)
    }
    const { steps, agoSeconds, columns } = history.read()
    expect([steps, agoSeconds.length, columns.clients?.length]).toEqual([721, 720, 720])
    expect([columns.clients?.[0], columns.clients?.at(-1)]).toEqual([1, 720])
    expect([agoSeconds[0], agoSeconds.at(-1)]).toEqual([719 * 5, 0])
    expect(history.read(undefined, 719).columns.clients).toEqual([719, 720])
    expect(history.read(undefined, 721).columns.clients).toEqual([])
    expect(history.read(undefined, 99_999)).toMatchObject({ steps: 721, agoSeconds: [] })
  })

  test('of a route begins with its first request, aligned with that of all routes', () => {
    const { history, second } = setup()
    for (let i = 0; i < 5; i += 1) second()
    for (let i = 0; i < 5; i += 1) second([fromOrigin, 3])
    expect(history.read('plan').columns).toMatchObject({ requests: [null, 3], origin: [null, 3], memory: [null, 0] })
    expect(history.read('nothing').columns.requests).toEqual([null, null])
    expect(history.read().columns).toMatchObject({ requests: [0, 3], p50Seconds: [null, expect.any(Number)] })
  })

  test('has evictions, invalidations and their lag a second', () => {
    const { history, second } = setup()
    second(
      [{ kind: 'evicted', key: 'k', bytes: 1, readAt: 0 }, 10],
      [{ kind: 'invalidated', cause: 'purge', soft: false, tags: ['x'], lagSeconds: 0.02 }, 5],
    )
    for (let i = 0; i < 4; i += 1) second()
    const { columns } = history.read()
    expect([columns.evictions, columns.invalidations]).toEqual([[2], [1]])
    expect(columns.lagSeconds?.[0]).toBeCloseTo(0.02, 2)
  })

  test('is no longer written when it is stopped, and leaves no timer', () => {
    const { history, clock, second } = setup()
    history.stop()
    for (let i = 0; i < 10; i += 1) second()
    expect([history.steps, clock.timers]).toEqual([0, 0])
  })
})

describe('the hot keys', () => {
  const key = (name: string | number) => `plan@1?id=${name}` as Key
  /** 0 to 1, the same each time. */
  const lcg = () => {
    let seed = 42
    return () => {
      seed = (seed * 1_664_525 + 1_013_904_223) % 4_294_967_296
      return seed / 4_294_967_296
    }
  }

  test('are found among many cold ones, with the share they have, at any rate', () => {
    for (const perSecond of [50, 2000, 20_000]) {
      const random = lcg()
      const hotKeys = new HotKeys(random)
      for (let i = 0; i < 12; i += 1) {
        for (let k = 0; k < perSecond; k += 1) {
          const u = random()
          hotKeys.note(key(u < 0.3 ? 'hot' : u < 0.4 ? 'warm' : Math.floor(random() * 10_000)))
        }
        hotKeys.settle()
      }
      const [first, second] = hotKeys.of('plan')
      expect([perSecond, first?.key, second?.key]).toEqual([perSecond, key('hot'), key('warm')])
      expect(first?.share).toBeGreaterThan(0.2)
      expect(first?.share).toBeLessThan(0.4)
    }
  })

  test('are kept in a fixed number, whatever is asked', () => {
    const hotKeys = new HotKeys(lcg())
    for (let i = 0; i < 10_000; i += 1) hotKeys.note(key(i))
    expect(hotKeys.of('plan', 10_000)).toHaveLength(64)
  })

  test('are those of now: what was hot cools down', () => {
    const hotKeys = new HotKeys(lcg())
    for (let i = 0; i < 1000; i += 1) hotKeys.note(key('old'))
    for (let i = 0; i < 600; i += 1) hotKeys.settle()
    for (let i = 0; i < 100; i += 1) hotKeys.note(key('new'))
    expect(hotKeys.of('plan')[0]).toEqual({ key: key('new'), share: expect.closeTo(0.99, 1) })
    for (let i = 0; i < 6000; i += 1) hotKeys.settle()
    expect(hotKeys.of('plan')).toEqual([])
  })

  test('a client that asks in a rhythm hides none: what is left out is left out at random', () => {
    const hotKeys = new HotKeys(lcg())
    for (let second = 0; second < 10; second += 1) {
      for (let i = 0; i < 50_000; i += 1) hotKeys.note(key(i % 100 === 0 ? 'a' : i % 100 < 50 ? 'b' : 'c'))
      hotKeys.settle()
    }
    expect(hotKeys.of('plan', 3).map((one) => one.key)).toContain(key('a'))
  })
})

describe('recent events', () => {
  test('is told latest first, and how long ago', () => {
    const clock = new ManualClock()
    const recentEvents = new RecentEvents(clock)
    recentEvents.observe({ kind: 'breaker', name: 'origin', state: 'open' })
    clock.pass(2000)
    recentEvents.observe({ kind: 'breaker', name: 'origin', state: 'half-open' })
    recentEvents.observe({ kind: 'degradation', level: 'healthy', before: 'shedding' })
    recentEvents.observe({ kind: 'config-refused', error: new Error('postgres://user:secret@host') })
    clock.pass(500)
    expect(recentEvents.changes()).toEqual([
      { agoSeconds: 0.5, kind: 'config-refused', isBad: true, text: expect.not.stringContaining('secret') },
      { agoSeconds: 0.5, kind: 'degradation', isBad: false, text: expect.stringMatching(/^Healthy again/) },
      {
        agoSeconds: 2.5,
        kind: 'breaker',
        isBad: true,
        text: expect.stringMatching(/circuit breaker opened.* \(origin\)\.$/),
      },
    ])
  })

  test('does not tell a breaker that opens again after a try, until it has been closed', () => {
    const recentEvents = new RecentEvents(new ManualClock())
    const breaker = (...states: ('open' | 'half-open' | 'closed')[]) => {
      for (const state of states) recentEvents.observe({ kind: 'breaker', name: 'origin', state })
      return recentEvents.changes().map(({ text, isBad }) => `${/(opened|closed)/.exec(text)?.[0]} ${isBad}`)
    }
    const opened = 'opened true'
    expect(breaker('open', 'half-open', 'open', 'half-open', 'open')).toEqual([opened])
    expect(breaker('half-open', 'closed', 'open')).toEqual([opened, 'closed false', opened])
  })

  test('is bounded: fifty changes, fifty invalidations of twenty tags, and neither pushes out the other', () => {
    const recentEvents = new RecentEvents(new ManualClock())
    recentEvents.observe({ kind: 'tier-back', tier: 'redis', label: 'Redis' })
    const tags = Array.from({ length: 1000 }, (_, i) => `tag:${i}`)
    for (let i = 0; i < 51; i += 1)
      recentEvents.observe({ kind: 'invalidated', cause: 'purge', soft: false, tags, lagSeconds: i })
    const told = recentEvents.invalidations()
    expect([told.length, told[0]?.lagSeconds, told.at(-1)?.lagSeconds, told[0]?.tags.length]).toEqual([50, 50, 1, 20])
    expect(recentEvents.changes()).toHaveLength(1)
  })

  test('say everything where everything was purged, and other tags as they are', () => {
    const recentEvents = new RecentEvents(new ManualClock())
    recentEvents.observe({ kind: 'invalidated', cause: 'purge', soft: false, tags: ['*', 'table:plans'] })
    expect(recentEvents.invalidations().map(({ tags }) => tags)).toEqual([['everything', 'table:plans']])
  })

  test('has the ten slowest fills of the last hour of each route, a key once', () => {
    const clock = new ManualClock()
    const recentEvents = new RecentEvents(clock)
    const fill = (key: string, seconds: number) =>
      recentEvents.observe({ kind: 'filled', route: 'plan', key, seconds, readAt: 0, freshMs: 1 })
    for (let i = 1; i <= 11; i += 1) fill(`k${i}`, i)
    fill('k11', 3)
    fill('k5', 20)
    expect(recentEvents.slowest('plan').map(({ key }) => key)).toEqual('k5 k11 k10 k9 k8 k7 k6 k4 k3 k2'.split(' '))
    expect(recentEvents.slowest('county')).toEqual([])
    clock.pass(3_600_001)
    expect(recentEvents.slowest('plan')).toEqual([])
    fill('later', 0.001)
    expect(recentEvents.slowest('plan')).toEqual([{ agoSeconds: 0, key: 'later', seconds: 0.001 }])
  })
})

describe('the page', () => {
  function listener() {
    const { history, parts } = setup()
    const server = adminServer(() => 0.5)
    const isRoute = (name: string) => name === 'plan'
    dashboardRoutes(server, { stats: () => statsOf(parts), history, isRoute, hotKeys: () => [], slowest: () => [] })
    return server
  }

  test('and all it is made of comes from here, under a policy that allows nothing else', async () => {
    const server = listener()
    const { body: html, headers } = await server.inject('/dashboard')
    expect(headers['content-type']).toBe('text/html; charset=utf-8')
    const policy = String(headers['content-security-policy'])
    expect(policy).toMatch(/^default-src 'none'; script-src 'self'; style-src 'self';/)
    expect(policy).not.toMatch(/unsafe|http|\*/)
    expect(html).not.toMatch(/<script>|<style|style=|\bon\w+=|https?:/)
    const named = [...html.matchAll(/(?:href|src)="([^"]+)"/g)].map(([, path]) => `/${path}`)
    const scripts = new Set(named)
    for (const path of scripts) {
      const { statusCode, body } = await server.inject(path)
      expect([path, statusCode]).toEqual([path, 200])
      if (path.endsWith('.js')) {
        for (const [, name] of body.matchAll(/^import .* from '\.\/([^']+)'$/gm)) scripts.add(`/dashboard/${name}`)
      }
    }
    expect(scripts.size).toBeGreaterThan(8)
  })

  test('takes what the server answers for what it is, and nothing else', async () => {
    const server = listener()
    const { readStats, fetchPast, fetchRoutePast, sendPurge } = await import(
      new URL('../proxy/ops/dashboard/api.js', import.meta.url).href
    )
    const stats = JSON.parse(JSON.stringify(statsOf(setup().parts)))
    expect(readStats(JSON.stringify(stats))).toEqual(stats)
    expect(() => readStats(JSON.stringify({ ...stats, routes: undefined }))).toThrow(TypeError)
    onTestFinished(() => void vi.unstubAllGlobals())
    vi.stubGlobal('fetch', async (path: string) => new Response((await server.inject(`/${path}`)).body))
    expect(await fetchPast(0)).toMatchObject({ steps: expect.any(Number) })
    expect(await fetchRoutePast('plan', 0)).toMatchObject({ hotKeys: [], slowest: [] })
    const answering = (status: number, answer: unknown) =>
      vi.stubGlobal('fetch', async () => Response.json(answer, { status }))
    answering(200, [])
    await expect(fetchPast(0)).rejects.toThrow(TypeError)
    await expect(sendPurge({}, '')).rejects.toThrow(TypeError)
    answering(400, { title: 'Bad Request', detail: 'No tag.' })
    expect(await sendPurge({}, '')).toEqual({ problem: 'No tag.' })
    answering(401, {})
    expect(await sendPurge({}, '')).toEqual({ needsToken: true })
    const purged = { tags: ['table:plans'], soft: false, scope: 'fleet', reached: ['memory'], missed: [] }
    answering(200, purged)
    expect(await sendPurge({}, '')).toEqual({ purged })
  })

  test('serves no other file, and the past of no other route', async () => {
    const server = listener()
    for (const path of [
      '/dashboard/',
      '/dashboard/../admin.ts',
      '/dashboard/..%2fadmin.ts',
      '/dashboard/package.json',
      '/dashboard/tsconfig.json',
    ]) {
      expect([path, (await server.inject(path)).statusCode]).toEqual([path, 404])
    }
    expect((await server.inject('/dashboard/route?name=plan')).statusCode).toBe(200)
    for (const path of [
      'route',
      'route?name=nowhere',
      'history?since=-1',
      'history?since=x',
      'route?name=plan&since=1e9',
    ])
      expect([path, (await server.inject(`/dashboard/${path}`)).statusCode]).toEqual([path, 400])
  })
})

describe('numbers as people read them', async () => {
  const words = await import(new URL('../proxy/ops/dashboard/words.js', import.meta.url).href)
  test.each([
    ['number', null, '–'],
    ['number', 0, '0'],
    ['number', 0.2549, '0.25'],
    ['number', 9.994, '9.99'],
    ['number', 9.995, '10'],
    ['number', 99.94, '99.9'],
    ['number', 99.96, '100'],
    ['number', 1234.4, '1,234'],
    ['number', 9999.4, '9,999'],
    ['number', 12_345, '12.3k'],
    ['number', 999_949, '1000k'],
    ['number', 999_951, '1M'],
    ['percent', 0, '0 %'],
    ['percent', 0.0004, '<0.1 %'],
    ['percent', 0.034, '3.4 %'],
    ['percent', 0.876, '88 %'],
    ['percent', 0.9987, '99.9 %'],
    ['percent', 0.999_99, '>99.9 %'],
    ['percent', 1, '100 %'],
    ['seconds', 0.000_085_4, '85 µs'],
    ['seconds', 0.000_999_6, '1 ms'],
    ['seconds', 0.0042, '4.2 ms'],
    ['seconds', 0.9996, '1 s'],
    ['seconds', 1.349, '1.35 s'],
    ['span', 0.5, '0.5 s'],
    ['span', 45, '45 s'],
    ['span', 89.4, '89 s'],
    ['span', 600, '10 min'],
    ['span', 3600, '1 h'],
    ['span', 86_400, '1 d'],
    ['span', 100_000, '28 h'],
    ['bytes', 1023, '1023 B'],
    ['bytes', 1536, '1.5 KiB'],
    ['bytes', 4_415_000, '4.21 MiB'],
  ])('%s of %j is %j', (how, value, text) => expect(words[how](value)).toBe(text))

  test('a moment of today is a time, any other has its date', () => {
    const now = new Date(2026, 0, 31, 14, 3, 12).getTime()
    expect(words.clockTime(now - 1000, now)).toBe('14:03:11')
    expect(words.clockTime(new Date(2026, 0, 31).getTime(), now)).toBe('00:00:00')
    expect(words.clockTime(new Date(2026, 0, 31).getTime() - 1000, now)).toBe('30 Jan 2026, 23:59:59')
    expect(words.clockTime(new Date(2025, 0, 31, 14, 3, 12).getTime(), now)).toBe('31 Jan 2025, 14:03:12')
    expect(words.utcTime(Date.UTC(2026, 0, 31, 13, 3, 12))).toBe('2026-01-31 13:03:12 UTC')
  })

  test('each degradation level has a name, and a sign of its own', () => {
    const all: { sign: string; name: string; effect: string }[] = Object.values(words.levels)
    expect(all.map(({ name }) => name)).toEqual([
      'Healthy',
      'Degraded: memory-only',
      'Degraded: stale-only',
      'Degraded: shedding',
      'No contact',
    ])
    expect(new Set(all.map(({ sign }) => sign)).size).toBe(5)
  })
})
