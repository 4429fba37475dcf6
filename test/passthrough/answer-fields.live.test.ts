// Answers of the upstream: fields, trailers, informational responses.
import { describe, expect, test } from 'vitest'
import { askOnce } from '../wire/client.ts'
import { type Field, valuesOf } from '../wire/fields.ts'
import { requestOf, responseOf } from '../wire/messages.ts'
import { chunked, ok } from './answer-case.ts'
import { changed, passthroughStage, requestWith } from './stage.ts'
import { allTroubles } from './troubles.ts'

const stage = passthroughStage()

interface FieldCase {
  name: string
  /** The configuration it needs. */
  change?: ReturnType<typeof changed>
  says: string
  status?: number
  /** The values that the client gets of these fields; an empty list means that the field is absent. */
  fields: Record<string, string[]>
  /** Text that must not occur in any field. */
  lacksText?: string
  trailers?: Field[]
  methods?: string[]
}

const cookies = Array.from({ length: 1000 }, (_, i) => `c${i}=${i}`)
const highBytes = Array.from({ length: 128 }, (_, i) => String.fromCharCode(128 + i)).join('')

const cases: FieldCase[] = [
  {
    name: '1,000 Set-Cookie fields are all passed on, in order',
    change: changed({}, { maxHeader: 64 * 1024 }),
    says: responseOf('hello', `${ok}${cookies.map((cookie) => `Set-Cookie: ${cookie}\r\n`).join('')}`),
    fields: { 'Set-Cookie': cookies },
  },
  {
    name: 'fields with 8-bit bytes are passed on byte for byte, repeated ones one by one',
    says: responseOf('hello', `${ok}X-Odd: ${highBytes}\r\nVary: a\r\nvary: b\r\nX-Empty:\r\nX-Tab: a\tb\r\n`),
    fields: { 'X-Odd': [highBytes], Vary: ['a', 'b'], 'X-Empty': [''], 'X-Tab': ['a\tb'] },
  },
  {
    name: 'hop-by-hop fields never reach the client, nor those that Connection names',
    says: responseOf(
      'hello',
      `${ok}Connection: set-cookie, X-Private\r\nConnection: keep-alive, content-length\r\nKeep-Alive: timeout=7777\r\nProxy-Connection: keep-alive\r\nTE: trailers\r\nUpgrade: h2c\r\nTrailer: X-Sum\r\nSet-Cookie: a=b\r\nX-Private: c\r\nX-Public: d\r\n`,
    ),
    fields: {
      'Set-Cookie': [],
      'X-Private': [],
      'Proxy-Connection': [],
      TE: [],
      Upgrade: [],
      Trailer: [],
      'Transfer-Encoding': [],
      'X-Public': ['d'],
      'Content-Length': ['5'],
      Via: ['1.1 onramp'],
    },
    lacksText: '7777',
  },
  {
    name: 'trailers are passed on, except those that would change the head',
    says: `${ok}Trailer: X-Sum\r\nTransfer-Encoding: chunked\r\nSet-Cookie: a=b\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\nX-Sum: 2\r\nSet-Cookie: poison=1\r\nCache-Control: public\r\nContent-Type: text/html\r\nVia: a\r\nConnection: X-Sum\r\n\r\n`,
    fields: { 'Set-Cookie': ['a=b'], 'Content-Length': [], 'Cache-Control': [], 'X-Sum': [] },
    trailers: [
      ['X-Sum', '1'],
      ['X-Sum', '2'],
    ],
  },
  {
    name: "the upstream's Cache-Status stays, and that of onramp follows",
    says: responseOf('hello', `${ok}Cache-Status: "web"; hit; key="a"\r\n`),
    fields: { 'Cache-Status': ['"web"; hit; key="a"', 'onramp; fwd=bypass; detail=upstream'] },
    methods: ['GET'],
  },
  {
    name: 'an Upgrade field in an answer without a switch is not passed on',
    says: responseOf('hello', 'HTTP/1.1 426 Upgrade Required\r\nUpgrade: HTTP/2.0\r\nConnection: Upgrade\r\n'),
    status: 426,
    fields: { Upgrade: [] },
    methods: ['GET'],
  },
]

