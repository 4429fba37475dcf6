import { describe, expect, test } from 'vitest'
import type { Key } from '../proxy/cache/key.ts'
import type { Purged, PurgeRequest } from '../proxy/coherence/purge.ts'
import { Refusal } from '../proxy/errors.ts'
import { adminRoutes } from '../proxy/ops/admin.ts'
import { adminServer } from '../proxy/ops/admin-server.ts'
import { stateOf } from '../proxy/ops/process-state.ts'
import { statsOf } from '../proxy/ops/stats.ts'
import { described, statsParts } from './stats-parts.ts'
import { entryOf } from './support.ts'

function setup({ token }: { token?: string } = {}) {
  const parts = statsParts()
  const { clock, memory, metrics } = parts
  const purges: PurgeRequest[] = []
  const outcome: {
    missed: Purged['missed']
    notReady: string | undefined
    reload: () => Promise<{ changed: string[]; needRestart: string[] }>
  } = {
    missed: [],
    notReady: undefined,
    reload: async () => ({ changed: ['plan'], needRestart: [] }),
  }
  const server = adminServer(() => 0.5)
  adminRoutes(server, {
    token,
    metrics,
    memory,
    now: () => clock.now(),
    readiness: {
      get why() {
        return outcome.notReady
      },
    },
    state: () => stateOf(parts),
    stats: () => statsOf(parts),
    routes: () => ['plan', 'county'].map(described),
    async purge(request) {
      purges.push(request)
      return {
        tags: ['x'],
        soft: request.soft,
        position: '7:abc',
        scope: 'fleet',
        reached: ['memory'],
        missed: outcome.missed,
      }
    },
    reload: () => outcome.reload(),
  })
  const post = (url: string, payload: unknown, headers = {}) =>
    server.inject({
      method: 'POST',
      url,
      headers: { 'content-type': 'application/json', ...headers },
      payload: JSON.stringify(payload),
    })
  return { server, post, purges, outcome, memory, clock, metrics, state: () => stateOf(parts) }
}

describe('purge', () => {
  test.each([
    [{ tags: ['county:51059', 'table:plans'] }, { tags: ['county:51059', 'table:plans'], soft: false }],
    [{ route: 'plan' }, { route: 'plan', soft: false }],
    [
      { route: 'plan', params: { plan_id: 'x' } },
      { route: 'plan', params: { plan_id: 'x' }, soft: false },
    ],
    [
      { all: true, soft: true },
      { all: true, soft: true },
    ],
  ])('accepts %j', async (body, understood) => {
    const { post, purges } = setup()
    const answer = await post('/purge', body)
    expect([answer.statusCode, purges]).toEqual([200, [understood]])
    expect(answer.json()).toEqual({
      tags: ['x'],
      soft: understood.soft,
      position: '7:abc',
      scope: 'fleet',
      reached: ['memory'],
      missed: [],
    })
  })

  test.each([
    {},
    { tags: [] },
    { tags: 'x' },
    { tags: ['x'], route: 'plan' },
    { all: false },
    { all: 'true' },
    { route: 'plan', parameters: {} },
    { tags: ['x'], soft: 'yes' },
    { tags: [''] },
    [],
    null,
    'all',
    { tag: ['x'] },
  ])('refuses %j and purges nothing', async (body) => {
    const { post, purges } = setup()
    expect([(await post('/purge', body)).statusCode, purges]).toEqual([400, []])
  })

  test('that did not reach Redis is a 202 with its consequence', async () => {
    const { post, outcome } = setup()
    outcome.missed = ['redis']
    const answer = await post('/purge', { all: true })
    expect([answer.statusCode, answer.json().missed, answer.json().detail]).toEqual([
      202,
      ['redis'],
      expect.stringContaining('Redis did not answer'),
    ])
  })

  test('cannot be sent by a page in a browser: only application/json is accepted', async () => {
    const { server, purges } = setup()
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x']) {
      const answer = await server.inject({
        method: 'POST',
        url: '/purge',
        headers: { 'content-type': type },
        payload: '{"all":true}',
      })
      expect([type, answer.statusCode, purges]).toEqual([type, 415, []])
    }
  })
})

test('a POST from a page of another site is refused', async () => {
  const { post, purges } = setup()
  for (const url of ['/purge', '/reload']) {
    for (const origin of ['https://evil.example', 'null', 'http://127.0.0.1:1']) {
      const answer = await post(url, { all: true }, { origin, host: '127.0.0.1:9090' })
      expect([answer.statusCode, purges]).toEqual([403, []])
    }
  }
  expect(
    (await post('/purge', { all: true }, { origin: 'http://127.0.0.1:9090', host: '127.0.0.1:9090' })).statusCode,
  ).toBe(200)
})

describe('with a token', () => {
  test('every POST needs it, and no GET does', async () => {
    const { server, post, purges } = setup({ token: 'long-enough' })
    for (const authorization of [
      undefined,
      '',
      'Bearer',
      'Bearer long-enoug',
      'Bearer long-enough2',
      'Basic long-enough',
      'long-enough',
    ]) {
      for (const url of ['/purge', '/reload']) {
        const answer = await post(url, { all: true }, authorization === undefined ? {} : { authorization })
        expect([answer.statusCode, answer.headers['www-authenticate'], answer.headers['content-type']]).toEqual([
          401,
          'Bearer',
          'application/problem+json',
        ])
      }
    }
    expect(purges).toEqual([])
    expect((await post('/purge', { all: true }, { authorization: 'Bearer long-enough' })).statusCode).toBe(200)
    expect((await post('/purge', { all: true }, { authorization: 'bearer long-enough' })).statusCode).toBe(200)
    expect((await server.inject('/stats')).statusCode).toBe(200)
  })
})

