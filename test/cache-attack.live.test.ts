import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, inject, test } from 'vitest'
import type { Config } from '../proxy/config/schema.ts'
import { type Answer, answerOf, askOnce, Client, Hostile, ownAnswer, requestOf, valuesOf } from './hostile.ts'
import { type Running, startApp } from './live.ts'

/** What is attacked, the web tier behind it, and a process that nobody attacks and whose answers are right. */
let web: Hostile
let app: Running
let clean: Running
/** Counties that nobody has asked for yet. */
let counties: string[]
const cleanUp: (() => Promise<unknown> | unknown)[] = []

beforeAll(async () => {
  const database = new pg.Client({ connectionString: inject('databaseUrl') })
  await database.connect()
  const { rows } = await database.query(`select county_fips from counties where county_fips <> '51059' order by 1`)
  counties = rows.map(({ county_fips }) => county_fips)
  await database.end()
  web = await Hostile.start()
  app = await startApp(inject('databaseUrl'), { UPSTREAM_URL: web.url })
  clean = await startApp(inject('databaseUrl'))
})
afterEach(async () => {
  Client.closeAll()
  for (const end of cleanUp.splice(0).reverse()) await end()
})
afterAll(async () => {
  await Promise.all([app?.stop(), clean?.stop()])
  await web?.stop()
})

async function started(change: (config: Config) => Config, environment = { UPSTREAM_URL: web.url }): Promise<Running> {
  const running = await startApp(inject('databaseUrl'), environment, change)
  cleanUp.push(() => running.stop())
  return running
}

/** A read that nobody has asked for yet: its target, and how its key shows itself among those of its route. */
interface Read {
  target: string
  route: string
  marks: string
}
let reads = 0
function freshSearch(): Read {
  reads += 1
  const [younger, older] = [Math.floor(reads / 40), 22 + (reads % 40)]
  const ages = `${younger},${older}`
  return {
    target: `/api/plans/search?county=51059&ages=${ages}&limit=3`,
    route: 'plan-search',
    marks: `&ages=${ages}&`,
  }
}
function freshCounty(): Read {
  const fips = counties.shift() as string
  return { target: `/api/counties/${fips}`, route: 'county', marks: `=${fips}` }
}

async function keysOf(running: Running, route: string): Promise<string[]> {
  const entries = (await running.admin(`/entries?route=${route}&limit=9999`)).json() as { key: string }[]
  return entries.map(({ key }) => key)
}

async function queriesOf(running: Running, route: string): Promise<number> {
  const { text } = await running.admin('/metrics')
  const counts = text.matchAll(new RegExp(`^onramp_origin_queries_total\\{route="${route}",.*\\} (\\d+)$`, 'gm'))
  return [...counts].reduce((sum, [, count]) => sum + Number(count), 0)
}

/** What others say of an answer: all that they could keep, or act upon, and that does not depend on when they asked. */
function looks({ status, fields, content, isWhole }: Answer) {
  const passing = /^(age|cache-status|date|connection|keep-alive)$/i
  return {
    status,
    isWhole,
    content: content.toString(),
    fields: fields.filter(([name]) => !passing.test(name)).map(([name, value]) => `${name}: ${value}`),
  }
}

/** Sends what it will over a connection of its own, for a read that it knows. */
type Attack = (url: string, read: Read) => Promise<unknown>

const withFields =
  (...fields: string[]): Attack =>
  (url, { target }) =>
    askOnce(url, requestOf('GET', target, fields))
/** With more behind the target, in the query. */
const withQuery =
  (more: string): Attack =>
  (url, { target }) =>
    askOnce(url, requestOf('GET', `${target}${target.includes('?') ? '&' : '?'}${more}`))

/**
 * Attacks a read that is not yet kept, and one that is; a victim then asks for each. Everything that is not as if there had been
 * no attack: other bytes or fields, more entries than one, the origin asked more than once.
 */
async function harm(attacked: { url: string }, attack: Attack, fresh: () => Read, mayMiss = false): Promise<string[]> {
  const found: string[] = []
  const running = 'admin' in attacked ? (attacked as Running) : undefined
  for (const isPrimed of [false, true]) {
    const read = fresh()
    const request = requestOf('GET', read.target)
    const right = looks(await askOnce(clean.url, request))
    const before = running && { keys: await keysOf(running, read.route), queries: await queriesOf(running, read.route) }
    if (isPrimed) await askOnce(attacked.url, request)
    await attack(attacked.url, read)
    const victim = await askOnce(attacked.url, request)
    const when = isPrimed ? 'kept before' : 'not kept before'
    const seen = looks(victim)
    if (JSON.stringify(seen) !== JSON.stringify(right))
      found.push(
        `${when}: ${read.target} is ${JSON.stringify(seen).slice(0, 300)}, not ${JSON.stringify(right).slice(0, 300)}`,
      )
    const status = valuesOf(victim.fields, 'cache-status')
    if (running && !mayMiss && !/^onramp; hit; ttl=\d+; detail=memory$/.test(status.join('|')))
      found.push(`${when}: the victim has Cache-Status ${JSON.stringify(status)}`)
    if (running === undefined || before === undefined) continue
    const keys = (await keysOf(running, read.route)).filter((key) => !before.keys.includes(key))
    if (keys.length !== 1 || !keys[0]?.includes(read.marks))
      found.push(`${when}: what is kept is ${JSON.stringify(keys)}`)
    const queries = (await queriesOf(running, read.route)) - before.queries
    if (queries !== 1) found.push(`${when}: the origin is asked ${queries} times`)
  }
  return found
}

