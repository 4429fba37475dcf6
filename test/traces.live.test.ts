import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, inject, test } from 'vitest'
import { freePort } from '../bench/servers/programs.ts'
import { until } from '../bench/until.ts'
import { type Running, startApp } from './live.ts'
import { programs } from './program.ts'
import { startUpstream, type UpstreamServer } from './upstream-server.ts'

interface Span {
  name: string
  traceId: string
  spanId: string
  parentSpanId?: string
  kind: number
  attributes: Record<string, unknown>
  startTimeUnixNano: string
  endTimeUnixNano: string
}

/** A receiver of OTLP over HTTP, in place of a collector. */
async function startReceiver() {
  const spans: Span[] = []
  const seen: { path: string; resource: unknown }[] = []
  const server = createServer(async (request, response) => {
    const pieces: Buffer[] = []
    for await (const piece of request) pieces.push(piece)
    for (const { resource, scopeSpans } of JSON.parse(Buffer.concat(pieces).toString()).resourceSpans) {
      seen.push({ path: request.url as string, resource: byName(resource.attributes) })
      for (const { spans: some } of scopeSpans)
        for (const span of some) spans.push({ ...span, attributes: byName(span.attributes) })
    }
    response.setHeader('Content-Type', 'application/json').end('{}')
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return { url, spans, seen, stop: () => server.closeAllConnections() ?? server.close() }
}

const byName = (attributes: { key: string; value: Record<string, unknown> }[] = []) =>
  Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value)[0]]))

const traceId = '0af7651916cd43dd8448eb211c80319c'
const parentId = 'b7ad6b7169203331'
const traceparent = `00-${traceId}-${parentId}-01`

let receiver: Awaited<ReturnType<typeof startReceiver>>
let tier: UpstreamServer
let app: Running

beforeAll(async () => {
  receiver = await startReceiver()
  tier = await startUpstream()
  tier.pages.set('/page', (_request, response) => void response.end('page'))
  const environment = {
    OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url,
    UPSTREAM_URL: tier.url,
    REDIS_URL: inject('redisUrl'),
  }
  app = await startApp(inject('databaseUrl'), environment, (config) => ({
    ...config,
    redis: { ...config.redis, keyPrefix: `traces:${Date.now()}:` },
  }))
})

afterAll(async () => {
  await app.stop()
  await tier.stop()
  receiver.stop()
})

beforeEach(() => void receiver.spans.splice(0))

/** Waits for `count` spans of `trace`. */
async function spansOf(trace: string, count: number): Promise<Span[]> {
  const mine = () => receiver.spans.filter((span) => span.traceId === trace)
  return until(mine, (spans) => spans.length >= count)
}

const newTrace = () => crypto.randomUUID().replaceAll('-', '')
const under = (trace: string, flags = '01') => ({ traceparent: `00-${trace}-${parentId}-${flags}` })
const named = (spans: readonly Span[], name: string) => spans.find((span) => span.name === name) as Span

describe('a request that belongs to a trace', () => {
  test('and misses: the request span under its parent, the tier lookups, the fill, and the statement in the fill', async () => {
    const answer = await app.get('/api/states?year=2014&secret=x', { traceparent })
    expect(answer.cacheStatus).toContain('detail=origin')
    const spans = await spansOf(traceId, 5)
    const edge = named(spans, 'GET /api/states')
    expect(edge).toMatchObject({ parentSpanId: parentId, kind: 2 })
    expect(edge.attributes).toMatchObject({
      'http.request.method': 'GET',
      'http.route': '/api/states',
      'http.response.status_code': 200,
      'url.path': '/api/states',
      'onramp.source': 'origin',
      'onramp.state': 'miss',
    })
    const inEdge = spans.filter(({ parentSpanId }) => parentSpanId === edge.spanId).map(({ name }) => name)
    expect(new Set(inEdge)).toEqual(new Set(['memory', 'redis', 'fill']))
    expect(named(spans, 'memory').attributes).toEqual({ 'onramp.found': false })
    expect(named(spans, 'sql')).toMatchObject({ parentSpanId: named(spans, 'fill').spanId, kind: 3 })
    expect(JSON.stringify(receiver.spans)).not.toContain('secret')
    for (const { name, startTimeUnixNano, endTimeUnixNano } of spans)
      expect(BigInt(endTimeUnixNano) >= BigInt(startTimeUnixNano), name).toBe(true)
    expect(receiver.seen[0]).toMatchObject({ path: '/v1/traces', resource: { 'service.name': 'onramp' } })
  })

  test('and hits: the request span and the memory lookup', async () => {
    await app.get('/api/reference/metal-levels')
    const trace = newTrace()
    await app.get('/api/reference/metal-levels', under(trace))
    const spans = await spansOf(trace, 2)
    expect(spans.map(({ name }) => name).sort()).toEqual(['GET /api/reference/metal-levels', 'memory'])
    expect(named(spans, 'memory').attributes).toEqual({ 'onramp.found': true })
  })

  test("and waits for another request's fill: a wait span, and no fill span", async () => {
    const traces = [newTrace(), newTrace()] as const
    const owner = new pg.Client(inject('ownerUrl'))
    await owner.connect()
    // The lock keeps the fill waiting until both requests have arrived.
    await owner.query('begin; lock table poverty_guidelines in access exclusive mode')
    const asked = traces.map((trace) => app.get('/api/reference/poverty-guidelines', under(trace)))
    const isCollapsed = async () =>
      (await app.admin('/metrics')).text.includes('collapsed_total{route="poverty-guidelines"} 1')
    await until(isCollapsed)
    await owner.end()
    await Promise.all(asked)
    const [one, two] = [await spansOf(traces[0], 3), await spansOf(traces[1], 3)]
    const [leader, waiter] = named(one, 'fill') === undefined ? [two, one] : [one, two]
    expect([named(leader, 'wait'), named(waiter, 'fill')]).toEqual([undefined, undefined])
    const edge = named(waiter, 'GET /api/reference/poverty-guidelines')
    expect(named(waiter, 'wait')).toMatchObject({ parentSpanId: edge.spanId })
  })

  test('by POST: its spans too, although its body arrives later', async () => {
    const trace = newTrace()
    await app.post('/api/plans/search', { county: '51059', ages: [61] }, under(trace))
    const spans = await spansOf(trace, 5)
    expect(named(spans, 'fill').parentSpanId).toBe(named(spans, 'POST /api/plans/search').spanId)
  })

  test('that is not sampled is not recorded', async () => {
    const [silent, loud] = [newTrace(), newTrace()]
    await app.get('/api/states', under(silent, '00'))
    await app.get('/api/states', under(loud))
    await spansOf(loud, 2)
    expect(receiver.spans.filter((span) => span.traceId === silent)).toEqual([])
  })
})

