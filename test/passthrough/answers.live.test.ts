// Answers of the upstream are passed on exactly, or become an error, or are visibly cut off. They never harm other requests.
import { once } from 'node:events'
import { describe, expect, onTestFinished, test } from 'vitest'
import { askOnce, WireClient } from '../wire/client.ts'
import { valuesOf } from '../wire/fields.ts'
import { requestOf } from '../wire/messages.ts'
import { closing, ScriptedUpstream } from '../wire/scripted-upstream.ts'
import { within } from '../wire/within.ts'
import { chunked, ok } from './answer-case.ts'
import { ambiguous, malformed, plain, poison, sized, surplus, truncated } from './answer-cases.ts'
import { NaiveProxy } from './naive-proxy.ts'
import { passthroughStage } from './stage.ts'
import { allTroubles, canary, isUsedAgain, troubles } from './troubles.ts'

const stage = passthroughStage()

describe('an answer of the upstream is passed on exactly, or as an error, or visibly cut off, and harms no other request', () => {
  const groups = { ambiguous, truncated, malformed, surplus, plain }
  for (const [group, cases] of Object.entries(groups))
    for (const one of cases)
      test(`${group}: ${one.name}`, async () => {
        const { upstream, app } = stage
        expect(await allTroubles(stage, { url: app.url, upstream }, one)).toEqual([])
      })

  test('a later second answer reaches no client', async () => {
    const { upstream, app } = await stage.pair()
    const client = await WireClient.to(app.url)
    for (let i = 0; i < 20; i += 1) {
      expect(await canary(stage, client)).toEqual([])
      const socket = upstream.lastOpen
      const closed = once(socket, 'close')
      socket.write(poison)
      // Sent directly behind it: whichever of the two is read first, the poison arrived before.
      expect(await canary(stage, client)).toEqual([])
      await within(closed, 'the end of the connection')
    }
  })

  test('a connection with unsolicited bytes is closed at once', async () => {
    const { upstream, app } = await stage.pair()
    for (const says of [poison, 'x', 'HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n']) {
      const client = await WireClient.to(app.url)
      expect(await canary(stage, client)).toEqual([])
      const socket = upstream.lastOpen
      const closed = once(socket, 'close')
      socket.write(says)
      await within(closed, `the end of a connection that said ${JSON.stringify(says)}`)
      client.close()
    }
  })

  // A client whose connection ends without a byte assumes an idle close, and sends the request again on its own:
  // browsers do so even with a POST.
  test.each([
    { name: 'a chunk of no size', says: `${chunked}x\r\nhello\r\n0\r\n\r\n` },
    { name: 'an end without content', says: closing(`${ok}Content-Length: 10\r\n\r\n`) },
    { name: 'content longer than its length', says: `${ok}Content-Length: 5\r\n\r\nhello, you` },
    { name: 'trailers over the limit', says: `${chunked}5\r\nhello\r\n0\r\nX-A: ${'a'.repeat(20_000)}\r\n\r\n` },
  ])('a POST with a broken answer gets at least part of an answer: $name', async ({ says }) => {
    const { status } = await stage.answerTo('POST', says)
    expect([200, 502]).toContain(status)
  })

  test('an incomplete answer is visibly cut off in HTTP/1.0 too, where only the end of the connection delimits it', async () => {
    for (const method of ['GET', 'POST']) {
      for (const says of [`${chunked}5\r\nhello\r\n`, `${chunked}5\r\nhello\r\nZ`]) {
        const target = stage.fresh()
        stage.upstream.script(target, closing(says))
        const content = method === 'POST' ? 'Content-Length: 1\r\n\r\nx' : '\r\n'
        const { isWhole, status } = await askOnce(
          stage.app.url,
          `${method} ${target} HTTP/1.0\r\nHost: a\r\n${content}`,
        )
        expect([method, says, isWhole && status === 200]).toEqual([method, says, false])
      }
    }
  })

  test('the same answer, if complete, is complete in HTTP/1.0', async () => {
    const target = stage.fresh()
    stage.upstream.script(target, `${chunked}5\r\nhello\r\n0\r\n\r\n`)
    const answer = await askOnce(stage.app.url, `GET ${target} HTTP/1.0\r\nHost: a\r\n\r\n`)
    expect([answer.status, answer.content.toString(), answer.isWhole]).toEqual([200, 'hello', true])
    expect(valuesOf(answer.fields, 'transfer-encoding')).toEqual([])
  })
})

describe('twins', () => {
  test('a connection without irregularities is reused, and that is detected', async () => {
    const { upstream, app } = stage
    const target = stage.fresh()
    const client = await WireClient.to(app.url)
    await client.ask(requestOf('GET', target))
    expect(await canary(stage, client)).toEqual([])
    expect(isUsedAgain(upstream, upstream.to(target))).toBe(true)
  })

  const names = new Set([
    'a second answer behind it',
    'an answer behind a HEAD',
    'an answer behind a 204',
    'content shorter than its length',
    'chunks without the last one',
    'two lengths',
    'the transfer coding "gzip, chunked"',
    'an unrequested change of protocol',
  ])
  const harmful = [...surplus, ...truncated, ...ambiguous, ...malformed].filter(({ name }) => names.has(name))

  for (const one of harmful)
    test(`a proxy that trusts the upstream fails: ${one.name}`, async () => {
      const upstream = await ScriptedUpstream.start()
      onTestFinished(() => upstream.stop())
      const naive = await NaiveProxy.start(upstream)
      onTestFinished(() => naive.stop())
      const carrier = { url: naive.url, upstream }
      // It passes with a plain answer.
      expect(await troubles(stage, carrier, sized, 'GET')).toEqual([])
      const [method = 'GET'] = one.methods ?? []
      expect(await troubles(stage, carrier, one, method)).not.toEqual([])
    })
})