const fieldAttacks: Record<string, string[]> = {
  'X-Forwarded-Host': ['X-Forwarded-Host: evil.example'],
  'X-Forwarded-Scheme': ['X-Forwarded-Scheme: http', 'X-Forwarded-Proto: nothttps', 'X-Forwarded-Port: 1'],
  'X-Original-URL': ['X-Original-URL: /api/states'],
  'X-Rewrite-URL': ['X-Rewrite-URL: /api/counties/01001'],
  'X-HTTP-Method-Override': ['X-HTTP-Method-Override: POST', 'X-HTTP-Method: DELETE', 'X-Method-Override: PUT'],
  Forwarded: ['Forwarded: for=1.1.1.1;host=evil.example;proto=http'],
  'the Host of another site': ['Host: evil.example:1337'],
  Accept: ['Accept: text/html'],
  'Accept for nothing': ['Accept: application/json;q=0'],
  'Accept-Language': ['Accept-Language: xx', 'Accept-Charset: utf-7'],
  'Accept-Encoding of all kinds': ['Accept-Encoding: br, gzip, zstd, x-evil, *'],
  'Accept-Encoding of none': ['Accept-Encoding: identity;q=0, *;q=0'],
  'Accept-Encoding twice': ['Accept-Encoding: gzip', 'Accept-Encoding: br;q=1'],
  'Accept-Encoding that is none': ['Accept-Encoding: ;;q=,,"'],
  Origin: ['Origin: https://evil.example'],
  'Origin null': ['Origin: null', 'Access-Control-Request-Method: GET'],
  Cookie: ['Cookie: session=1; __Host-a=b'],
  Authorization: ['Authorization: Bearer a', 'Proxy-Authorization: Basic YTpi'],
  Range: ['Range: bytes=0-0', 'If-Range: "a"'],
  'Range over all': ['Range: bytes=0-,0-,0-'],
  'If-Modified-Since': ['If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT'],
  'If-None-Match of anything': ['If-None-Match: *'],
  'If-None-Match of junk': ['If-None-Match: "', 'If-None-Match: W/,,"a'],
  'If-Match': ['If-Match: "a"', 'If-Unmodified-Since: Fri, 01 Jan 1990 00:00:00 GMT'],
  'Cache-Control no-cache': ['Cache-Control: no-cache'],
  'Cache-Control no-store': ['Cache-Control: no-store'],
  'Cache-Control max-age=0': ['Cache-Control: max-age=0, must-revalidate, proxy-revalidate'],
  'Cache-Control only-if-cached': ['Cache-Control: only-if-cached'],
  'Cache-Control that is none': ['Cache-Control: max-age=999999999999999999999, private="a, no-cache", ='],
  Pragma: ['Pragma: no-cache'],
  Upgrade: ['Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c', 'HTTP2-Settings: AAMAAABkAAQAAP__'],
  'a WebSocket': ['Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Key: YQ==', 'Sec-WebSocket-Version: 13'],
  'Connection that names others': ['Connection: cache-control, etag, host, accept-encoding'],
  'a head over the limit': [`X-Odd: ${'a'.repeat(20_000)}`],
  'bytes that are no text': ['X-Odd: \x80\xff', 'Accept-Encoding: \xff'],
  Expect: ['Expect: 100-continue'],
}

describe('fields of a stranger’s request change nothing for others', () => {
  test.each(Object.entries(fieldAttacks))('%s', async (what, fields) => {
    // What is refused fills nothing: then the victim does.
    const isRefused = what === 'a head over the limit'
    expect(await harm(app, withFields(...fields), freshSearch, isRefused)).toEqual([])
    expect(await harm(app, withFields(...fields), freshCounty, isRefused)).toEqual([])
  })

  test.each(['Range', 'Range over all', 'If-Modified-Since', 'If-Match', 'Accept', 'Cache-Control only-if-cached'])(
    '%s is ignored: the answer is the whole',
    async (what) => {
      const { target } = freshCounty()
      const right = looks(await askOnce(clean.url, requestOf('GET', target)))
      for (let i = 0; i < 2; i += 1)
        expect(looks(await askOnce(app.url, requestOf('GET', target, fieldAttacks[what])))).toEqual(right)
    },
  )
})

