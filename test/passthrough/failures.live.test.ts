// Failures of either side: unreachable upstreams, connections closed when they are needed, clients that disconnect.
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { describe, expect, inject, onTestFinished, test } from 'vitest'
import { startApp } from '../live.ts'
import { gate } from '../support.ts'
import { askOnce, WireClient } from '../wire/client.ts'
import { valuesOf } from '../wire/fields.ts'
import { listening } from '../wire/listening.ts'
import { ownAnswer, requestOf, responseOf } from '../wire/messages.ts'
import { type Respond, ScriptedUpstream } from '../wire/scripted-upstream.ts'
import { within } from '../wire/within.ts'
import { chunked, ok } from './answer-case.ts'
import { changed, handshake, passthroughStage, requestWith, stopApp } from './stage.ts'
import { canary, notAProblem } from './troubles.ts'

const stage = passthroughStage()

/** The ways in which a connection can end. */
const ends = ['destroy', 'end', 'resetAndDestroy'] as const
type End = (typeof ends)[number]

describe('a response that arrives before the whole request', () => {
  test('reaches the client while its upload is under way', async () => {
    const target = stage.fresh()
    const tooMuch = responseOf('too much', 'HTTP/1.1 413 Content Too Large\r\n')
    stage.upstream.script(target, ({ socket }) => void socket.write(tooMuch))
    const client = await WireClient.to(stage.app.url)
    client.send(`POST ${target} HTTP/1.1\r\nHost: a\r\nContent-Length: ${10 * 1024 ** 2}\r\n\r\n`)
    client.send(Buffer.alloc(10 * 1024 ** 2, 'x'))
    const { status, content, isWhole } = await client.read('POST')
    expect([status, content.toString(), isWhole]).toEqual([413, 'too much', true])
    client.close()
    expect(await canary(stage, await WireClient.to(stage.app.url))).toEqual([])
  })
})

describe('an unreachable upstream', () => {
  test.each(['GET', 'POST'])('refuses the connection: %s gets 502, soon', async (method) => {
    const own = await stage.pair()
    await own.upstream.stop()
    const answer = await askOnce(own.app.url, requestWith(method, '/'))
    expect(notAProblem(answer, 502)).toEqual([])
  })

  test.each(['GET', 'POST'])(
    'never answers: %s gets 504, is not asked again, and the connection is closed',
    async (method) => {
      const own = await stage.pair(changed({ firstByteTimeout: 150 }))
      own.upstream.usual = () => {}
      const answer = await askOnce(own.app.url, requestWith(method, '/never'))
      expect(notAProblem(answer, 504)).toEqual([])
      const sockets = own.upstream.to('/never').map(({ socket }) => socket)
      expect(sockets).toHaveLength(1)
      for (const socket of sockets) if (!socket.closed) await within(once(socket, 'close'), 'the end of the connection')
    },
  )

  test.each(['GET', 'POST'])('stops in the middle of its answer: %s is cut', async (method) => {
    const own = await stage.pair(changed({}, { idleTimeout: 150 }))
    for (const head of [`${ok}Content-Length: 10\r\n\r\nhello`, `${ok}\r\nhello`]) {
      const answer = await stage.answerTo(method, ({ socket }) => void socket.write(head), own)
      expect([answer.status, answer.content.toString(), answer.isWhole]).toEqual([200, 'hello', false])
    }
  })
})

/** Makes every open connection end when a request arrives on it; new connections are answered as usual. */
function endConnections(upstream: ScriptedUpstream, how: End): void {
  const count = upstream.connections.length
  const { usual } = upstream
  upstream.usual = (asked) => (asked.connection < count ? void asked.socket[how]() : usual(asked))
}

/** Delays the answer to `target` until `opened`. */
function holdBack(upstream: ScriptedUpstream, target: string, opened: Promise<void>): void {
  upstream.script(target, async ({ socket }) => {
    await opened
    socket.write(responseOf('held'))
  })
}