describe('the fields of an answer', () => {
  for (const { name, change, says, status = 200, fields, lacksText, trailers = [], methods } of cases)
    test(name, async () => {
      const pair = change === undefined ? stage : await stage.pair(change)
      for (const method of methods ?? ['GET', 'POST']) {
        const answer = await stage.answerTo(method, says, pair)
        expect([answer.status, answer.content.toString(), answer.isWhole]).toEqual([status, 'hello', true])
        for (const [field, values] of Object.entries(fields))
          expect([field, valuesOf(answer.fields, field)]).toEqual([field, values])
        if (lacksText !== undefined) expect(JSON.stringify(answer.fields)).not.toContain(lacksText)
        expect(answer.trailers).toEqual(trailers)
      }
    })

  test.each(['Content-Length: 1', 'Transfer-Encoding: gzip', 'Content-Length: 5'])(
    'a trailer that frames is carried nowhere: %s',
    async (trailer) => {
      const { upstream, app } = stage
      const says = `${chunked}5\r\nhello\r\n0\r\n${trailer}\r\n\r\n`
      const carrier = { url: app.url, upstream }
      expect(await allTroubles(stage, carrier, { name: trailer, says, content: 'hello' })).toEqual([])
      const answer = await stage.answerTo('GET', says)
      expect([valuesOf(answer.fields, 'content-length'), answer.trailers]).toEqual([[], []])
    },
  )

  test('informational responses are passed on, but not to an HTTP/1.0 client', async () => {
    const hints =
      'HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\nLink: </b>\r\nConnection: x\r\nX: y\r\n\r\n'
    const says = hints + responseOf('hello')
    for (const method of ['GET', 'POST']) {
      const { interim, content } = await stage.answerTo(method, says)
      expect(
        interim.map(({ status, fields }) => [status, valuesOf(fields, 'link').join(), valuesOf(fields, 'x')]),
      ).toEqual([
        [102, '', []],
        [103, '</a>,</b>', []],
      ])
      expect(content.toString()).toBe('hello')
      const target = stage.fresh()
      stage.upstream.script(target, says)
      const request = requestWith(method, target, ['Connection: close'])
      const answer = await askOnce(stage.app.url, request.replace('HTTP/1.1', 'HTTP/1.0'))
      expect([answer.interim, answer.status, answer.content.toString()]).toEqual([[], 200, 'hello'])
    }
  })
})

describe('a request passed on', () => {
  test.each([
    [200, 'Fine'],
    [201, 'Made'],
    [206, 'Partial Content'],
    [226, 'IM Used'],
    [299, 'Odd'],
    [301, 'Moved'],
    [308, 'For Ever'],
    [400, 'Bad'],
    [401, 'Who'],
    [404, 'Not Here, Nor There'],
    [418, "I'm a teapot"],
    [451, 'Hush'],
    [500, 'Oh'],
    [599, 'Odd'],
  ])('%d %s is passed back unchanged', async (status, reason) => {
    const head = `HTTP/1.1 ${status} ${reason}\r\nLocation: /b\r\nWWW-Authenticate: Basic\r\n`
    for (const method of ['GET', 'POST']) {
      const answer = await stage.answerTo(method, responseOf('content', head))
      expect([answer.status, answer.reason, answer.content.toString()]).toEqual([status, reason, 'content'])
      expect(valuesOf(answer.fields, 'location')).toEqual(['/b'])
    }
  })

  test('HEAD keeps the length, 304 the validator, 206 the range', async () => {
    const { upstream, app } = stage
    const headed = await stage.answerTo('HEAD', `${ok}Content-Length: 12345\r\nETag: "a"\r\n\r\n`)
    expect([headed.status, valuesOf(headed.fields, 'content-length')]).toEqual([200, ['12345']])
    const [unchanged, part] = [stage.fresh(), stage.fresh()]
    upstream.script(unchanged, 'HTTP/1.1 304 Not Modified\r\nETag: W/"a"\r\nContent-Length: 5\r\n\r\n')
    const same = await askOnce(app.url, requestOf('GET', unchanged, ['If-None-Match: W/"a"']))
    expect([same.status, valuesOf(same.fields, 'etag'), same.content.length]).toEqual([304, ['W/"a"'], 0])
    upstream.script(part, responseOf('ell', 'HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 1-3/5\r\n'))
    const partial = await askOnce(app.url, requestOf('GET', part, ['Range: bytes=1-3']))
    expect([partial.status, partial.content.toString()]).toEqual([206, 'ell'])
    expect(valuesOf(partial.fields, 'content-range')).toEqual(['bytes 1-3/5'])
    expect(valuesOf(upstream.to(part)[0]?.fields ?? [], 'range')).toEqual(['bytes=1-3'])
  })
})