const queryAttacks: Record<string, string> = {
  tracking: 'utm_source=a&utm_content=b&fbclid=c',
  callback: 'callback=alert(1)&_=1',
  'names of other cases': 'County=01001&AGES=1&Limit=1&FIPS=01001',
  'names as lists': 'county[]=01001&ages[0]=1&limit[$gt]=0&fips[]=01001',
  __proto__: '__proto__=1&__proto__[county]=01001&constructor=1&hasOwnProperty=1&toString=1',
  'a NUL': '%00=1&county%00=01001&x=%00',
  'bytes that are not UTF-8': '%ff=%ff&x=%c0%af',
  'percent signs that are none': '%=1&%zz=%&x=%u0041',
  'separators without anything': '&&&=&=1&&',
  'a value without a name': '=county=01001',
  'spaces around a name': '+county=01001&county+=01001&%20ages=1&fips%20=01001&limit%09=1',
  'a question mark': '?county=01001&x=?&fips?=1',
  'names that look alike': 'c%D0%BEunty=01001&l%C4%B1mit=1&f%D1%96ps=01001',
  _method: '_method=POST&method=DELETE&format=html',
}

describe('a query that says more than it may', () => {
  test.each(Object.entries(queryAttacks))('makes no other entry and no other answer: %s', async (_what, more) => {
    expect(await harm(app, withQuery(more), freshSearch)).toEqual([])
    expect(await harm(app, withQuery(more), freshCounty)).toEqual([])
  })

  test.each([
    ['a parameter twice', 'limit=4'],
    ['a parameter twice, the same', 'limit=3'],
    ['one twice, in another spelling', '%6cimit=4'],
    ['one twice, the second empty', 'county='],
    ['one twice, the second undecodable', 'county=%ff'],
    ['`;` for a separator', 'offset=0;limit=4'],
    ['a separator that is encoded', 'offset=0%26limit%3D4'],
    ['a value out of bounds', 'offset=999999'],
    ['a value of another type', 'offset=1e2'],
    ['a NUL in a value', 'metal=Silver%00'],
    ['a value with spaces', 'metal=Silver+'],
    ['SQL', "sort=premium';drop+table+plans--"],
    ['more parameters than are taken', Array.from({ length: 101 }, (_, i) => `a${i}`).join('&')],
  ])('is a 400 that nobody may keep, and that makes no entry: %s', async (_what, more) => {
    const seen: unknown[] = []
    const attack: Attack = async (url, { target }) => {
      const { status, fields } = await askOnce(url, requestOf('GET', `${target}&${more}`))
      seen.push([status, valuesOf(fields, 'cache-control'), valuesOf(fields, 'etag')])
    }
    expect(await harm(app, attack, freshSearch, true)).toEqual([])
    expect(seen).toEqual([
      [400, ['no-store'], []],
      [400, ['no-store'], []],
    ])
  })

  test('with what other readers take for a second parameter is its own read', async () => {
    for (const [value, plain] of [
      ['silver;year=2015', 'silver'],
      ['gold%26year=2015', 'gold'],
      ['bronze%00', 'bronze'],
    ] as const) {
      const target = `/api/plans/names?q=${plain}`
      const right = looks(await askOnce(clean.url, requestOf('GET', target)))
      const cloaked = await askOnce(app.url, requestOf('GET', `/api/plans/names?q=${value}`))
      const victim = await askOnce(app.url, requestOf('GET', target))
      expect(looks(victim)).toEqual(right)
      expect(valuesOf(victim.fields, 'cache-status')).toEqual(['onramp; fwd=uri-miss; stored; detail=origin'])
      if (value.includes('%00')) expect(cloaked.status).toBe(400)
      else expect(cloaked.content.toString()).toBe('[]')
    }
    const keys = (await keysOf(app, 'plan-names')).map((key) => key.slice(key.indexOf('?')))
    const values = ['silver', 'silver%3Byear%3D2015', 'gold', 'gold%26year%3D2015', 'bronze']
    expect(keys.sort()).toEqual(values.map((q) => `?q=${q}&year=2014`).sort())
  })
})

