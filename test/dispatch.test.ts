import { once } from 'node:events'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { duplexPair } from 'node:stream'
import { text } from 'node:stream/consumers'
import { describe, expect, onTestFinished, test } from 'vitest'
import { Audit } from '../proxy/cache/audit.ts'
import type { Encoding, Entry } from '../proxy/cache/entry.ts'
import type { Key } from '../proxy/cache/key.ts'
import { noLeases } from '../proxy/cache/lease.ts'
import { memoryTier } from '../proxy/cache/memory.ts'
import { ReadThrough } from '../proxy/cache/read-through.ts'
import type { Tier } from '../proxy/cache/tier.ts'
import { Ledger } from '../proxy/coherence/ledger.ts'
import { Problem } from '../proxy/errors.ts'
import { Dispatcher, type PublicLimits } from '../proxy/http/dispatch.ts'
import { PublicListener } from '../proxy/http/listener.ts'
import { RouteReads } from '../proxy/http/routes/reads.ts'
import { compileRoute, type Route } from '../proxy/http/routes/route.ts'
import { routeTable } from '../proxy/http/routes/table.ts'
import type { GuardedOrigin } from '../proxy/origin/guard.ts'
import type { Values } from '../proxy/origin/origin.ts'
import { Scheduler } from '../proxy/overload/scheduler.ts'
import { type Asked, ask, gate, ManualClock, recorder, settled } from './support.ts'

const lifetime = { fresh: 60_000, stale: 600_000, staleIfError: 3_600_000, negative: 10_000 }
const common = {
  lifetime,
  cacheControl: 'max-age=0, must-revalidate',
  tags: [],
  audit: 0,
  share: { reserve: 0, queue: 100 },
  rows: {},
}
const string = { type: 'string', minLength: 1, maxLength: 20, lowercase: false } as const

const limits: PublicLimits = {
  maxConnections: 10,
  maxRequests: 0,
  maxHeaderBytes: 16_384,
  headerTimeoutMs: 10_000,
  quietMs: 10_000,
  keepAliveTimeoutMs: 10_000,
  maxBodyBytes: 200,
  maxParameters: 5,
}

/** The public listener over real parts, with an origin that echoes the parameters. */
function setup({
  cors = [],
  noCache,
  audit = 0,
  clock = new ManualClock(),
  scheduler = new Scheduler(clock),
}: {
  cors?: string[]
  noCache?: number
  audit?: number
  clock?: ManualClock
  scheduler?: Scheduler
} = {}) {
  const seen = recorder()
  const asked: Values[] = []
  const origin: Pick<GuardedOrigin, 'query' | 'admit' | 'isIdleFor'> & {
    answer: (values: Values) => { json: string; rows: number }
  } = {
    answer: (values) => ({ json: JSON.stringify(values), rows: 1 }),
    admit() {},
    isIdleFor: () => true,
    async query(_query, values) {
      asked.push(values)
      return this.answer(values)
    },
  }
  const wanted: [Key, Encoding][] = []
  const ledger = new Ledger()
  ledger.join({ pos: 7, id: 'start' })
  const memory = memoryTier(1024 ** 2, seen.observe)
  const inRedis = new Map<Key, Entry>()
  const redis: Tier = {
    name: 'redis',
    label: 'Redis',
    get: async (key) => inRedis.get(key),
    set: async () => true,
  }
  const cache = new ReadThrough({
    memory,
    farther: [redis],
    leases: noLeases,
    ledger,
    clock,
    observe: seen.observe,
    random: () => 0.5,
    softMs: 150,
    reached: async () => false,
    mayRefresh: () => true,
    deadlineMs: 3000,
  })
  const routes = (cacheControl: string) => [
    compileRoute({
      ...common,
      audit,
      cacheControl,
      lifetime: { ...lifetime, noCache },
      name: 'county',
      path: '/api/counties/:fips',
      methods: ['GET'],
      returns: 'row',
      sql: 'select :fips',
      parameters: { fips: string },
    }),
    compileRoute({
      ...common,
      name: 'search',
      path: '/api/search',
      methods: ['GET', 'POST'],
      returns: 'rows',
      sql: 'select :q, :n',
      parameters: { q: string, n: { type: 'integer', min: 0, max: 9, default: 1 } },
    }),
  ]
  let table = routeTable(routes(common.cacheControl))
  const reload = (cacheControl: string) => {
    table = routeTable(routes(cacheControl))
  }
  /** As after another inspection of the routes. */
  const lookAgain = (seen: Partial<Route>) => {
    table = routeTable(routes(common.cacheControl).map((route) => ({ ...route, ...seen })))
  }
  const guarded = origin as unknown as GuardedOrigin
  const routing = {
    get table() {
      return table
    },
    reads: new RouteReads(() => table, guarded),
  }
  const listener = new PublicListener(limits, undefined, clock, seen.observe)
  const dispatcher = new Dispatcher({
    routing,
    cache,
    audit: new Audit({ ledger, clock, observe: seen.observe, random: () => 0 }),
    variants: { want: (key, encoding) => wanted.push([key, encoding]) },
    origin: guarded,
    scheduler,
    clock,
    observe: seen.observe,
    random: () => 0.5,
    passthrough: undefined,
    cors,
    listener,
    limits,
  })
  listener.serve(dispatcher)
  const askServer = (request: string | Asked) => ask(listener.server, request)
  return { listener, ask: askServer, reload, lookAgain, asked, wanted, origin, clock, seen, memory, inRedis }
}

