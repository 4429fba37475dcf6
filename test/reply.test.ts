import { STATUS_CODES } from 'node:http'
import { describe, expect, test } from 'vitest'
import type { Answer } from '../proxy/cache/answer.ts'
import type { Entry } from '../proxy/cache/entry.ts'
import { smallestCompressed } from '../proxy/cache/variants.ts'
import { Problem, type ProblemCode, problems } from '../proxy/errors.ts'
import { type Conditions, cacheStatus, chooseEncoding, replyWith } from '../proxy/http/reply.ts'
import { problemReply } from '../proxy/problem-reply.ts'
import { entryOf } from './support.ts'

const small = entryOf('[{"state":"VA"}]', { etag: 'abcdefghijklmnopqrstuv' })
const big: Entry = { ...small, body: Buffer.alloc(smallestCompressed, '[') }
const variants = { br: Buffer.from('in brotli'), gzip: Buffer.from('in gzip') }
const built: Entry = { ...big, variants }

const hit = (entry: Entry, more: Partial<Answer> = {}): Answer => ({
  entry,
  source: 'memory',
  state: 'fresh',
  ttlMs: 57_900,
  ageMs: 2_100,
  ...more,
})
const plainGet: Conditions = { method: 'GET', ifNoneMatch: undefined, acceptEncoding: undefined }
const reply = (entry: Entry, conditions: Partial<Conditions> = {}, returns: 'rows' | 'row' = 'rows') =>
  replyWith(hit(entry), returns, 'max-age=0, must-revalidate', { ...plainGet, ...conditions })
const etagOf = (entry: Entry, acceptEncoding?: string) => reply(entry, { acceptEncoding }).headers.ETag as string

describe('Cache-Status (RFC 9211) of', () => {
  const miss = { source: 'origin', state: 'miss', ttlMs: 60_000, ageMs: 0, forwarded: 'uri-miss' } as const
  const cases: [string, Partial<Answer>, string][] = [
    ['a hit in memory', {}, 'onramp; hit; ttl=57; detail=memory'],
    ['a hit in Redis', { source: 'redis' }, 'onramp; hit; ttl=57; detail=redis'],
    ['a hit in its last second', { ttlMs: 999 }, 'onramp; hit; ttl=0; detail=memory'],
    ['a hit in its last instant', { ttlMs: 0.1 }, 'onramp; hit; ttl=0; detail=memory'],
    ['a stale hit', { state: 'stale', ttlMs: -3000 }, 'onramp; hit; ttl=-3; detail=memory'],
    ['a hit stale since this very instant', { state: 'stale', ttlMs: -0.1 }, 'onramp; hit; ttl=-1; detail=memory'],
    ['a stale hit in Redis', { state: 'stale', source: 'redis', ttlMs: -1 }, 'onramp; hit; ttl=-1; detail=redis'],
    ['a miss', { ...miss, stored: true }, 'onramp; fwd=uri-miss; stored; detail=origin'],
    ['a miss that is not kept', { ...miss, stored: false }, 'onramp; fwd=uri-miss; detail=origin'],
    ['a collapsed miss', { ...miss, collapsed: true, stored: false }, 'onramp; fwd=uri-miss; collapsed; detail=origin'],
    [
      'a miss of what was too old',
      { ...miss, forwarded: 'stale', stored: true },
      'onramp; fwd=stale; stored; detail=origin',
    ],
    [
      'a stale answer after the origin failed',
      { state: 'stale', forwarded: 'stale', ttlMs: -90_000, fallbackReason: 'stale-only' },
      'onramp; fwd=stale; ttl=-90; detail=stale-only',
    ],
    [
      'a stale answer because the origin is slow',
      { state: 'stale', forwarded: 'stale', ttlMs: -90_000, fallbackReason: 'soft-timeout' },
      'onramp; fwd=stale; ttl=-90; detail=soft-timeout',
    ],
    [
      'a stale answer because the fill was shed',
      { state: 'stale', forwarded: 'stale', ttlMs: -90_000, fallbackReason: 'shed' },
      'onramp; fwd=stale; ttl=-90; detail=shed',
    ],
    [
      'a stale answer while the origin is backed off',
      { state: 'stale', ttlMs: -90_000, fallbackReason: 'stale-only' },
      'onramp; hit; ttl=-90; detail=stale-only',
    ],
  ]
  test.each(cases)('%s', (_what, answer, field) => {
    expect(cacheStatus(hit(small, answer))).toBe(field)
    expect(replyWith(hit(small, answer), 'rows', 'no-cache', plainGet).headers['Cache-Status']).toBe(field)
  })

  test('a stale answer after the failed fill of another reader is marked as collapsed', () => {
    const answer = hit(small, { state: 'stale', forwarded: 'stale', collapsed: true, ttlMs: -90_000 })
    expect(cacheStatus(answer)).toMatch(/^onramp; fwd=stale; collapsed; /)
  })

  test('any answer has either hit or fwd, and is a structured field (RFC 8941)', () => {
    for (const [, answer] of cases) {
      const [name, ...parameters] = cacheStatus(hit(small, answer)).split('; ')
      expect(name).toBe('onramp')
      expect(parameters.filter((one) => one === 'hit' || one.startsWith('fwd='))).toHaveLength(1)
      for (const one of parameters) expect(one).toMatch(/^[a-z]+(=(-?\d{1,15}|[a-z][a-z-]*))?$/)
    }
  })
})