describe('content on a GET to a route', () => {
  const other = JSON.stringify({ county: '01001', ages: [1], limit: 1, fips: '01001' })
  const smuggled = 'GET /api/states?year=2020 HTTP/1.1\r\nHost: web.example\r\n\r\n'
  // RFC 9112, 9.6: the answer says that it is the last one on this connection, so what follows is not to be processed.
  const behind = [
    'GET /api/states?year=2021 HTTP/1.1\r\nHost: web.example\r\n\r\n',
    'POST /behind-content HTTP/1.1\r\nHost: web.example\r\nContent-Length: 0\r\n\r\n',
  ]
  test.each([
    ['JSON', other, ''],
    ['a request', smuggled, ''],
    ['JSON, with a read behind it', other, behind[0] as string],
    ['JSON, with a POST behind it', other, behind[1] as string],
  ])('is %s: it is read by nobody, and what follows on the connection neither', async (_what, content, after) => {
    const year = /year=\d+/.exec(after)?.[0] ?? 'year=2020'
    const size = Buffer.byteLength(content).toString(16)
    for (const framed of [
      `Content-Length: ${content.length}\r\nContent-Type: application/json\r\n\r\n${content}`,
      `Transfer-Encoding: chunked\r\nContent-Type: application/json\r\n\r\n${size}\r\n${content}\r\n0\r\n\r\n`,
    ]) {
      const attack: Attack = async (url, { target }) => {
        const client = await Client.to(url)
        client.send(`GET ${target} HTTP/1.1\r\nHost: web.example\r\n${framed}${after}`)
        const { status } = await client.read()
        await client.closed
        expect([status, client.unread.toString()]).toEqual([200, ''])
      }
      expect(await harm(app, attack, freshSearch)).toEqual([])
      expect(await harm(app, attack, freshCounty)).toEqual([])
    }
    const read = (await keysOf(app, 'states')).filter((key) => key.includes('year=2020') || key.includes(year))
    expect([read, web.to('/behind-content').length]).toEqual([[], 0])
  })
})

/** Paths that somebody might take for one of a route, and that are none. */
const paths = [
  '/api/./states',
  '/api/../api/states',
  '/./api/states',
  '/x/../api/states',
  '//api/states',
  '/api//states',
  '/api/states/',
  '/api/states//',
  '/api/states/.',
  '/api/states/..%2fstates',
  '/api/states%3f',
  '/api/states%3Fyear=2014',
  '/api/states%2f',
  '/api/states%00',
  '/api/states%20',
  '/api/states%0d%0a',
  '/api/states;',
  '/api/states;a=b',
  '/api/states.json',
  '/api/states.css',
  '/api/states/x.css',
  '/api/states/%2e',
  '/api/states%23',
  '/API/states',
  '/api/STATES',
  '/api/%73tates',
  '/%61pi/states',
  '/api%2fstates',
  '/api%2Fstates',
  '/api\\states',
  '/api\\..\\api\\states',
  '/api/%5cstates',
  '/api/st%61tes?year=2014',
  '/api/%2e/states',
  '/api/%2e%2e/api/states',
  '/api/plans/search/.css',
  '/api/plans/search/a.js',
  '/api/plans/search;x',
  '/api/plans/search%2f',
  '/api/plans/search%3fcounty=51059&ages=34',
  '/api/plans/%73earch?county=51059&ages=34',
  '/api/plans/Search?county=51059&ages=34',
  '/api/plans/search/?county=51059&ages=34',
  '/api/plans//search?county=51059&ages=34',
  '/api/plans/./search?county=51059&ages=34',
  '/api/plans/x/../search?county=51059&ages=34',
  '/api/plans%2fsearch?county=51059&ages=34',
  '/api/counties/%35%31059',
  '/api/counties/5105%39',
  '/api/counties/51059;a=b',
  '/api/counties/51059%3ba=b',
  '/api/counties/51059%00',
  '/api/counties/51059%20',
  '/api/counties/51059%0a',
  '/api/counties/%2051059',
  '/api/counties/51059%2f',
  '/api/counties/51059/',
  '/api/counties/51059%5c',
  '/api/counties/51059\\',
  '/api/counties/51059.css',
  '/api/counties/..%2f51059',
  '/api/counties/..%2fstates',
  '/api/counties/../counties/51059',
  '/api/counties/%2e%2e/counties/51059',
  '/api/counties/.',
  '/api/counties/..',
  '/api/counties/%2e%2e',
  '/api/counties/%252e%252e',
  '/api/counties/%EF%BC%95%EF%BC%91059',
  '/api/counties/%ff',
  '/api/counties/%',
  '/api/counties/',
  '/api/counties/51059%3ffips=01001',
  '/api/counties/51059%23',
  '/api/counties/510591',
  '/api/counties/51059,01001',
]

/** Whether the read that `path` is taken for by some is answered by `url` out of itself. */
async function confusion(url: string, behind: Hostile, path: string): Promise<string[]> {
  const before = behind.asked.length
  const answer = await askOnce(url, requestOf('GET', path))
  const asked = behind.asked.slice(before)
  if (answer.status === 400 && asked.length === 0 && valuesOf(answer.fields, 'cache-control').join() === 'no-store')
    return []
  const found: string[] = []
  if (answer.content.toString() !== ownAnswer('GET', path))
    found.push(`${path} is answered ${answer.status} ${answer.content.toString().slice(0, 100)}`)
  const heads = asked.map(({ head }) => head.slice(0, head.indexOf('\r\n')))
  if (heads.join('|') !== `GET ${path} HTTP/1.1`) found.push(`${path} reaches the web tier as ${JSON.stringify(heads)}`)
  return found
}