const json = { 'content-type': 'application/json' }

test('a closed route is rejected, and so are its requests in flight; nothing of it is cached', async () => {
  const { ask, lookAgain, origin, asked, memory } = setup()
  const [begun, read] = [gate(), gate()]
  origin.query = async () => {
    begun.open()
    await read.opened
    return { json: '{"name":"somebody"}', rows: 1 }
  }
  const early = ask('/api/counties/51059')
  await begun.opened
  lookAgain({ closed: 'It is private.' })
  read.open()
  const answers = [await early, await ask('/api/counties/51059'), await ask('/api/counties/51061')]
  expect(answers.map(({ statusCode }) => statusCode)).toEqual([503, 503, 503])
  expect(answers.map(({ body }) => JSON.parse(body).detail)).toEqual(Array(3).fill('It is private.'))
  expect([asked.length, memory.entries]).toEqual([0, 0])
})

test('a closed route reports that it is closed, whatever the parameters', async () => {
  const { ask, lookAgain } = setup()
  lookAgain({ closed: 'It is private.' })
  const post = { method: 'POST', url: '/api/search', headers: json, payload: '{"n":"x"}' }
  for (const request of ['/api/search?n=x', `/api/counties/${'1'.repeat(500)}`, post]) {
    const answer = await ask(request)
    expect([answer.statusCode, answer.json().detail]).toEqual([503, 'It is private.'])
  }
})

test('hits from memory and Redis are audited; answers of the origin and fallbacks are not', async () => {
  const other = setup({ audit: 1 })
  await other.ask('/api/counties/51059')
  await settled()
  expect(other.clock.timers).toBe(0)
  const { ask, origin, clock, seen, inRedis } = setup({ audit: 1 })
  for (const { key, entry } of other.memory.list()) inRedis.set(key, entry)
  /** The result of a request, and the number of audits it caused. */
  const asking = async () => {
    const before = seen.of('audited').length
    const { headers } = await ask('/api/counties/51059')
    clock.pass(0)
    await settled()
    return [headers['cache-status']?.toString().replace(/ttl=-?\d+; /, ''), seen.of('audited').length - before]
  }
  expect(await asking()).toEqual(['onramp; hit; detail=redis', 1])
  expect(await asking()).toEqual(['onramp; hit; detail=memory', 1])
  clock.pass(lifetime.fresh + lifetime.stale + 1000)
  origin.answer = () => {
    throw new Problem('origin-failed', 'In a word.')
  }
  expect(await asking()).toEqual(['onramp; fwd=stale; detail=stale-only', 0])
  expect(await asking()).toEqual(['onramp; hit; detail=stale-only', 0])
})