describe('a pooled connection that the upstream closes when it is needed', () => {
  test.each(ends)('is not seen by a GET: %s', async (how) => {
    const own = await stage.pair()
    const client = await WireClient.to(own.app.url)
    expect(await canary(stage, client)).toEqual([])
    const count = own.upstream.connections.length
    endConnections(own.upstream, how)
    const { content, status } = await client.ask(requestOf('GET', '/again'))
    expect([status, content.toString()]).toEqual([200, ownAnswer('GET', '/again')])
    expect(own.upstream.to('/again').map(({ connection }) => connection)).toEqual([count - 1, count])
    client.close()
  })

  test('does not affect a GET, even if all of them are closed: it is sent again on a new one', async () => {
    const own = await stage.pair()
    const all = gate()
    const client = await WireClient.to(own.app.url)
    const others = await Promise.all([1, 2, 3].map(() => WireClient.to(own.app.url)))
    const held = [client, ...others].map((client, i) => {
      holdBack(own.upstream, `/hold/${i}`, all.opened)
      return { arrived: own.upstream.next(`/hold/${i}`), answered: client.ask(requestOf('GET', `/hold/${i}`)) }
    })
    await Promise.all(held.map(({ arrived }) => arrived))
    all.open()
    await Promise.all(held.map(({ answered }) => answered))
    endConnections(own.upstream, 'destroy')
    const { content, status } = await client.ask(requestOf('GET', '/again'))
    expect([status, content.toString()]).toEqual([200, ownAnswer('GET', '/again')])
    expect(own.upstream.to('/again').length).toBe(2)
  })

  test.each(['POST', 'PUT', 'PATCH', 'DELETE'])('costs a %s its answer: it is sent once', async (method) => {
    expect(await sentAgain(stage.app.url, stage.upstream, method)).toEqual([])
  })

  test('twin: a proxy that retries sends it twice', async () => {
    const behind = await ScriptedUpstream.start()
    onTestFinished(() => behind.stop())
    const server = createServer((client) => {
      client.on('error', () => {})
      client.once('data', async (bytes) => {
        for (let i = 0; i < 2; i += 1) await askOnce(behind.url, bytes.toString('latin1'))
        client.end('HTTP/1.1 502 Bad Gateway\r\n\r\n')
      })
    })
    const url = `http://127.0.0.1:${await listening(server)}`
    onTestFinished(() => void server.close())
    expect(await sentAgain(url, behind, 'POST')).toContain('with content, destroy: 2 times')
  })

  test.each([408, 425, 429, 500, 502, 503, 504])(
    '%d is an answer, and is given on: nothing is asked again for it',
    async (status) => {
      for (const method of ['GET', 'HEAD', 'OPTIONS', 'POST', 'PUT', 'PATCH', 'DELETE']) {
        const target = stage.fresh()
        const says = responseOf(method === 'HEAD' ? '' : 'try again', `HTTP/1.1 ${status} Busy\r\nRetry-After: 0\r\n`)
        stage.upstream.script(target, says)
        const answer = await askOnce(stage.app.url, requestWith(method, target))
        expect([method, answer.status, answer.reason, answer.isWhole]).toEqual([method, status, 'Busy', true])
        expect(valuesOf(answer.fields, 'retry-after')).toEqual(['0'])
        expect([method, stage.upstream.to(target).length]).toEqual([method, 1])
      }
    },
  )
})

/** The kinds of missing answers after which a request of `method` was not sent exactly once. */
async function sentAgain(ahead: string, behind: ScriptedUpstream, method: string): Promise<string[]> {
  const found: string[] = []
  for (const content of ['content', undefined]) {
    for (const how of ends) {
      const target = stage.fresh()
      const die: Respond = (asked) => void asked.content.then(() => asked.socket[how]())
      behind.script(target, die, die, die)
      await askOnce(ahead, requestOf(method, target, [], content))
      const times = behind.to(target).length
      if (times !== 1) found.push(`with${content === undefined ? 'out' : ''} content, ${how}: ${times} times`)
    }
  }
  return found
}