describe('a path that is not spelled as a route’s', () => {
  test('goes to the web tier byte for byte, or is refused; no route answers it, before or after the route has', async () => {
    const own = await started((config) => config)
    const found: string[] = []
    for (const path of paths) found.push(...(await confusion(own.url, web, path)))
    expect(found).toEqual([])
    for (const route of ['states', 'county', 'plan-search', 'plan']) expect(await keysOf(own, route)).toEqual([])
    const victims = ['/api/states', '/api/counties/51059', '/api/plans/search?county=51059&ages=34']
    const right = []
    for (const target of victims) {
      right.push(looks(await askOnce(clean.url, requestOf('GET', target))))
      expect(looks(await askOnce(own.url, requestOf('GET', target)))).toEqual(right.at(-1))
    }
    for (const path of paths) found.push(...(await confusion(own.url, web, path)))
    expect(found).toEqual([])
    for (const [i, target] of victims.entries())
      expect(looks(await askOnce(own.url, requestOf('GET', target)))).toEqual(right[i])
    for (const route of ['states', 'county', 'plan-search'])
      expect([route, (await keysOf(own, route)).length]).toEqual([route, 1])
    expect(await keysOf(own, 'plan')).toEqual([])
  })

  test('is a 404 or a 400 where there is no web tier, that nobody may keep', async () => {
    for (const path of paths) {
      const { status, fields } = await askOnce(clean.url, requestOf('GET', path))
      expect([path, status === 404 || status === 400]).toEqual([path, true])
      expect([path, valuesOf(fields, 'cache-control')]).toEqual([path, ['no-store']])
      expect([path, valuesOf(fields, 'etag')]).toEqual([path, []])
    }
  })

  test('twin: a cache that tidies paths answers some of them itself', async () => {
    const naive = await naiveCache((request) => new URL(decodeURI(request.url as string), 'http://a').pathname)
    const found: string[] = []
    for (const path of ['/api/%73tates', '/api/../api/states', '/api//states'])
      found.push(...(await confusion(naive, web, path)))
    expect(found).not.toEqual([])
  })
})

describe('a target that names its authority', () => {
  test.each([
    ['of its Host', 'http://web.example', 'web.example', 200],
    ['of a Host that is not ours', 'http://evil.example', 'evil.example', 200],
    ['of another than its Host', 'http://evil.example', 'web.example', 400],
    ['with a user', 'http://a@web.example', 'web.example', 400],
    ['of another scheme', 'ftp://web.example', 'web.example', 400],
  ])('%s makes no other entry', async (_what, prefix, host, expected) => {
    const seen: number[] = []
    const attack: Attack = async (url, { target }) => {
      seen.push((await askOnce(url, requestOf('GET', prefix + target, [`Host: ${host}`]))).status)
    }
    expect(await harm(app, attack, freshSearch, expected !== 200)).toEqual([])
    expect(await harm(app, attack, freshCounty, expected !== 200)).toEqual([])
    expect(new Set(seen)).toEqual(new Set([expected]))
  })
})

describe('errors are nobody else’s', () => {
  test('what the database has no row for is a 404 that no client keeps, and says nothing of its neighbours', async () => {
    const { status, fields } = await askOnce(app.url, requestOf('GET', '/api/counties/00000'))
    expect([status, valuesOf(fields, 'cache-control'), valuesOf(fields, 'etag')]).toEqual([404, ['no-store'], []])
    expect(await harm(app, (url) => askOnce(url, requestOf('GET', '/api/counties/00000')), freshCounty, true)).toEqual(
      [],
    )
  })

  test('of the web tier are never kept, whatever it says of them', async () => {
    const target = '/flaky'
    const error = answerOf('poison', 'HTTP/1.1 404 Not Found\r\nCache-Control: public, max-age=600\r\n')
    web.script(target, error, 'HTTP/1.1 garbage\r\n\r\n')
    expect((await askOnce(app.url, requestOf('GET', target))).status).toBe(404)
    const failed = await askOnce(app.url, requestOf('GET', target))
    expect([failed.status, valuesOf(failed.fields, 'cache-control')]).toEqual([502, ['no-store']])
    expect((await askOnce(app.url, requestOf('GET', target))).content.toString()).toBe(ownAnswer('GET', target))
  })

  test('HEAD first leaves a whole answer for GET', async () => {
    expect(await harm(app, (url, { target }) => askOnce(url, requestOf('HEAD', target)), freshSearch)).toEqual([])
    expect(await harm(app, (url, { target }) => askOnce(url, requestOf('HEAD', target)), freshCounty)).toEqual([])
  })

  test.each(['br', 'gzip'])('who asks for %s first leaves the plain answer plain', async (coding) => {
    const large = (): Read => {
      const read = freshSearch()
      return { ...read, target: read.target.replace('limit=3', 'limit=50') }
    }
    const attack: Attack = async (url, { target }) => {
      for (let i = 0; i < 3; i += 1) await askOnce(url, requestOf('GET', target, [`Accept-Encoding: ${coding}`]))
    }
    expect(await harm(app, attack, large)).toEqual([])
  })
})