test('an answer has the tags of the objects known for its route when its statement is sent', async () => {
  const { ask, lookAgain, origin, memory } = setup()
  const [begun, turn] = [gate(), gate()]
  origin.query = async (_query, _values, sent) => {
    begun.open()
    await turn.opened
    sent?.()
    return { json: '{}', rows: 1 }
  }
  const answer = ask('/api/counties/51059')
  await begun.opened
  lookAgain({ tables: ['seen', 'two'], functions: ['told()'] })
  turn.open()
  expect((await answer).statusCode).toBe(200)
  const [held] = [...memory.list()]
  expect(held?.entry.tags).toEqual(
    expect.arrayContaining(['route:county', 'table:seen', 'table:two', 'function:told()']),
  )
})

test('a variant is built only for large bodies, and only for clients that can read it', async () => {
  const { ask, origin, wanted } = setup()
  origin.answer = () => ({ json: `"${'x'.repeat(2000)}"`, rows: 1 })
  await ask({ url: '/api/counties/51059' })
  await ask({ url: '/api/counties/51059', headers: { 'accept-encoding': 'identity' } })
  expect(wanted).toEqual([])
  await ask({ url: '/api/counties/51059', headers: { 'accept-encoding': 'gzip, br' } })
  await ask({
    url: '/api/search',
    method: 'POST',
    headers: { ...json, 'accept-encoding': 'gzip' },
    payload: '{"q":"a"}',
  })
  expect(wanted).toEqual([
    [expect.stringContaining('county@'), 'br'],
    [expect.stringContaining('search@'), 'gzip'],
  ])
})

describe('a route', () => {
  test('answers GET with everything a client needs to store and revalidate it', async () => {
    const { ask } = setup()
    const answer = await ask('/api/counties/51059')
    expect(answer.statusCode).toBe(200)
    expect(answer.headers).toMatchObject({
      'content-type': 'application/json',
      'content-length': String(Buffer.byteLength('{"fips":"51059"}')),
      'cache-control': 'max-age=0, must-revalidate',
      age: '0',
      'cache-status': 'onramp; fwd=uri-miss; stored; detail=origin',
      etag: expect.stringMatching(/^"[\w-]{22}"$/),
    })
    expect(answer.headers.vary).toBeUndefined()
    expect(answer.body).toBe('{"fips":"51059"}')
  })

  test('reports the age of its answer in whole seconds', async () => {
    const { ask, clock } = setup()
    await ask('/api/counties/51059')
    clock.pass(5999)
    const { headers } = await ask('/api/counties/51059')
    expect([headers.age, headers['cache-status']]).toEqual(['5', 'onramp; hit; ttl=51; detail=memory'])
  })

  test('fills a cold key for HEAD with the whole answer', async () => {
    const { ask, asked } = setup()
    const head = await ask({ method: 'HEAD', url: '/api/counties/51059' })
    expect([head.statusCode, head.headers['content-length'], head.body]).toEqual([200, '16', ''])
    const get = await ask('/api/counties/51059')
    expect([get.body, get.headers.etag, asked.length]).toEqual(['{"fips":"51059"}', head.headers.etag, 1])
  })

  test('answers 304 from memory, without the origin', async () => {
    const { ask, asked } = setup()
    const { headers } = await ask('/api/counties/51059')
    for (const value of [headers.etag, `W/${headers.etag}`, `"other", ${headers.etag}`, '*']) {
      const answer = await ask({ url: '/api/counties/51059', headers: { 'if-none-match': value as string } })
      expect([value, answer.statusCode, answer.body, answer.headers.etag]).toEqual([value, 304, '', headers.etag])
      expect(answer.headers['content-length']).toBeUndefined()
    }
    expect((await ask({ url: '/api/counties/51059', headers: { 'if-none-match': '"other"' } })).statusCode).toBe(200)
    expect(asked).toHaveLength(1)
  })

  test('serves GET and POST from one entry, and binds only what is declared', async () => {
    const { ask, asked } = setup()
    const get = await ask('/api/search?q=a%20b&n=2&utm=x&n%5B%5D=3')
    const post = await ask({
      method: 'POST',
      url: '/api/search?q=other',
      headers: json,
      payload: '{"n":2,"x":{"q":"z"},"q":"a b"}',
    })
    expect(post.body).toBe(get.body)
    expect(post.headers['cache-status']).toContain('hit')
    expect(asked).toEqual([{ q: 'a b', n: 2 }])
  })

  test('ignores cookies, authorization and cache directives of a client', async () => {
    const { ask, asked } = setup()
    const first = await ask('/api/counties/51059')
    const headers = {
      cookie: 'a=b',
      authorization: 'Bearer x',
      'cache-control': 'no-cache',
      pragma: 'no-cache',
      range: 'bytes=0-1',
      'x-forwarded-host': 'evil',
    }
    const answer = await ask({ url: '/api/counties/51059', headers })
    expect([answer.statusCode, answer.body, asked.length]).toEqual([200, first.body, 1])
  })

  test('takes a parameter of the path from the path only, never from the query', async () => {
    const { ask, asked } = setup()
    expect((await ask('/api/counties/51059?fips=99999')).statusCode).toBe(200)
    expect(asked).toEqual([{ fips: '51059' }])
  })
})

