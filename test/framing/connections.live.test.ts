// Cases of several packets: tunnels, delayed answers, unsolicited answers.
import { describe, expect, test } from 'vitest'
import { gate } from '../support.ts'
import { within } from '../wire/within.ts'
import { carried, type FramingCase } from './case.ts'
import { get, got, headOf, host, post, posted, smuggled, start, websocket, withTarget } from './messages.ts'
import { sharingRelay, verbatimRelay } from './relays.ts'
import { framingRunner } from './runner.ts'
import { StrictClient } from './strict-client.ts'
import type { StrictRequest } from './strict-http.ts'
import { deadlineMs } from './watched.ts'

const runner = framingRunner()

/** Requests a WebSocket, with bytes of it in the same packet, and delays the answer until `check` is done. */
async function upgrade(port: number, early: string, check: () => Promise<void>): Promise<StrictClient> {
  const { upstream } = runner
  upstream.forget()
  const { opened, open } = gate()
  upstream.pause = ({ target }) => (target.includes('accept') ? opened : undefined)
  const client = new StrictClient(port)
  client.send(websocket('/accept') + early)
  await upstream.until(() => upstream.requests.length > 0)
  await check()
  open()
  return client
}

describe('a WebSocket that the upstream accepts', () => {
  test('is a tunnel for both sides from the 101 on, and passes no byte before', async () => {
    const { upstream, port } = runner
    const client = await upgrade(port, smuggled, async () => {
      expect(await runner.canaries(port)).toEqual([])
      expect([upstream.violations, upstream.tunnelled]).toEqual([[], ''])
    })
    await client.until(() => client.tunnelled.length > 0)
    client.send('\0late\r\n')
    await client.until(() => client.tunnelled.endsWith('late\r\n'))
    expect(client.interim).toEqual([101])
    expect([upstream.tunnelled, client.tunnelled]).toEqual([`${smuggled}\0late\r\n`, `echo:${smuggled}echo:\0late\r\n`])
    client.end()
    expect(await client.until(() => client.isClosed)).toBe(true)
    expect([await runner.canaries(port), upstream.violations, runner.strangers.length]).toEqual([[], [], 1])
    upstream.forget()
  })

  test('twin: bytes passed on at once arrive before the 101', async () => {
    const { upstream } = runner
    const relay = await verbatimRelay(upstream.port)
    const client = await upgrade(relay.port, smuggled, async () => {
      await upstream.until(() => upstream.violations.length > 0)
      expect(upstream.violations[0]).toMatch('bytes ahead of the 101')
    })
    client.close()
    await relay.stop()
    upstream.forget()
  })
})

test('content that waits for 100-continue is requested by the upstream, and passed on when it arrives', async () => {
  const { upstream } = runner
  upstream.forget()
  const client = new StrictClient(runner.port)
  client.send(headOf('POST /waits HTTP/1.1', host, 'Expect: 100-continue', 'Content-Length: 5'))
  await client.until(() => client.interim.length > 0)
  expect([client.interim, client.answers, upstream.requests]).toEqual([[100], [], []])
  client.send('hello')
  await client.until(() => client.answers.length > 0)
  expect(client.answers).toMatchObject([{ status: 200, answers: 'POST /waits' }])
  expect(upstream.requests).toMatchObject([{ method: 'POST', target: '/waits', content: 'hello' }])
  client.close()
  upstream.forget()
})