describe('POST to a route', () => {
  const json = ['Content-Type: application/json']
  const bodyOf = ({ target }: Read, over: object = {}) => {
    const { searchParams } = new URL(target, 'http://a')
    const ages = (searchParams.get('ages') as string).split(',').map(Number)
    return JSON.stringify({ county: searchParams.get('county'), ages, limit: 3, ...over })
  }
  const posting =
    (make: (read: Read) => { query?: string; fields?: string[]; body: string }): Attack =>
    (url, read) => {
      const { query = '', fields = json, body } = make(read)
      return askOnce(url, requestOf('POST', `/api/plans/search${query}`, fields, body))
    }

  test('is one entry with GET, whichever comes first', async () => {
    expect(
      await harm(
        app,
        posting((read) => ({ body: bodyOf(read) })),
        freshSearch,
      ),
    ).toEqual([])
  })

  test.each<[string, Parameters<typeof posting>[0]]>([
    ['with another read in its query', (read) => ({ query: '?county=01001&ages=1&limit=1', body: bodyOf(read) })],
    [
      'with names that are none of its',
      (read) => ({ body: bodyOf(read, { admin: true, constructor: 1, County: '01001' }) }),
    ],
    ['with a name of prototypes', (read) => ({ body: bodyOf(read).replace('{', '{"__proto__":{"county":"01001"},') })],
    [
      'that says that it is a GET',
      (read) => ({ fields: [...json, 'X-HTTP-Method-Override: GET'], body: bodyOf(read) }),
    ],
    ['in other words for the same numbers', (read) => ({ body: bodyOf(read).replace('"limit":3', '"limit":3.0') })],
  ])('%s changes nothing for others', async (_what, make) => {
    expect(await harm(app, posting(make), freshSearch)).toEqual([])
  })

  test.each<[string, Parameters<typeof posting>[0]]>([
    ['a member twice', (read) => ({ body: bodyOf(read).replace('{', '{"limit":200,') })],
    ['a member twice, one escaped', (read) => ({ body: bodyOf(read).replace('{', '{"l\\u0069mit":200,') })],
    [
      'a form',
      (read) => ({
        fields: ['Content-Type: application/x-www-form-urlencoded'],
        body: read.target.split('?')[1] as string,
      }),
    ],
    ['text', (read) => ({ fields: ['Content-Type: text/plain'], body: bodyOf(read) })],
    ['half of it', (read) => ({ body: bodyOf(read).slice(0, -5) })],
    ['a list of it', (read) => ({ body: `[${bodyOf(read)}]` })],
    ['nested values', (read) => ({ body: bodyOf(read, { limit: { $gt: 1 } }) })],
  ])('of %s is refused, and leaves nothing', async (_what, make) => {
    const seen: Answer[] = []
    const attack: Attack = async (url, read) => void seen.push((await posting(make)(url, read)) as Answer)
    expect(await harm(app, attack, freshSearch, true)).toEqual([])
    for (const { status, fields } of seen)
      expect([status === 400 || status === 415, valuesOf(fields, 'cache-control')]).toEqual([true, ['no-store']])
  })
})

describe('a method that a route does not take', () => {
  test.each(['DELETE', 'PUT', 'PATCH', 'OPTIONS', 'TRACE', 'POST', 'PROPFIND', 'PURGE', 'QUERY'])(
    '%s goes to the web tier, and leaves the entry alone',
    async (method) => {
      const attack: Attack = async (url, { target }) => {
        const { content } = await askOnce(url, requestOf(method, target))
        expect(content.toString()).toBe(ownAnswer(method, target))
        expect(web.to(target).map((asked) => asked.method)).toEqual([method])
      }
      expect(await harm(app, attack, freshCounty, true)).toEqual([])
      if (method !== 'POST') expect(await harm(app, attack, freshSearch, true)).toEqual([])
    },
  )
})

/** How often `behind` is asked when `times` strangers ask `ahead` for what the web tier says all the world may keep. */
async function timesAsked(
  ahead: string,
  behind: Hostile,
  target: string,
  fields: string,
  times: number,
): Promise<number> {
  for (let i = 0; i < times; i += 1) {
    behind.script(target, answerOf(`secret ${i}`, `HTTP/1.1 200 OK\r\nContent-Type: text/css\r\n${fields}\r\n`))
    await askOnce(ahead, requestOf('GET', target, [`Cookie: session=${i}`]))
  }
  return behind.to(target).length
}

