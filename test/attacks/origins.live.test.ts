// The CORS fields for pages of other origins.
import { describe, expect, test } from 'vitest'
import type { Config } from '../../proxy/config/schema.ts'
import { askOnce, type WireAnswer } from '../wire/client.ts'
import { valuesOf } from '../wire/fields.ts'
import { requestOf } from '../wire/messages.ts'
import { attackStage } from './stage.ts'

const stage = attackStage()

/** The CORS fields that `url` sends to a page of `origin`, in a response and in a preflight. */
async function toldTo(url: string, origin: string | undefined) {
  const from = origin === undefined ? [] : [`Origin: ${origin}`]
  const target = '/api/plans/search?county=51059&ages=29&limit=1'
  const answer = await askOnce(url, requestOf('GET', target, from))
  const before = await askOnce(url, requestOf('OPTIONS', target, [...from, 'Access-Control-Request-Method: POST']))
  const said = ({ fields }: WireAnswer) => ({
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

  test('get no CORS fields by default; their preflights go to the upstream', async () => {
    for (const origin of [known, ...strangers]) expect((await toldTo(stage.app.url, origin)).anything).toEqual([])
    expect(stage.upstream.asked.filter(({ method }) => method === 'OPTIONS').length).toBeGreaterThan(0)
  })

  test('get CORS fields if they are listed, and no others do; never with credentials', async () => {
    const own = await stage.startOwn(allowing(known, 'https://b.example'))
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

  test('may be all: then all get the same fields, still without credentials', async () => {
    const own = await stage.startOwn(allowing('*'))
    for (const origin of [known, 'https://evil.example']) {
      const told = await toldTo(own.url, origin)
      expect([told.answer.allowed, told.answer.credentials, told.before.credentials]).toEqual([['*'], [], []])
      expect([told.status, told.before.methods]).toEqual([204, ['GET, HEAD, POST']])
    }
  })

  test('one of them cannot have its name cached for the others', async () => {
    const own = await stage.startOwn(allowing(known, 'https://b.example'))
    await toldTo(own.url, 'https://b.example')
    expect((await toldTo(own.url, known)).answer.allowed).toEqual([known])
    expect((await toldTo(own.url, undefined)).answer.allowed).toEqual([])
  })

  test('twin: with *, any origin gets CORS fields', async () => {
    const own = await stage.startOwn(allowing('*'))
    expect((await toldTo(own.url, 'https://evil.example')).answer.allowed).not.toEqual([])
  })
})