describe('a remembered target', () => {
  const url = '/api/search?q=a'

  test('keeps its meaning for GET and HEAD, and has none for other methods', async () => {
    const { ask, asked } = setup()
    for (const method of ['GET', 'GET', 'HEAD', 'GET']) expect((await ask({ method, url })).statusCode).toBe(200)
    const posted = await ask({ method: 'POST', url, headers: json, payload: '{"q":"b"}' })
    expect([posted.body, (await ask({ method: 'DELETE', url })).statusCode]).toEqual(['{"q":"b","n":1}', 405])
    expect(asked).toEqual([
      { q: 'a', n: 1 },
      { q: 'b', n: 1 },
    ])
  })

  test('belongs to the route that has it now', async () => {
    const { ask, reload } = setup()
    for (let i = 0; i < 3; i += 1) await ask('/api/counties/51059')
    reload('max-age=7')
    const { headers } = await ask('/api/counties/51059')
    expect([headers['cache-control'], headers['cache-status']]).toEqual(['max-age=7', expect.stringContaining('hit')])
  })

  test('with an invalid parameter is rejected each time', async () => {
    const { ask, asked } = setup()
    for (let i = 0; i < 3; i += 1) expect((await ask('/api/search?q=a&n=10')).statusCode).toBe(400)
    expect(asked).toEqual([])
  })
})

