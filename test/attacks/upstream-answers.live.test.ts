// Answers of the upstream are never cached, whatever their fields.
import { describe, expect, test } from 'vitest'
import { askOnce } from '../wire/client.ts'
import { valuesOf } from '../wire/fields.ts'
import { ownAnswer, requestOf, responseOf } from '../wire/messages.ts'
import type { ScriptedUpstream } from '../wire/scripted-upstream.ts'
import { naiveCache } from './naive-cache.ts'
import { attackStage } from './stage.ts'

const stage = attackStage()

describe('errors do not affect others', () => {
  test('of the upstream are never cached, whatever their fields', async () => {
    const { upstream, app } = stage
    const target = '/flaky'
    const error = responseOf('poison', 'HTTP/1.1 404 Not Found\r\nCache-Control: public, max-age=600\r\n')
    upstream.script(target, error, 'HTTP/1.1 garbage\r\n\r\n')
    expect((await askOnce(app.url, requestOf('GET', target))).status).toBe(404)
    const failed = await askOnce(app.url, requestOf('GET', target))
    expect([failed.status, valuesOf(failed.fields, 'cache-control')]).toEqual([502, ['no-store']])
    expect((await askOnce(app.url, requestOf('GET', target))).content.toString()).toBe(ownAnswer('GET', target))
  })
})

/** The number of requests to `upstream` when three clients request a publicly cacheable response from `url`. */
async function timesAsked(url: string, upstream: ScriptedUpstream, target: string, fields: string): Promise<number> {
  for (let i = 0; i < 3; i += 1) {
    upstream.script(target, responseOf(`secret ${i}`, `HTTP/1.1 200 OK\r\nContent-Type: text/css\r\n${fields}\r\n`))
    await askOnce(url, requestOf('GET', target, [`Cookie: session=${i}`]))
  }
  return upstream.to(target).length
}

describe('an answer of the upstream is never cached', () => {
  test.each([
    ['/account/x.css', 'Cache-Control: public, max-age=600\r\nSet-Cookie: session=1'],
    ['/account;x.js', 'Cache-Control: public, s-maxage=600, immutable'],
    ['/api/account', 'Expires: Fri, 01 Jan 2100 00:00:00 GMT\r\nETag: "a"'],
    ['/api/counties/51059/x.css', 'CDN-Cache-Control: max-age=600\r\nSurrogate-Control: max-age=600'],
  ])('%s, that has %s', async (target, fields) => {
    const { upstream, app } = stage
    expect(await timesAsked(app.url, upstream, target, fields)).toBe(3)
    const answer = await askOnce(app.url, requestOf('GET', target))
    expect(answer.content.toString()).toBe(ownAnswer('GET', target))
    expect(valuesOf(answer.fields, 'cache-status')).toEqual(['onramp; fwd=bypass; detail=upstream'])
  })

  test('twin: a cache that trusts Cache-Control does', async () => {
    const naive = await naiveCache(stage, (request) => request.url ?? '')
    const fields = 'Cache-Control: public, max-age=600'
    expect(await timesAsked(naive, stage.upstream, '/account/twin.css', fields)).toBe(1)
  })
})
