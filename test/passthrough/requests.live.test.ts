// Passed-on requests, as the upstream receives them.
import { mkdtempSync, rmSync } from 'node:fs'
import { METHODS } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { askOnce } from '../wire/client.ts'
import { valuesOf } from '../wire/fields.ts'
import { ownAnswer, requestOf, responseOf } from '../wire/messages.ts'
import { type ReceivedRequest, ScriptedUpstream } from '../wire/scripted-upstream.ts'
import { poison } from './answer-cases.ts'
import { NaiveProxy } from './naive-proxy.ts'
import { changed, type Pair, passthroughStage, requestWith } from './stage.ts'
import { allTroubles, type Carrier } from './troubles.ts'

const stage = passthroughStage()

interface ForwardedCase {
  sent: readonly string[]
  /** The values that the upstream gets of these fields; an empty list means that the field is absent. */
  fields: Record<string, string[]>
  /** Texts that must not occur in the head. */
  lacksTexts?: string[]
}

const spoofs = [
  'X-Forwarded-For: 6.6.6.6',
  'x-forwarded-for: 6.6.6.6',
  'X_Forwarded_For: 6.6.6.6',
  'X-Forwarded_For: 6.6.6.6',
  'X-Forwarded-Proto: 6.6.6.6',
  'X_FORWARDED_PROTO: 6.6.6.6',
  'X-Forwarded-Host: 6.6.6.6',
  'X-Forwarded-Port: 6666',
  'X-Forwarded-Prefix: /6666',
  'X-Forwarded-Server: 6.6.6.6',
  'X-Forwarded: for=6.6.6.6',
  'X-Real-IP: 6.6.6.6',
  'X_Real_IP: 6.6.6.6',
  'Forwarded: for=6.6.6.6;host=6.6.6.6;proto=https',
  'Proxy: http://6.6.6.6',
]

const trustingCases: (ForwardedCase & { name: string; trustedProxies?: string[] })[] = [
  {
    name: 'is set by onramp, whatever the client sends',
    sent: [...spoofs, 'Via: 1.0 before', 'Via: 1.1 then'],
    fields: {
      'X-Forwarded-For': ['127.0.0.1'],
      'X-Forwarded-Proto': ['http'],
      'X-Forwarded-Host': ['web.example'],
      Forwarded: ['for=127.0.0.1;host="web.example";proto=http'],
      Via: ['1.0 before, 1.1 then, 1.1 onramp'],
      Host: ['web.example'],
    },
    lacksTexts: ['666', '6.6.6'],
  },
  {
    name: 'cannot be removed by naming it in Connection',
    sent: ['Connection: X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Host, Forwarded, Via, Host'],
    fields: {
      'X-Forwarded-For': ['127.0.0.1'],
      'X-Forwarded-Proto': ['http'],
      'X-Forwarded-Host': ['web.example'],
      Forwarded: ['for=127.0.0.1;host="web.example";proto=http'],
      Via: ['1.1 onramp'],
      Host: ['web.example'],
    },
  },
  {
    name: 'extends the fields of a trusted proxy',
    trustedProxies: ['127.0.0.1'],
    sent: [
      'X-Forwarded-For: 7.7.7.7',
      'X-Forwarded-For: 8.8.8.8, 9.9.9.9',
      'X-Forwarded-Proto: https',
      'X-Forwarded-Host: shop.example',
      'X-Forwarded-Port: 443',
      'Forwarded: for=7.7.7.7;proto=https',
      'Proxy: http://6.6.6.6',
    ],
    fields: {
      'X-Forwarded-For': ['7.7.7.7, 8.8.8.8, 9.9.9.9, 127.0.0.1'],
      'X-Forwarded-Proto': ['https'],
      'X-Forwarded-Host': ['shop.example'],
      'X-Forwarded-Port': ['443'],
      Forwarded: ['for=7.7.7.7;proto=https, for=127.0.0.1;host="web.example";proto=http'],
      Proxy: [],
    },
  },
  {
    // A trusted proxy sets its own spelling, and passes on its client's spellings with underscores.
    name: 'arrives in one spelling only, even from a trusted proxy',
    trustedProxies: ['127.0.0.1'],
    sent: ['X-Forwarded-For: 7.7.7.7', 'X_Forwarded_For: 6.6.6.6', 'X_Forwarded_Proto: 6.6.6.6', 'X_Real_IP: 6.6.6.6'],
    fields: { 'X-Forwarded-For': ['7.7.7.7, 127.0.0.1'] },
    lacksTexts: ['6.6.6.6'],
  },
  {
    name: 'is ignored from an untrusted proxy',
    trustedProxies: ['10.0.0.0/8', '127.0.0.2', '::1'],
    sent: spoofs,
    fields: {},
    lacksTexts: ['6.6.6.6'],
  },
]