describe('a request that waits for the scheduler', () => {
  /** No request begins until `turn`. */
  const busy = () => {
    const turns: (() => void)[] = []
    const clock = new ManualClock()
    const scheduler = new Scheduler(clock, (run) => turns.push(run))
    return { clock, scheduler, turn: () => turns.shift()?.() }
  }

  test('is answered in its turn, and its wait is observed', async () => {
    const { clock, scheduler, turn } = busy()
    const { ask, asked, seen } = setup({ scheduler, clock })
    const answer = ask('/api/counties/51059')
    while (scheduler.waitedMs === 0) {
      clock.pass(100)
      await settled()
    }
    expect(asked).toEqual([])
    const { waitedMs } = scheduler
    turn()
    expect((await answer).statusCode).toBe(200)
    expect(seen.of('response')).toMatchObject([{ status: 200, seconds: waitedMs / 1000 }])
  })

  test('does not begin when its client has left', async () => {
    const { clock, scheduler, turn } = busy()
    const { listener, asked, seen } = setup({ scheduler, clock })
    const [client, line] = duplexPair()
    listener.server.emit('connection', line)
    client.write('GET /api/counties/51059 HTTP/1.1\r\nHost: onramp\r\n\r\n')
    while (scheduler.waitedMs === 0) {
      clock.pass(1)
      await settled()
    }
    client.destroy()
    line.destroy()
    await settled()
    turn()
    await settled()
    expect([asked, seen.of('response')]).toEqual([[], []])
  })

  test('makes later requests on its connection wait, so that they begin in the order of arrival', async () => {
    const { clock, scheduler, turn } = busy()
    const { listener, asked } = setup({ scheduler, clock })
    const [client, line] = duplexPair()
    listener.server.emit('connection', line)
    const get = (fips: string, more = '') => `GET /api/counties/${fips} HTTP/1.1\r\nHost: onramp\r\n${more}\r\n`
    client.write(get('51059') + get('51013') + get('51600', 'Connection: close\r\n'))
    while (scheduler.waitedMs === 0) {
      clock.pass(1)
      await settled()
    }
    expect(asked).toEqual([])
    turn()
    const answers = await text(client)
    expect(answers.match(/HTTP\/1\.1 \d+/g)).toEqual(Array(3).fill('HTTP/1.1 200'))
    expect(answers.match(/(?<="fips":")\d+/g)).toEqual(['51059', '51013', '51600'])
    expect(asked.map(({ fips }) => fips)).toEqual(['51059', '51013', '51600'])
  })
})

describe('a POST with incomplete or malformed content', () => {
  const head = 'POST /api/search HTTP/1.1\r\nHost: onramp\r\nContent-Type: application/json\r\n'
  const chunked = `${head}Transfer-Encoding: chunked\r\n\r\n5\r\n{"q":\r\n`

  /** Over a real socket, which closes when the server ends it. `gone`: the server knows that its client has left. */
  async function connected() {
    const parts = setup()
    const { server } = parts.listener
    await parts.listener.listen({ port: 0, host: '127.0.0.1' })
    const { port } = server.address() as AddressInfo
    const accepted = once(server, 'connection')
    const begun = once(server, 'request').then(settled)
    const client = connect(port, '127.0.0.1')
    const [line] = (await accepted) as [Socket]
    const gone = new Promise((resolve) => line.once('close', resolve)).then(settled)
    onTestFinished(() => parts.listener.close())
    return { ...parts, client, begun, gone }
  }

  test.each([
    ['has a malformed chunk', (client: Socket) => client.write('ZZ\r\n')],
    ['ends early', (client: Socket) => client.end()],
  ])('that %s is rejected, and observed once', async (_why, goOn) => {
    const { begun, client, gone, seen, asked } = await connected()
    client.write(chunked)
    await begun
    goOn(client)
    expect(await text(client)).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/)
    await gone
    expect(seen.of('response')).toMatchObject([{ route: 'search', source: 'none', state: 'error', status: 400 }])
    expect(asked).toEqual([])
  })

  test('that is malformed from the start is rejected before it begins, and observed once', async () => {
    const { client, gone, seen } = await connected()
    client.write(`${chunked}ZZ\r\n`)
    expect(await text(client)).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/)
    await gone
    expect(seen.of('response')).toMatchObject([{ route: 'search', source: 'none', state: 'error', status: 400 }])
  })

  test('that does not arrive in time is rejected, and observed once', async () => {
    const { begun, client, gone, clock, seen } = await connected()
    client.write(chunked)
    await begun
    clock.pass(limits.headerTimeoutMs)
    expect(await text(client)).toMatch(/^HTTP\/1\.1 408 Request Timeout\r\n/)
    await gone
    expect(seen.of('response')).toMatchObject([{ route: 'search', status: 408 }])
  })

  test('whose connection is gone gets no response, and none is observed', async () => {
    const { begun, client, gone, seen } = await connected()
    client.write(chunked)
    await begun
    client.on('error', () => {}).resetAndDestroy()
    await gone
    expect(seen.of('response')).toEqual([])
  })

  test.each([
    ['is compressed', 'Content-Encoding: gzip\r\nContent-Length: 20\r\n', 415],
    ['exceeds the limit', 'Content-Length: 201\r\n', 413],
  ])('that %s has its connection closed', async (_why, fields, status) => {
    const { client } = await connected()
    client.write(`${head}${fields}\r\n{"q":`)
    const answer = await text(client)
    expect(answer).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `))
    expect(answer).toMatch(/^Connection: close\r$/m)
  })
})

test('a request in flight when the server closes is answered, and its connection ends', async () => {
  const { listener, ask, origin } = setup()
  const [sent, held] = [gate(), gate()]
  origin.query = async () => {
    sent.open()
    await held.opened
    return { json: '{}', rows: 1 }
  }
  const answer = ask('/api/counties/51059')
  await sent.opened
  const closed = listener.close()
  await settled()
  held.open()
  const { statusCode, headers } = await answer
  expect([statusCode, headers.connection]).toEqual([200, 'close'])
  await closed
})

describe('the id of a request', () => {
  test('is that of the client; an error response carries it, and the observation too', async () => {
    const { ask, seen } = setup()
    const answer = await ask({ url: '/api/search', headers: { 'x-request-id': 'Root=1-67891233-abc/7' } })
    expect([answer.statusCode, answer.headers['x-request-id']]).toEqual([400, 'Root=1-67891233-abc/7'])
    expect(seen.of('response')).toMatchObject([{ status: 400, requestId: 'Root=1-67891233-abc/7' }])
  })

  test.each(['', 'a b', 'a"b', '\u00e9', 'x'.repeat(129)])('is one of its own where %j came', async (given) => {
    const { ask } = setup()
    const ids: unknown[] = []
    for (let i = 0; i < 2; i += 1) {
      const answer = await ask({ url: '/api/search', headers: { 'x-request-id': given } })
      ids.push(answer.headers['x-request-id'])
    }
    expect(ids).toEqual([expect.stringMatching(/^\w+-1$/), expect.stringMatching(/^\w+-2$/)])
  })

  test('is not sent with a success: it would cost every hit a field', async () => {
    const { ask } = setup()
    const answer = await ask({ url: '/api/counties/51059', headers: { 'x-request-id': 'a' } })
    expect(answer.headers).not.toHaveProperty('x-request-id')
  })
})

describe('no-cache', () => {
  const asking = { url: '/api/counties/51059', headers: { 'cache-control': 'max-age=0, No-Cache' } }

  test('is ignored unless the route has an interval for it', async () => {
    const { ask, asked, clock } = setup()
    await ask(asking)
    clock.pass(50_000)
    expect((await ask(asking)).headers['cache-status']).toContain('hit')
    expect(asked).toHaveLength(1)
  })

  test('reaches the origin if the route allows it, once per interval', async () => {
    const { ask, asked, clock } = setup({ noCache: 10_000 })
    await ask(asking)
    clock.pass(9999)
    await ask(asking)
    expect(asked).toHaveLength(1)
    clock.pass(1)
    expect((await ask(asking)).headers['cache-status']).toBe('onramp; fwd=request; stored; detail=origin')
    await ask({ url: asking.url, headers: { 'cache-control': 'no-store, max-age=0' } })
    await ask({ url: asking.url, headers: { pragma: 'no-cache' } })
    expect(asked).toHaveLength(2)
  })
})

describe('pages of another origin', () => {
  const origin = 'https://a.example'
  const named = { origin, 'access-control-request-method': 'POST' }

  test('get no CORS fields by default, not even in a preflight', async () => {
    const { ask } = setup()
    const answer = await ask({ url: '/api/search?q=a', headers: { origin } })
    expect(Object.keys(answer.headers).join()).not.toContain('access-control')
    expect((await ask({ method: 'OPTIONS', url: '/api/search', headers: named })).statusCode).toBe(405)
  })

  test('may read responses, problems too, and are allowed a POST in the preflight', async () => {
    const { ask, asked } = setup({ cors: [origin] })
    for (const url of ['/api/search?q=a', '/api/search']) {
      const { headers } = await ask({ url, headers: { origin } })
      expect(headers).toMatchObject({ 'access-control-allow-origin': origin, vary: expect.stringContaining('Origin') })
    }
    const preflight = await ask({ method: 'OPTIONS', url: '/api/search', headers: named })
    expect([preflight.statusCode, preflight.headers['access-control-allow-methods']]).toEqual([204, 'GET, HEAD, POST'])
    expect(asked).toHaveLength(1)
  })

  test('get a Vary with Origin and Accept-Encoding for compressed responses', async () => {
    const { ask, origin: database } = setup({ cors: [origin] })
    database.answer = () => ({ json: JSON.stringify('x'.repeat(2000)), rows: 1 })
    const { headers } = await ask({ url: '/api/search?q=a', headers: { origin } })
    expect(headers.vary).toBe('Accept-Encoding, Origin')
  })
})

describe('a rejected request', () => {
  const problem = async (request: string | Asked) => {
    const { ask, asked, seen } = setup()
    const answer = await ask(request)
    expect(answer.headers).toMatchObject({ 'content-type': 'application/problem+json', 'cache-control': 'no-store' })
    expect(asked).toEqual([])
    const body = answer.json<{ errors?: { parameter: string }[] }>()
    expect(body).toMatchObject({
      type: 'about:blank',
      status: answer.statusCode,
      title: expect.any(String),
      detail: expect.any(String),
    })
    expect(seen.of('response')).toEqual([
      expect.objectContaining({ source: 'none', state: 'error', status: answer.statusCode }),
    ])
    return {
      status: answer.statusCode,
      headers: answer.headers,
      body,
      named: body.errors?.map(({ parameter }) => parameter),
    }
  }

  test.each([
    ['a missing parameter', '/api/search', ['q']],
    ['more parameters than are taken', '/api/search?q=a&b&c&d&e&f', undefined],
    ['a repeated one', '/api/search?q=a&q=a', ['q']],
    ['one repeated in another spelling', '/api/search?q=a&%71=b', ['q']],
    ['two that do not fit', '/api/search?n=x', ['q', 'n']],
    ['bytes that are not UTF-8', '/api/search?q=%ff', ['q']],
    ['a NUL', '/api/search?q=%00', ['q']],
    ['an over-long value', `/api/search?q=${'a'.repeat(21)}`, ['q']],
    ['an over-long value in the path', `/api/counties/${'1'.repeat(500)}`, ['fips']],
    ['a path that is not UTF-8', '/api/counties/%ff', ['fips']],
  ])('%s: 400, by name', async (_what, url, names) => {
    const { status, named } = await problem(url)
    expect([status, named]).toEqual([400, names])
  })

  test.each([
    '/',
    '/api',
    '/api/counties',
    '/api/counties/',
    '/api/counties/51059/',
    '//api/counties/51059',
    '/api/%63ounties/51059',
    '/api/counties/51059%2f',
    '/API/counties/51059',
    '/api/counties/51059/x',
  ])('%s has no route: 404', async (url) => {
    expect((await problem(url)).status).toBe(404)
  })

  test.each(['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'TRACE'] as const)(
    '%s on a GET-only route: 405, with Allow',
    async (method) => {
      const { status, headers } = await problem({ method, url: '/api/counties/51059' })
      expect([status, headers.allow]).toEqual([405, 'GET, HEAD'])
    },
  )

  test.each([
    ['another media type', 415, { headers: { 'content-type': 'text/plain' }, payload: 'q=a' }],
    ['no media type', 415, { payload: Buffer.from('{"q":"a"}') }],
    ['no body', 400, { headers: json }],
    ['a body that is not JSON', 400, { headers: json, payload: '{"q":' }],
    ['a body that is not an object', 400, { headers: json, payload: '["q"]' }],
    ['a member given twice', 400, { headers: json, payload: '{"q":"a","\\u0071":"b"}' }],
    [
      'a body that is not UTF-8',
      400,
      { headers: json, payload: Buffer.from([0x7b, 0x22, 0x71, 0x22, 0x3a, 0x22, 0xff, 0x22, 0x7d]) },
    ],
    ['a compressed body', 415, { headers: { ...json, 'content-encoding': 'gzip' }, payload: '{"q":"a"}' }],
    ['more members than the limit', 400, { headers: json, payload: '{"q":"a","b":1,"c":1,"d":1,"e":1,"f":1}' }],
    ['a body over the limit', 413, { headers: json, payload: JSON.stringify({ q: 'a'.repeat(200) }) }],
  ])('POST with %s: %d', async (_what, status, request) => {
    expect((await problem({ method: 'POST', url: '/api/search', ...request })).status).toBe(status)
  })
})

describe('an answer of the origin', () => {
  test('without a row is a 404 that is cached here for its own lifetime, and not elsewhere', async () => {
    const { ask, origin, asked } = setup()
    origin.answer = () => ({ json: '', rows: 0 })
    const first = await ask('/api/counties/00000')
    const second = await ask('/api/counties/00000')
    expect([first.statusCode, first.headers['cache-status']]).toEqual([
      404,
      'onramp; fwd=uri-miss; stored; detail=origin',
    ])
    expect([second.statusCode, second.headers['cache-status']]).toEqual([404, 'onramp; hit; ttl=9; detail=memory'])
    expect(second.headers).toMatchObject({ 'content-type': 'application/problem+json', 'cache-control': 'no-store' })
    expect(asked).toHaveLength(1)
  })

  test.each([
    ['origin-unavailable', 503],
    ['origin-timeout', 504],
    ['origin-failed', 500],
  ] as const)('%s is a problem, kept nowhere, and says nothing of the database', async (code, status) => {
    const { ask, origin, asked } = setup()
    origin.answer = () => {
      throw new Problem(code, 'In a word.', { cause: new Error('relation "secret" at 10.0.0.1') })
    }
    for (let i = 0; i < 2; i += 1) {
      const answer = await ask('/api/counties/51059')
      expect([answer.statusCode, answer.headers['cache-control']]).toEqual([status, 'no-store'])
      expect(answer.body).not.toMatch(/secret|10\.0/)
      expect(answer.headers['retry-after']).toBe(status === 503 ? '2' : undefined)
    }
    expect(asked).toHaveLength(2)
  })

  test('that causes an internal error is a 500 that reveals nothing', async () => {
    const { ask, origin } = setup()
    origin.answer = () => {
      throw new TypeError('cannot read secret of undefined')
    }
    const answer = await ask('/api/counties/51059')
    expect([answer.statusCode, answer.headers['content-type']]).toEqual([500, 'application/problem+json'])
    expect(answer.body).not.toContain('secret')
  })
})

test('each request is one observation, with its facts and without its query', async () => {
  const { ask, seen } = setup()
  await ask('/api/search?q=secret')
  await ask('/api/search?q=secret')
  await ask('/nowhere?q=secret')
  const of = (over: object) => expect.objectContaining({ kind: 'response', method: 'GET', ...over })
  expect(seen.of('response')).toEqual([
    of({ route: 'search', source: 'origin', state: 'miss', status: 200, path: '/api/search' }),
    of({ route: 'search', source: 'memory', state: 'fresh', status: 200, path: '/api/search' }),
    of({ route: 'none', source: 'none', state: 'error', status: 404, path: '/nowhere' }),
  ])
  expect(JSON.stringify(seen.of('response'))).not.toContain('secret')
})