describe('reload', () => {
  test('returns the changed routes, or every fault of the new configuration', async () => {
    const { post, outcome } = setup()
    expect((await post('/reload', {})).json()).toEqual({ changed: ['plan'], needRestart: [] })
    outcome.reload = () => Promise.reject(new Refusal(['one', 'two']))
    const refused = await post('/reload', {})
    expect([refused.statusCode, refused.json().errors]).toEqual([422, ['one', 'two']])
  })

  test('needs no body', async () => {
    const { server } = setup()
    expect((await server.inject({ method: 'POST', url: '/reload' })).statusCode).toBe(200)
  })
})

describe('probes', () => {
  test('/live is always 200; /ready is 503 during the drain', async () => {
    const { server, outcome, state } = setup()
    expect((await server.inject('/ready')).json()).toEqual({ status: 'ready', ...state() })
    outcome.notReady = 'The process is draining: it finishes the requests under way and ends.'
    const answer = await server.inject('/ready')
    expect([answer.statusCode, answer.json()]).toEqual([
      503,
      {
        status: 'not ready',
        detail: 'The process is draining: it finishes the requests under way and ends.',
        ...state(),
      },
    ])
    expect((await server.inject('/live')).statusCode).toBe(200)
  })
})

describe('entries', () => {
  test('lists keys, ages and sizes of a route, and no bodies', async () => {
    const { server, memory, clock } = setup()
    const entry = entryOf('secret bytes', { tags: ['route:plan'], readAt: clock.now() })
    for (const key of ['plan@1?plan_id=a', 'plan@1?plan_id=b', 'county@1?fips=1']) memory.set(key as Key, entry)
    clock.pass(1500)
    const answer = await server.inject('/entries?route=plan')
    expect(answer.json()).toEqual([
      expect.objectContaining({
        key: 'plan@1?plan_id=b',
        ageSeconds: 1.5,
        bytes: expect.any(Number),
        tags: ['route:plan'],
      }),
      expect.objectContaining({ key: 'plan@1?plan_id=a' }),
    ])
    expect(answer.body).not.toContain('secret')
    expect((await server.inject('/entries?limit=1')).json()).toHaveLength(1)
    expect((await server.inject('/entries?route=nowhere')).statusCode).toBe(400)
    expect((await server.inject('/entries?limit=x')).statusCode).toBe(400)
  })
})

describe('metrics', () => {
  test('count what was observed, under the names of the contract', async () => {
    const { server, metrics } = setup()
    const response = { kind: 'response', route: 'plan', method: 'GET', path: '/x', seconds: 0.002 } as const
    metrics.observe({ ...response, source: 'memory', state: 'fresh', status: 200 })
    metrics.observe({ ...response, source: 'memory', state: 'stale', status: 200 })
    metrics.observe({ ...response, source: 'origin', state: 'miss', status: 200 })
    metrics.observe({ ...response, source: 'none', state: 'error', status: 503 })
    metrics.observe({ kind: 'origin-query', route: 'plan', outcome: 'ok', seconds: 0.01 })
    metrics.observe({ kind: 'origin-query', route: 'plan', outcome: 'timeout', seconds: 2 })
    metrics.observe({ kind: 'collapsed', route: 'plan' })
    metrics.observe({ kind: 'evicted', key: 'plan@1', bytes: 1000, readAt: 0 })
    metrics.observe({ kind: 'invalidated', cause: 'purge', soft: false, tags: ['x'], lagSeconds: 0.02 })
    metrics.observe({ kind: 'tier-error', tier: 'redis', operation: 'get', reason: 'timeout' })
    const { body, headers } = await server.inject('/metrics')
    expect(headers['content-type']).toContain('text/plain')
    for (const line of [
      'onramp_responses_total{route="plan",source="memory",state="fresh",status="200"} 1',
      'onramp_responses_total{route="plan",source="none",state="error",status="503"} 1',
      'onramp_response_seconds_count{route="plan",source="memory"} 2',
      'onramp_origin_queries_total{route="plan",outcome="ok"} 1',
      'onramp_origin_query_seconds_count{route="plan"} 2',
      'onramp_tier_errors_total{tier="redis",operation="get",reason="timeout"} 1',
      'onramp_tier_bytes{tier="memory"} 0',
      'onramp_tier_entries{tier="memory"} 0',
      'onramp_evictions_total 1',
      'onramp_invalidations_total{cause="purge"} 1',
      'onramp_invalidation_lag_seconds_count 1',
      'onramp_collapsed_total{route="plan"} 1',
      'onramp_client_connections 1',
      'onramp_breaker_state{name="redis"} 1',
      'onramp_pool_connections{state="active"} 2',
      'onramp_pool_connections{state="waiting"} 2',
      'onramp_event_loop_lag_seconds 0.004',
      'onramp_build_info{version="1.2.3",node="v26"} 1',
    ]) {
      expect(body.split('\n')).toContain(line)
    }
    const stats = (await server.inject('/stats')).json()
    expect(stats.total).toEqual({
      requests: 4,
      memory: 2,
      redis: 0,
      origin: 1,
      upstream: 0,
      none: 1,
      stale: 1,
      errors: 1,
      collapsed: 1,
      shed: 0,
      queries: 2,
      failedQueries: 1,
      ageSecondsSum: 0,
      hitRatio: 2 / 3,
      now: expect.any(Object),
    })
    expect(stats.routes.plan).toEqual({ ...stats.total, now: null })
  })
})

test('an unknown path is answered with problem details', async () => {
  const { server } = setup()
  for (const url of ['/', '/api/states', '/%ff']) {
    const answer = await server.inject(url)
    expect([url, answer.headers['content-type']]).toEqual([url, 'application/problem+json'])
    expect(answer.statusCode).toBeGreaterThanOrEqual(400)
  }
})