describe('a request to the upstream', () => {
  const askedFor = () => tier.seen.at(-1)?.headers

  test('carries the request span as its parent, in the same trace', async () => {
    const trace = newTrace()
    await app.get('/page', { ...under(trace), tracestate: 'a=b' })
    const [edge] = await spansOf(trace, 1)
    expect(edge).toMatchObject({ name: 'GET', parentSpanId: parentId })
    expect(edge?.attributes).toMatchObject({ 'url.path': '/page', 'http.response.status_code': 200 })
    expect(askedFor()).toMatchObject({ traceparent: `00-${trace}-${edge?.spanId}-01`, tracestate: 'a=b' })
  })

  test('carries the unsampled flag of an unsampled trace', async () => {
    const trace = newTrace()
    await app.get('/page', under(trace, '00'))
    expect(askedFor()?.traceparent).toMatch(new RegExp(`^00-${trace}-(?!${parentId})[0-9a-f]{16}-00$`))
  })

  test.each(['nonsense', `00-${'0'.repeat(32)}-${parentId}-01`, `ff-${traceId}-${parentId}-01`, undefined])(
    'begins a trace of its own where %s came',
    async (given) => {
      await app.get('/page', given === undefined ? {} : { traceparent: given })
      const [, trace] = /^00-([0-9a-f]{32})-[0-9a-f]{16}-01$/.exec(askedFor()?.traceparent as string) ?? []
      expect(trace).toBeDefined()
      const [edge] = await spansOf(trace as string, 1)
      expect(edge).not.toHaveProperty('parentSpanId', parentId)
    },
  )
})

describe('a program of its own', () => {
  const { ready } = programs('traces')
  // Prints each module loaded for tracing.
  const hook = `import { registerHooks } from 'node:module'
    registerHooks({ load(url, context, next) {
      if (/@opentelemetry.sdk-trace|ops.traces/.test(url)) process.stderr.write('loaded ' + url + '\\n')
      return next(url, context)
    } })`
  const telling = { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(hook)}` }

  test('without a receiver loads no tracing module, and passes traceparent through unchanged', async () => {
    const program = await ready([], { ...telling, UPSTREAM_URL: tier.url })
    await (await fetch(`${program.url}/page`, { headers: { traceparent } })).text()
    expect(tier.seen.at(-1)?.headers.traceparent).toBe(traceparent)
    expect(program.errors()).toBe('')
  })

  test('twin: with an unreachable receiver tracing is loaded, no request fails, one line is logged, and the end does not wait', async () => {
    const endpoint = `http://127.0.0.1:${await freePort()}`
    const program = await ready([], { ...telling, OTEL_EXPORTER_OTLP_ENDPOINT: endpoint })
    expect(program.errors()).toMatch(/^loaded .*\/ops\/traces\.ts$/m)
    expect(program.errors()).toContain('/@opentelemetry/sdk-trace/')
    const told = () => program.output().split('"event":"traces-lost"').length - 1
    // Two spans a request: more than fit into the queue.
    for (let asked = 0; asked < 1100; asked += 50) {
      const headers = { traceparent }
      const answers = await Promise.all(
        Array.from({ length: 50 }, () => fetch(`${program.url}/api/states`, { headers })),
      )
      for (const answer of answers) expect([answer.status, (await answer.text()).length > 2]).toEqual([200, true])
    }
    await until(told, (times) => times > 0)
    expect(told()).toBe(1)
    const began = performance.now()
    program.child.kill('SIGTERM')
    expect(await program.ended).toBe(0)
    expect(performance.now() - began).toBeLessThan(20_000)
  })
})