/** The request that the upstream receives, for a request with these fields. */
async function forwarded({ url, upstream }: Carrier, sent: readonly string[]): Promise<ReceivedRequest> {
  const target = stage.fresh()
  await askOnce(url, requestOf('GET', target, sent))
  const [received] = upstream.to(target)
  if (received === undefined) throw new Error('It has not reached the upstream.')
  return received
}

async function expectForwarded({ upstream, app }: Pair, { sent, fields, lacksTexts = [] }: ForwardedCase) {
  const received = await forwarded({ url: app.url, upstream }, sent)
  for (const [name, values] of Object.entries(fields))
    expect([name, valuesOf(received.fields, name)]).toEqual([name, values])
  for (const text of lacksTexts) expect(received.head).not.toContain(text)
}

describe('the forwarding information for the upstream', () => {
  for (const { name, trustedProxies, ...one } of trustingCases)
    test(name, async () => {
      const pair = trustedProxies === undefined ? stage : await stage.pair(changed({ trustedProxies }))
      await expectForwarded(pair, one)
    })

  test('twin: a proxy that passes on all fields passes on forged ones too', async () => {
    const upstream = await ScriptedUpstream.start()
    onTestFinished(() => upstream.stop())
    const naive = await NaiveProxy.start(upstream)
    onTestFinished(() => naive.stop())
    expect((await forwarded({ url: naive.url, upstream }, spoofs)).head).toContain('6.6.6.6')
  })
})