describe('what the web tier answers is kept by nobody here', () => {
  test.each([
    ['/account/x.css', 'Cache-Control: public, max-age=600\r\nSet-Cookie: session=1'],
    ['/account;x.js', 'Cache-Control: public, s-maxage=600, immutable'],
    ['/api/account', 'Expires: Fri, 01 Jan 2100 00:00:00 GMT\r\nETag: "a"'],
    ['/api/counties/51059/x.css', 'CDN-Cache-Control: max-age=600\r\nSurrogate-Control: max-age=600'],
  ])('%s, that has %s', async (target, fields) => {
    expect(await timesAsked(app.url, web, target, fields, 3)).toBe(3)
    const answer = await askOnce(app.url, requestOf('GET', target))
    expect(answer.content.toString()).toBe(ownAnswer('GET', target))
    expect(valuesOf(answer.fields, 'cache-status')).toEqual(['onramp; fwd=bypass; detail=upstream'])
  })

  test('twin: a cache that believes Cache-Control does', async () => {
    const naive = await naiveCache((request) => request.url as string)
    expect(await timesAsked(naive, web, '/account/twin.css', 'Cache-Control: public, max-age=600', 3)).toBe(1)
  })
})

test('Cache-Status shows no key and nothing of the request', async () => {
  for (const { target } of [freshSearch(), freshCounty(), { target: '/not/a/route?secret=1' }]) {
    for (let i = 0; i < 2; i += 1) {
      const { fields } = await askOnce(app.url, requestOf('GET', target))
      const all = valuesOf(fields, 'cache-status').join()
      expect(all).toMatch(
        /^onramp; (hit; ttl=\d+; detail=memory|fwd=uri-miss; stored; detail=origin|fwd=bypass; detail=upstream)$/,
      )
    }
  }
})

describe('no-cache on a route that allows it', () => {
  const allowing =
    (noCache: number) =>
    (config: Config): Config => ({
      ...config,
      routes: config.routes.map((route) => ({ ...route, lifetime: { ...route.lifetime, noCache } })),
    })
  const target = '/api/plans/search?county=51059&ages=30&limit=1'
  const hammer = async (running: Running, count: number, at = target) => {
    const client = await Client.to(running.url)
    for (let i = 0; i < count; i += 1) await client.ask(requestOf('GET', at, ['Cache-Control: no-cache']))
    client.close()
  }

  test('asks the origin once in its interval, however many ask', async () => {
    const own = await started(allowing(60_000))
    await Promise.all([hammer(own, 50), hammer(own, 50), hammer(own, 50)])
    expect(await queriesOf(own, 'plan-search')).toBe(1)
  })

  test('asks the origin at most once an interval and key', async () => {
    const own = await started(allowing(50))
    const other = target.replace('ages=30', 'ages=31')
    const began = performance.now()
    let queries = 0
    while (queries < 8) {
      await Promise.all([hammer(own, 20), hammer(own, 20), hammer(own, 20, other)])
      queries = await queriesOf(own, 'plan-search')
      expect(performance.now() - began).toBeLessThan(10_000)
    }
    expect(queries).toBeLessThanOrEqual(2 * (1 + Math.floor((performance.now() - began) / 50)))
  })

  test('twin: with an interval of a millisecond the origin is asked again and again', async () => {
    const own = await started(allowing(1))
    await hammer(own, 50)
    expect(await queriesOf(own, 'plan-search')).toBeGreaterThan(5)
  })
})

/** What a page of `origin` is told by `url`, of an answer and before a POST. */
async function toldTo(url: string, origin: string | undefined) {
  const from = origin === undefined ? [] : [`Origin: ${origin}`]
  const target = '/api/plans/search?county=51059&ages=29&limit=1'
  const answer = await askOnce(url, requestOf('GET', target, from))
  const before = await askOnce(url, requestOf('OPTIONS', target, [...from, 'Access-Control-Request-Method: POST']))
  const said = ({ fields }: Answer) => ({
    allowed: valuesOf(fields, 'access-control-allow-origin'),
    credentials: valuesOf(fields, 'access-control-allow-credentials'),
    isVaried: valuesOf(fields, 'vary').join().toLowerCase().split(/, */).includes('origin'),
    methods: valuesOf(fields, 'access-control-allow-methods'),
  })
  return {
    status: before.status,
    answer: said(answer),
    before: said(before),
    anything: answer.fields.filter(([name]) => /^access-control/i.test(name)),
  }
}