describe('an unsolicited answer of the upstream', () => {
  const stolen = 'HTTP/1.1 200 OK\r\nX-Answers: GET /stolen\r\nContent-Length: 6\r\n\r\nstolen'
  const excess = ({ target }: StrictRequest) => (target.startsWith('/canary') ? '' : stolen)
  const cases: FramingCase[] = [
    { name: 'behind that to a GET', bytes: get(), expected: carried(got) },
    {
      name: 'behind that to a HEAD',
      bytes: start('HEAD /ID HTTP/1.1'),
      expected: carried({ ...got, method: 'HEAD' }),
    },
    {
      name: 'behind that to a GET with content',
      bytes: `${get('Content-Length: 5')}hello`,
      expected: carried({ ...got, content: 'hello' }),
    },
    { name: 'behind that to a POST', bytes: `${post('Content-Length: 5')}hello`, expected: carried(posted) },
  ]

  test.for(cases)('$name, reaches nobody', async (one) => {
    runner.upstream.excess = excess
    expect(await runner.unsafe(one, runner.port)).toEqual([])
  })

  test('twin: on a connection shared without checks, another client gets it', async () => {
    const { upstream } = runner
    const relay = await sharingRelay(upstream.port)
    upstream.excess = excess
    const client = new StrictClient(relay.port)
    client.send(get())
    await client.until(() => client.isClosed)
    expect(await runner.canaries(relay.port, 1)).toContainEqual(expect.stringMatching(/^canary: 200 GET \/stolen/))
    client.close()
    await relay.stop()
    upstream.forget()
  })
})

/** Delays the answer to /first until `open`. */
function firstHeldBack(): () => void {
  const { opened, open } = gate()
  runner.upstream.forget()
  runner.upstream.pause = ({ target }) => (target === '/first' ? opened : undefined)
  return open
}

const first = `${withTarget('/first', post('Content-Length: 5'))}hello`

describe('a request behind an unsafe one', () => {
  test.for([
    { name: 'GET', second: withTarget('/second', get()) },
    { name: 'POST', second: `${withTarget('/second', post('Content-Length: 5'))}hello` },
  ])('waits for its answer (RFC 9112, 9.3.2): $name', async ({ second }) => {
    const { upstream, port } = runner
    const open = firstHeldBack()
    const client = new StrictClient(port)
    client.send(first + second)
    await upstream.until(() => runner.strangers.length > 0)
    expect(await runner.canaries(port)).toEqual([])
    const seen = runner.strangers.map(({ target }) => target)
    open()
    await client.until(() => client.answers.length === 2)
    client.close()
    expect(seen).toEqual(['/first'])
    expect(client.answers.map(({ content }) => content.replace(/.* /, ''))).toEqual(['/first', '/second'])
    expect(runner.strangers.map(({ target }) => target)).toEqual(['/first', '/second'])
    upstream.forget()
  })
})

test('the rejection of a later request is not taken for the answer to a pending one', async () => {
  const { upstream, port } = runner
  const open = firstHeldBack()
  const client = new StrictClient(port)
  client.send(first)
  await upstream.until(() => runner.strangers.length > 0)
  client.send(start('\0 /second#x HTTP/1.1'))
  expect(await runner.canaries(port)).toEqual([])
  open()
  expect(await client.until(() => client.isClosed)).toBe(true)
  expect(client.answers[0]?.status ?? 'none').toSatisfy((status) => status === 200 || status === 'none')
  expect(runner.strangers.map(({ target }) => target)).toEqual(['/first'])
  upstream.forget()
})

describe('a connection without a protocol switch ends with its client', () => {
  const tunnels: [name: string, asked: string][] = [
    ['a WebSocket that the upstream refuses', websocket('/refused')],
    ['CONNECT', start('CONNECT a.example:443 HTTP/1.1')],
  ]
  test.for(
    tunnels.flatMap(([name, asked]) => [
      { name, packets: [asked] },
      { name: `${name}, a request behind it`, packets: [asked + smuggled] },
      { name: `${name}, a request after the answer`, packets: [asked, smuggled] },
    ]),
  )('$name', async ({ packets: [asked = '', later = ''] }) => {
    const { upstream } = runner
    upstream.forget()
    const own = await runner.startApp()
    const client = new StrictClient(Number(new URL(own.url).port))
    client.send(asked)
    await client.until(() => client.answers.length > 0)
    client.send(later)
    expect(await client.until(() => client.isClosed)).toBe(true)
    client.end()
    // Stopping waits for every open connection.
    await expect(within(own.stop(), 'the end of every connection', deadlineMs)).resolves.toBeUndefined()
    expect(runner.strangers.filter(({ target }) => target === '/smuggled')).toEqual([])
    upstream.forget()
  })
})