describe('a 200', () => {
  test('has the stored bytes and all promised fields', () => {
    const { status, headers, body } = reply(small)
    expect(status).toBe(200)
    expect(body).toBe(small.body)
    expect(headers).toEqual({
      'Content-Type': 'application/json',
      'Content-Length': String(small.body.length),
      ETag: `"${small.etag}"`,
      'Cache-Control': 'max-age=0, must-revalidate',
      Age: '2',
      'Cache-Status': 'onramp; hit; ttl=57; detail=memory',
    })
  })

  test('has its Age in whole seconds, rounded down', () => {
    const ageAt = (ageMs: number) => replyWith(hit(small, { ageMs }), 'rows', 'no-cache', plainGet).headers.Age
    expect([0, 999.9, 1000, 86_400_000].map(ageAt)).toEqual(['0', '0', '1', '86400'])
  })

  test('is an empty list where a list has no rows', () => {
    const none = { ...small, body: Buffer.from('[]'), rows: 0 }
    expect(reply(none)).toMatchObject({ status: 200, body: none.body, headers: { ETag: expect.any(String) } })
  })

  test('is the same for HEAD and GET, except for the body, which the server omits (RFC 9110, 9.3.2)', () => {
    expect(reply(built, { method: 'HEAD', acceptEncoding: 'br' }).headers).toEqual(
      reply(built, { acceptEncoding: 'br' }).headers,
    )
  })
})