describe('pages of other origins', () => {
  const known = 'https://a.example'
  const allowing =
    (...origins: string[]) =>
    (config: Config): Config => ({ ...config, cors: { origins } })
  const strangers = [
    'https://evil.example',
    'http://a.example',
    'https://a.example.evil.example',
    'https://a.example:8443',
    'https://A.example',
    'https://a.example ,https://evil.example',
    'null',
    '*',
    undefined,
  ]

  test('are told nothing by default; their preflights go to the web tier', async () => {
    for (const origin of [known, ...strangers]) expect((await toldTo(app.url, origin)).anything).toEqual([])
    expect(web.asked.filter(({ method }) => method === 'OPTIONS').length).toBeGreaterThan(0)
  })

  test('are told if they are named, and nobody else is; never with credentials', async () => {
    const own = await started(allowing(known, 'https://b.example'))
    for (const origin of [known, 'https://b.example']) {
      const told = await toldTo(own.url, origin)
      expect(told.answer).toEqual({ allowed: [origin], credentials: [], isVaried: true, methods: [] })
      expect(told.before).toEqual({ allowed: [origin], credentials: [], isVaried: true, methods: ['GET, HEAD, POST'] })
      expect(told.status).toBe(204)
    }
    for (const origin of strangers) {
      const told = await toldTo(own.url, origin)
      const nothing = { allowed: [], credentials: [], isVaried: true }
      expect([origin, told.answer]).toEqual([origin, { ...nothing, methods: [] }])
      expect([origin, told.before.allowed, told.before.credentials]).toEqual([origin, [], []])
    }
    const strange = await askOnce(own.url, requestOf('GET', '/page', [`Origin: ${known}`]))
    expect(valuesOf(strange.fields, 'access-control-allow-origin')).toEqual([])
  })

  test('may be all: then it is said so to each alike, still without credentials', async () => {
    const own = await started(allowing('*'))
    for (const origin of [known, 'https://evil.example']) {
      const told = await toldTo(own.url, origin)
      expect([told.answer.allowed, told.answer.credentials, told.before.credentials]).toEqual([['*'], [], []])
      expect([told.status, told.before.methods]).toEqual([204, ['GET, HEAD, POST']])
    }
  })

  test('one of them cannot have its name kept for the others', async () => {
    const own = await started(allowing(known, 'https://b.example'))
    await toldTo(own.url, 'https://b.example')
    expect((await toldTo(own.url, known)).answer.allowed).toEqual([known])
    expect((await toldTo(own.url, undefined)).answer.allowed).toEqual([])
  })

  test('twin: where all may, a stranger is told', async () => {
    const own = await started(allowing('*'))
    expect((await toldTo(own.url, 'https://evil.example')).answer.allowed).not.toEqual([])
  })
})

/**
 * A cache as one is written in an hour, ahead of the clean process for routes and the web tier for the rest: what is asked first
 * for a key is kept for all, with whatever the request said of itself in it.
 */
async function naiveCache(keyOf: (request: IncomingMessage) => string): Promise<string> {
  const kept = new Map<string, { status: number; headers: Record<string, string>; body: Buffer }>()
  const server: Server = createServer(async (request, response) => {
    const key = keyOf(request)
    let answer = kept.get(key)
    if (answer === undefined) {
      const isRoute = key.startsWith('/api/') && !key.includes('.')
      const { host, origin, range, 'accept-encoding': coding = 'identity' } = request.headers
      const headers = { 'Accept-Encoding': coding as string, ...(range && { Range: range }) }
      const asked = await fetch((isRoute ? clean.url : web.url) + (isRoute ? key : request.url), {
        method: request.method === 'HEAD' ? 'HEAD' : 'GET',
        headers,
      })
      answer = {
        status: asked.status,
        headers: {
          ...Object.fromEntries(asked.headers),
          ...(origin && { 'Access-Control-Allow-Origin': origin }),
          'Content-Location': `http://${request.headers['x-forwarded-host'] ?? host}${request.url}`,
        },
        body: Buffer.from(await asked.arrayBuffer()),
      }
      for (const name of ['content-encoding', 'content-length', 'transfer-encoding']) delete answer.headers[name]
      kept.set(key, answer)
    }
    response.writeHead(answer.status, answer.headers)
    response.end(answer.body)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  cleanUp.push(async () => {
    server.closeAllConnections()
    server.close()
    await once(server, 'close')
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

describe('twins: a cache that keeps what came first is harmed, and that is seen', () => {
  test.each([
    ['X-Forwarded-Host', withFields('X-Forwarded-Host: evil.example')],
    ['Host', withFields('Host: evil.example')],
    ['HEAD first', (url: string, { target }: Read) => askOnce(url, requestOf('HEAD', target))],
  ])('%s', async (_what, attack) => {
    const naive = await naiveCache((request) => request.url as string)
    expect(await harm({ url: naive }, attack, freshCounty)).not.toEqual([])
  })

  test('a query that says more makes another entry where the key is all of the target', async () => {
    const attack: Attack = (url, { target }) => askOnce(url, requestOf('GET', target.replace('limit=3', 'limit=2')))
    expect((await harm(app, attack, freshSearch)).join()).toContain('what is kept is')
  })
})