describe('a client that disconnects', () => {
  test.each([
    { when: 'before an answer', method: 'GET', says: '' },
    { when: 'before an answer', method: 'POST', says: '' },
    { when: 'in the middle of one', method: 'GET', says: `${chunked}5\r\nhello\r\n` },
    { when: 'in the middle of one', method: 'POST', says: `${ok}Content-Length: 10\r\n\r\nhello` },
  ])("$when to a $method: the upstream's connection is closed", async ({ method, says }) => {
    const target = stage.fresh()
    stage.upstream.script(target, ({ socket }) => void (says !== '' && socket.write(says)))
    const arrived = stage.upstream.next(target)
    const client = await WireClient.to(stage.app.url)
    client.send(requestWith(method, target))
    const { socket } = await arrived
    const closed = once(socket, 'close')
    if (says !== '') await client.until('hello')
    client.close()
    await within(closed, 'the end of the connection to the upstream')
  })

  test('during its content: the upstream never gets a complete request', async () => {
    for (const head of ['Content-Length: 100\r\n\r\nhello', 'Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n']) {
      const target = stage.fresh()
      const arrived = stage.upstream.next(target)
      const client = await WireClient.to(stage.app.url)
      client.send(`POST ${target} HTTP/1.1\r\nHost: a\r\n${head}`)
      const { content } = await arrived
      client.close()
      expect((await within(content, 'the end of the content')).isWhole).toBe(false)
    }
  })
})

describe('more than upstream.maxRequests at once', () => {
  test('get a counted 503 until one completes; routes keep answering', async () => {
    const own = await stage.pair(changed({ maxRequests: 2 }))
    const hold = gate()
    const held = await Promise.all(
      ['GET', 'POST'].map(async (method, i) => {
        holdBack(own.upstream, `/hold/${i}`, hold.opened)
        const arrived = own.upstream.next(`/hold/${i}`)
        const answered = askOnce(own.app.url, requestWith(method, `/hold/${i}`))
        await arrived
        return { answered }
      }),
    )
    for (const method of ['GET', 'POST']) {
      const refused = await askOnce(own.app.url, requestWith(method, '/third'))
      expect(notAProblem(refused, 503)).toEqual([])
      expect(valuesOf(refused.fields, 'retry-after').join()).toMatch(/^\d+$/)
    }
    expect(own.upstream.to('/third')).toEqual([])
    expect((await own.app.get('/api/states')).status).toBe(200)
    const { text } = await own.app.admin('/metrics')
    expect(text).toMatch(/^onramp_shed_total\{route="none",reason="upstream-full"\} 2$/m)
    hold.open()
    for (const { answered } of held) expect((await answered).content.toString()).toBe('held')
    expect((await askOnce(own.app.url, requestOf('GET', '/third'))).content.toString()).toBe(ownAnswer('GET', '/third'))
  })
})

/** Passes bytes on to a port that is set later, and counts incoming connections. */
class Relay {
  port = 0
  rounds = 0
  readonly #sockets: Socket[] = []
  readonly #server = createServer((from) => this.#pass(from))

  async start(): Promise<string> {
    return `http://127.0.0.1:${await listening(this.#server)}`
  }

  stop(): void {
    for (const socket of this.#sockets) socket.destroy()
    this.#server.close()
  }

  #pass(from: Socket): void {
    this.rounds += 1
    const to = connect(this.port, '127.0.0.1')
    this.#sockets.push(from, to)
    from.on('error', () => {}).on('close', () => to.destroy())
    to.on('error', () => {}).on('close', () => from.destroy())
    from.pipe(to)
    to.pipe(from)
  }
}

describe('an upstream that leads back to this proxy', () => {
  test.each([
    { name: 'a GET', request: requestOf('GET', '/loop') },
    { name: 'a POST', request: requestOf('POST', '/loop', [], 'content') },
    { name: 'a GET with Via removed', request: requestOf('GET', '/loop', ['Via: 1.1 a', 'Connection: via']) },
    { name: 'a WebSocket', request: handshake('/loop') },
  ])('$name ends in an error, after a few rounds', async ({ request }) => {
    const relay = new Relay()
    const own = await startApp(inject('databaseUrl'), { UPSTREAM_URL: await relay.start() })
    onTestFinished(() => stopApp(own))
    onTestFinished(() => relay.stop())
    relay.port = Number(new URL(own.url).port)
    const { status, isWhole } = await askOnce(own.url, request)
    expect([status, isWhole]).toEqual([502, true])
    expect(relay.rounds).toBeGreaterThan(0)
    expect(relay.rounds).toBeLessThan(20)
  })
})