describe('a request passed on', () => {
  test('keeps its fields, in their order and spelling, and its Host exactly', async () => {
    const sent = [
      'Host: WEB.example:8080',
      'traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
      'Authorization: Bearer a.b',
      'COOKIE: a=b; c=d',
      'X-Same: 1',
      'Accept: */*',
      'x-same: 2',
      'X-Same: 3',
      'X-Odd: \x80\xff\t!',
      'User-Agent:',
      'Range: bytes=0-1',
      'If-None-Match: "a"',
    ]
    const { fields } = await forwarded({ url: stage.app.url, upstream: stage.upstream }, sent)
    const names = new Set(sent.map((field) => field.slice(0, field.indexOf(':')).toLowerCase()))
    const kept = fields.filter(([name]) => names.has(name.toLowerCase())).map(([name, value]) => `${name}: ${value}`)
    const lines = sent.map((field) => field.replace(/:$/, ': '))
    expect([kept[0]?.toLowerCase(), ...kept.slice(1)]).toEqual([lines[0]?.toLowerCase(), ...lines.slice(1)])
    expect(valuesOf(fields, 'host')).toEqual(['WEB.example:8080'])
  })

  test('loses its hop-by-hop fields', async () => {
    await expectForwarded(stage, {
      sent: [
        'Connection: close, X-Private, Upgrade, HTTP2-Settings',
        'Upgrade: h2c',
        'HTTP2-Settings: AAMAAABkAAQAAP__',
        'X-Private: a',
        'Keep-Alive: timeout=5',
        'Proxy-Connection: close',
        'TE: gzip, trailers;q=0.5',
        'Trailer: a',
        'X-Public: b',
      ],
      fields: {
        Upgrade: [],
        'HTTP2-Settings': [],
        'X-Private': [],
        'Keep-Alive': [],
        'Proxy-Connection': [],
        Trailer: [],
        'Transfer-Encoding': [],
        'X-Public': ['b'],
      },
    })
  })

  test.each([
    '/',
    '//a//b',
    '/a/../b/./c',
    '/a%2Fb%2fc%00',
    '/%zz?%',
    '/a?b=c&b=d;e|"\'<>^`{}[]\\',
    '/a?',
    '/?/?//',
    '/a;b=c/d',
    '/a:80@b',
    '/http://other.example/',
    'http://web.example/a',
    'http://web.example',
    'http://web.example?a',
    'HTTP://web.example/a',
  ])('keeps its target byte for byte: %s', async (target) => {
    const { status, content } = await askOnce(stage.app.url, requestOf('GET', target))
    expect([status, content.toString()]).toEqual([200, ownAnswer('GET', target)])
    expect(stage.upstream.asked.at(-1)?.head.split('\r\n')[0]).toBe(`GET ${target} HTTP/1.1`)
  })

  test('with 8-bit bytes in its target keeps them, or is rejected', async () => {
    for (const method of ['GET', 'POST']) {
      const target = '/\xe9t\xe9?\xff'
      const before = stage.upstream.asked.length
      const { status } = await askOnce(stage.app.url, requestWith(method, target))
      if (status === 400) expect(stage.upstream.asked.length).toBe(before)
      else expect([status, stage.upstream.asked.at(-1)?.target]).toEqual([200, target])
    }
  })

  test('keeps its content and its trailers, except trailers that would change its head', async () => {
    const target = stage.fresh()
    const arrived = stage.upstream.next(target)
    const content =
      '5\r\nhel\0o\r\n2;ext=1\r\n\xff!\r\n0\r\nX-Sum: 7\r\nAuthorization: a\r\nX-Forwarded-For: 6.6.6.6\r\nHost: b\r\n\r\n'
    await askOnce(stage.app.url, `POST ${target} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${content}`)
    const { bytes, trailers, isWhole } = await (await arrived).content
    expect([bytes.toString('latin1'), isWhole, trailers]).toEqual(['hel\0o\xff!', true, [['X-Sum', '7']]])
  })

  test('may have any HTTP method except CONNECT, with its content', async () => {
    for (const method of METHODS.filter((one) => one !== 'CONNECT' && one !== 'SOURCE')) {
      for (const content of method === 'TRACE' ? [undefined] : ['content of it', undefined]) {
        const target = stage.fresh()
        const answer = await askOnce(stage.app.url, requestOf(method, target, [], content))
        const asked = stage.upstream.to(target)
        expect([method, asked.length, asked[0]?.method]).toEqual([method, 1, method])
        expect([method, (await asked[0]?.content)?.bytes.toString()]).toEqual([method, content ?? ''])
        const expected = method === 'HEAD' ? '' : ownAnswer(method, target)
        expect([method, answer.status, answer.content.toString()]).toEqual([method, 200, expected])
      }
    }
  })

  test('goes to an upstream on a Unix socket in the same way', async () => {
    const twoAnswers = { name: 'two answers', says: responseOf('hello') + poison, content: 'hello' }
    const folder = mkdtempSync(join(tmpdir(), 'onramp-web-'))
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
    const own = await stage.pair(undefined, join(folder, 'web.sock'))
    for (const method of ['GET', 'POST']) {
      const answer = await askOnce(own.app.url, requestWith(method, `/${method}`))
      expect([answer.status, answer.content.toString()]).toEqual([200, ownAnswer(method, `/${method}`)])
      expect(valuesOf(own.upstream.asked.at(-1)?.fields ?? [], 'host')).toEqual(['web.example'])
    }
    expect(await allTroubles(stage, { url: own.app.url, upstream: own.upstream }, twoAnswers)).toEqual([])
  })
})