describe('a variant', () => {
  test.each(['br', 'gzip'] as const)('in %s has its bytes, its length, its encoding', (encoding) => {
    const { headers, body } = reply(built, { acceptEncoding: encoding })
    expect(body).toBe(variants[encoding])
    expect(headers).toMatchObject({
      'Content-Encoding': encoding,
      'Content-Length': String(variants[encoding].length),
      'Content-Type': 'application/json',
      Vary: 'Accept-Encoding',
    })
  })

  test('has an ETag of its own, because its bytes differ (RFC 9110, 8.8.3.3)', () => {
    const etags = [etagOf(built), etagOf(built, 'br'), etagOf(built, 'gzip')]
    expect(new Set(etags).size).toBe(3)
    for (const etag of etags) expect(etag).toMatch(/^"[\x21\x23-\x7e]+"$/)
  })

  test('has the plain ETag while it is not built, because the plain bytes are sent', () => {
    expect(etagOf(big, 'br, gzip')).toBe(etagOf(built))
    expect(reply(big, { acceptEncoding: 'br, gzip' }).body).toBe(big.body)
    expect(reply(big, { acceptEncoding: 'br, gzip' }).headers).not.toHaveProperty('Content-Encoding')
  })

  const wishes: [field: string | undefined, of: Entry['variants'], wanted: 'br' | 'gzip' | undefined][] = [
    ['br, gzip', undefined, 'br'],
    ['gzip, deflate', undefined, 'gzip'],
    ['gzip;q=1, br;q=0.5', undefined, 'gzip'],
    ['br, gzip', { gzip: variants.gzip }, 'br'],
    ['gzip', { br: variants.br }, 'gzip'],
    // Existing and useless variants are not requested again.
    ['br, gzip', { br: variants.br }, undefined],
    ['br, gzip', { br: null }, 'gzip'],
    ['br', { br: null, gzip: variants.gzip }, undefined],
    ['gzip', { gzip: null }, undefined],
    ['identity', undefined, undefined],
    [undefined, undefined, undefined],
  ]
  test.each(wishes)('is wanted by %j where there is %j: %j', (acceptEncoding, held, wanted) => {
    expect(reply({ ...big, ...(held && { variants: held }) }, { acceptEncoding }).wanted).toBe(wanted)
    expect(reply(small, { acceptEncoding }).wanted).toBeUndefined()
  })

  test('that is useless is not sent', () => {
    const { headers, body } = reply({ ...big, variants: { br: null } }, { acceptEncoding: 'br;q=1, gzip;q=0.1' })
    expect(body).toBe(big.body)
    expect(headers).not.toHaveProperty('Content-Encoding')
  })

  test('is announced by Vary on every body that has or will have one, and on no other', () => {
    const smaller = { ...small, body: Buffer.alloc(smallestCompressed - 1, '[') }
    for (const acceptEncoding of [undefined, '', 'br', 'identity']) {
      expect(reply(big, { acceptEncoding }).headers.Vary).toBe('Accept-Encoding')
      expect(reply(built, { acceptEncoding }).headers.Vary).toBe('Accept-Encoding')
      expect(reply({ ...big, variants: {} }, { acceptEncoding }).headers.Vary).toBe('Accept-Encoding')
      expect(reply(smaller, { acceptEncoding }).headers).not.toHaveProperty('Vary')
    }
  })
})

describe('Accept-Encoding (RFC 9110, 12.5.3)', () => {
  const chosen: [string | undefined, 'br' | 'gzip' | undefined][] = [
    [undefined, undefined],
    ['', undefined],
    ['br', 'br'],
    ['gzip', 'gzip'],
    ['gzip, br', 'br'],
    ['gzip, deflate, br, zstd', 'br'],
    ['gzip, deflate', 'gzip'],
    ['deflate, zstd', undefined],
    ['identity', undefined],
    ['*', 'br'],
    ['br;q=0', undefined],
    ['br;q=0, gzip', 'gzip'],
    ['br;q=0, *', 'gzip'],
    ['br;q=0, gzip;q=0, *', undefined],
    ['gzip;q=1.0, br;q=0.5', 'gzip'],
    ['br;q=0.5, gzip;q=1.0', 'gzip'],
    ['br;q=0.001', 'br'],
    ['gzip;q=0.8, br;q=0.8', 'br'],
    ['gzip;q=0.5, *;q=0', 'gzip'],
    ['*;q=0', undefined],
    ['identity;q=1, br;q=0.5', undefined],
    ['identity;q=0.5, gzip;q=0.6', 'gzip'],
    ['identity;q=0, gzip;q=0.1', 'gzip'],
    ['identity;q=0', undefined],
    ['identity;q=0, deflate', undefined],
    ['br;q=0.000', undefined],
    ['BR', 'br'],
    ['GZip;Q=1', 'gzip'],
    [' gzip ; q=1 ,  br ; q=0 ', 'gzip'],
    ['\tgzip', 'gzip'],
    [',gzip,,', 'gzip'],
    ['brotli, xgzip, gzipx', undefined],
  ]
  test.each(chosen)('%j means %j', (field, encoding) => {
    expect(chooseEncoding(field, variants)).toBe(encoding)
  })

  test.each([',', ';', ';;;', 'q=1', '=,=', ';q=1', 'é, ☃', '\0', 'br gzip', '"br"', 'br/1', ','.repeat(10_000)])(
    'that is malformed (%j) gets the plain body',
    (field) => {
      expect(chooseEncoding(field, variants)).toBeUndefined()
    },
  )

  test.each(['br;q=2', 'br;q=-1', 'br;q=x', 'br;q=', 'br;q', 'br;q=1;q=0', 'br;x=1', 'gzip;q=NaN, br;q=1e9'])(
    'with a malformed weight (%j) still gets a body',
    (field) => {
      const { status, body, headers } = reply(built, { acceptEncoding: field })
      expect(status).toBe(200)
      const encoding = headers['Content-Encoding'] as 'br' | 'gzip' | undefined
      expect(body).toBe(encoding === undefined ? built.body : variants[encoding])
    },
  )

  test('never chooses a missing variant', () => {
    expect(chooseEncoding('br, gzip', {})).toBeUndefined()
    expect(chooseEncoding('br, gzip', { gzip: variants.gzip })).toBe('gzip')
    expect(chooseEncoding('br', { gzip: variants.gzip })).toBeUndefined()
    expect(chooseEncoding('br', { br: undefined } as unknown as typeof variants)).toBeUndefined()
    expect(chooseEncoding('constructor, __proto__', variants)).toBeUndefined()
  })
})

describe('If-None-Match (RFC 9110, 13.1.2)', () => {
  const etag = etagOf(built)
  const status = (ifNoneMatch: string, more: Partial<Conditions> = {}) => reply(built, { ifNoneMatch, ...more }).status

  const matching: [string, string][] = [
    ['the ETag', etag],
    ['any', '*'],
    ['any, with spaces', ' * '],
    ['a weak ETag, which compares weakly', `W/${etag}`],
    ['a list', `"x", ${etag}, "y"`],
    ['a list without spaces', `"x",W/"y",${etag}`],
    ['a list with empty elements', `, ,${etag},`],
    ['a list in which others hold commas', `"a,b", ${etag}`],
    ['a very long list', `${'"x", '.repeat(1000)}${etag}`],
  ]
  test.each(matching)('of %s is a 304', (_what, field) => {
    expect(status(field)).toBe(304)
    expect(status(field, { method: 'HEAD' })).toBe(304)
  })

  const other: [string, string][] = [
    ['another ETag', '"x"'],
    ['nothing', ''],
    ['the ETag without quotes', etag.slice(1, -1)],
    ['half the ETag', `${etag.slice(0, 9)}"`],
    ['the ETag and more', `${etag.slice(0, -1)}x"`],
    ['the ETag in another case', etag.toUpperCase()],
    ['one quote', '"'],
    ['an unclosed ETag', etag.slice(0, -1)],
    ['the ETag inside another', `"x${etag.slice(1, -1)}"`],
    ['any, quoted', '"*"'],
    ['the ETag of an encoding there is not', `${etag.slice(0, -1)}-zstd"`],
    ['many quotes', '"'.repeat(10_001)],
  ]
  test.each(other)('of %s is the whole answer', (_what, field) => {
    expect(reply(built, { ifNoneMatch: field })).toMatchObject({ status: 200, body: built.body })
  })

  test('with any variant that the client can read gets a 304, which confirms that variant', () => {
    for (const [held, fields] of [
      [undefined, [undefined, 'br', 'gzip', 'br;q=0, gzip;q=0', '*', 'identity']],
      ['br', [undefined, 'br', '*', 'gzip;q=0.5, br']],
      ['gzip', [undefined, 'gzip', '*', 'br, gzip;q=0.1']],
    ] as const)
      for (const acceptEncoding of fields) {
        const ifNoneMatch = etagOf(built, held)
        const confirmed = reply(built, { ifNoneMatch, acceptEncoding })
        expect([confirmed.status, confirmed.headers.ETag]).toEqual([304, ifNoneMatch])
      }
  })

  test('with a variant that the client cannot read gets no 304, so that no cache gives it to that client', () => {
    for (const [held, acceptEncoding] of [
      ['br', 'identity'],
      ['br', 'gzip'],
      ['gzip', 'br'],
      ['br', 'br;q=0'],
      ['gzip', ''],
    ] as const)
      expect(reply(built, { ifNoneMatch: etagOf(built, held), acceptEncoding }).status).toBe(200)
  })

  test('with a variant evicted from memory still gets a 304', () => {
    expect(reply(big, { ifNoneMatch: etagOf(built, 'br') }).status).toBe(304)
  })

  test('with several variants confirms the one that would be sent', () => {
    const ifNoneMatch = [etagOf(built), etagOf(built, 'br'), etagOf(built, 'gzip')].join(', ')
    expect(reply(built, { ifNoneMatch, acceptEncoding: 'gzip' }).headers.ETag).toBe(etagOf(built, 'gzip'))
  })

  test('on a POST never gets a 304', () => {
    for (const field of ['*', etag]) expect(status(field, { method: 'POST' })).toBe(200)
  })
})

describe('a 304 (RFC 9110, 15.4.5)', () => {
  const { headers, body } = reply(built, { ifNoneMatch: '*', acceptEncoding: 'br' })

  test("has every header of a 200 that updates the client's copy", () => {
    expect(headers).toEqual({
      ETag: etagOf(built, 'br'),
      'Cache-Control': 'max-age=0, must-revalidate',
      Vary: 'Accept-Encoding',
      Age: '2',
      'Cache-Status': 'onramp; hit; ttl=57; detail=memory',
    })
  })

  test('has no body, and no header of a body', () => {
    expect(body).toHaveLength(0)
    for (const name of ['Content-Length', 'Content-Type', 'Content-Encoding']) expect(headers).not.toHaveProperty(name)
  })

  test('of a small body has no Vary, as its 200 has none', () => {
    expect(reply(small, { ifNoneMatch: '*' }).headers).not.toHaveProperty('Vary')
  })
})

const parsed = (body: Buffer) => JSON.parse(body.toString()) as Record<string, unknown>

describe('a row that does not exist', () => {
  const none: Entry = { ...small, body: Buffer.alloc(0), rows: 0 }

  test('is a 404 that no cache may store, with a Cache-Status', () => {
    const { status, headers, body } = reply(none, {}, 'row')
    expect(status).toBe(404)
    expect(headers).toMatchObject({
      'Content-Type': 'application/problem+json',
      'Cache-Control': 'no-store',
      'Content-Length': String(body.length),
      'Cache-Status': 'onramp; hit; ttl=57; detail=memory',
    })
    expect(parsed(body)).toMatchObject({ status: 404 })
  })

  test('has no validator, and never becomes a 304', () => {
    const { status, headers } = reply(none, { ifNoneMatch: '*' }, 'row')
    expect(status).toBe(404)
    expect(headers).not.toHaveProperty('ETag')
  })

  test('differs from a row that exists', () => {
    expect(reply(small, {}, 'row').status).toBe(200)
  })
})

describe('a problem (RFC 9457)', () => {
  test.each(Object.keys(problems) as ProblemCode[])(
    '%s has its type, title, status and detail, and must not be stored',
    (code) => {
      const { status, headers, body } = problemReply(new Problem(code, 'This went wrong.'))
      expect(status).toBe(problems[code])
      expect(parsed(body)).toEqual({
        type: 'about:blank',
        title: STATUS_CODES[problems[code]],
        status,
        detail: 'This went wrong.',
      })
      expect(headers).toEqual({
        'Content-Type': 'application/problem+json',
        'Content-Length': String(body.length),
        'Cache-Control': 'no-store',
      })
    },
  )

  test('of parameters names each of them', () => {
    const faults = [
      { parameter: 'county', detail: 'is required' },
      { parameter: 'ages', detail: 'has an invalid item: it must be a whole number, not "é"' },
    ]
    const { body, headers } = problemReply(new Problem('bad-parameters', 'Two.', { faults }))
    expect(parsed(body)).toMatchObject({ status: 400, errors: faults })
    expect(headers['Content-Length']).toBe(String(body.length))
  })

  test('does not reveal its cause', () => {
    const problem = new Problem('origin-failed', 'No.', { cause: new Error('password authentication failed for app') })
    expect(problemReply(problem).body.toString()).not.toContain('password')
  })

  test('may have additional headers', () => {
    expect(problemReply(new Problem('origin-unavailable', 'No.'), { 'Retry-After': '2' }).headers).toMatchObject({
      'Retry-After': '2',
      'Cache-Control': 'no-store',
    })
  })
})
