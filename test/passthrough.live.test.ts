import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { METHODS } from 'node:http'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, inject, test } from 'vitest'
import type { Config } from '../proxy/config.ts'
import {
  type Answer,
  type Asked,
  answerOf,
  askOnce,
  Client,
  closing,
  Hostile,
  notAProblem,
  ownAnswer,
  requestOf,
  resetting,
  type Script,
  valuesOf,
  within,
} from './hostile.ts'
import { type Running, startApp } from './live.ts'
import { gate } from './support.ts'

const cleanUp: (() => Promise<unknown> | unknown)[] = []
afterEach(async () => {
  for (const end of cleanUp.splice(0).reverse()) await end()
})

/** The web tier of every test that does not need one of its own, and onramp ahead of it. */
let web: Hostile
let app: Running
beforeAll(async () => {
  web = await Hostile.start()
  app = await startApp(inject('databaseUrl'), { UPSTREAM_URL: web.url })
})
afterAll(async () => {
  await app?.stop()
  await web?.stop()
})

/** A web tier of its own, and onramp with `change` ahead of it, until the test ends. */
async function pair(change: (config: Config) => Config = (config) => config, path?: string) {
  const ownWeb = await Hostile.start(path)
  cleanUp.push(() => ownWeb.stop())
  const ownApp = await startApp(inject('databaseUrl'), { UPSTREAM_URL: ownWeb.url }, change)
  cleanUp.push(() => ownApp.stop())
  return { web: ownWeb, app: ownApp }
}

function changed(upstream: Partial<Config['upstream']>, limits: Partial<Config['limits']> = {}) {
  return (config: Config): Config => ({
    ...config,
    upstream: { ...config.upstream, ...upstream },
    limits: { ...config.limits, ...limits },
  })
}

let targets = 0
/** A target that nobody has asked for yet. */
function fresh(): string {
  targets += 1
  return `/page/${targets}`
}

interface Odd {
  /** What the web tier answers. */
  says: Script
  /** The content, if this can be understood: an answer with exactly this is as good as an error. */
  means?: string
  status?: number
  /** Nothing but what it means will do. */
  isFine?: true
  methods?: string[]
}

const contentful = (method: string) => (['POST', 'PUT', 'PATCH', 'DELETE'].includes(method) ? 'content' : undefined)

/** Asks for something of its own; everything that is not right about the answer. */
async function canary(client: Client): Promise<string[]> {
  const target = fresh()
  const { status, content, isWhole } = await client.ask(requestOf('GET', target))
  if (status === 200 && isWhole && content.toString() === ownAnswer('GET', target)) return []
  return [`${target} is answered ${status} ${JSON.stringify(content.toString())}${isWhole ? '' : ', cut'}`]
}

/** Everything that is not right about an answer to what the web tier has said. */
function misread(answer: Answer, { means, status = 200, isFine }: Odd): string[] {
  const framings = [...valuesOf(answer.fields, 'content-length'), ...valuesOf(answer.fields, 'transfer-encoding')]
  if (framings.length > 1) return [`it is framed twice: ${framings.join(' and ')}`]
  const isExact = answer.isWhole && answer.status === status && answer.content.toString('latin1') === means
  if (isExact) return []
  const isCut = !answer.isWhole && answer.status === status
  if (!isFine && (isCut || notAProblem(answer, 502, 504).length === 0)) return []
  return [`it is taken for ${answer.status} ${JSON.stringify(answer.content.toString())}${answer.isWhole ? '' : ', cut'}`]
}

/**
 * Has `ahead`, a proxy, carry something odd from `behind`, between requests of others on connections kept open on both sides.
 * Everything that goes wrong with it or with them: a wrong answer, one that looks whole and is not, one connection used again
 * after something odd, a request asked twice that may not be.
 */
async function troubles(ahead: string, behind: Hostile, odd: Odd, method: string): Promise<string[]> {
  const target = fresh()
  const found: string[] = []
  const clients = await Promise.all([Client.to(ahead), Client.to(ahead), Client.to(ahead)])
  const [attacked] = clients as [Client, ...Client[]]
  for (const client of clients) found.push(...(await canary(client)))
  behind.script(target, odd.says, odd.says, odd.says)
  const answer = await attacked.ask(requestOf(method, target, [], contentful(method)))
  found.push(...misread(answer, odd).map((what) => `${method}: ${what}`))
  for (let round = 0; round < 2; round += 1) {
    const after = await Promise.all(
      clients.map(async (client) => {
        const wrong = await canary(client)
        const hasEnded = client === attacked && !client.isOpen && wrong.every((what) => / 0 "", cut$/.test(what))
        if (!hasEnded) return wrong
        const again = await Client.to(ahead)
        return canary(again).finally(() => again.close())
      }),
    )
    found.push(...after.flat())
  }
  for (const client of clients) {
    if (client.unread.length > 0) found.push(`nobody asked for ${JSON.stringify(client.unread.toString())}`)
    client.close()
  }
  const times = behind.to(target)
  if (times.length > (method === 'GET' || method === 'HEAD' ? 2 : 1)) found.push(`it is asked ${times.length} times`)
  if (!odd.isFine && isUsedAgain(behind, times)) found.push('the connection is used again')
  return found
}

/** Whether a connection that one of `asked` came on has been used for something else since. */
function isUsedAgain(behind: Hostile, asked: readonly Asked[]): boolean {
  return asked.some(({ connection, target }) => {
    const all = behind.asked.filter((one) => one.connection === connection)
    return all.at(-1)?.target !== target
  })
}

const ok = 'HTTP/1.1 200 OK\r\n'
const chunked = `${ok}Transfer-Encoding: chunked\r\n\r\n`
const poison = answerOf('poison', `${ok}Set-Cookie: poison=1\r\n`)

const ambiguous: Record<string, Odd> = {
  'both lengths': {
    says: `${ok}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n`,
    means: 'hello',
  },
  'both lengths, the other way round': {
    says: `${ok}Transfer-Encoding: chunked\r\nContent-Length: 15\r\n\r\n5\r\nhello\r\n0\r\n\r\n`,
    means: 'hello',
  },
  'the same length twice': { says: `${ok}Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello`, means: 'hello' },
  'the same length twice in one field': { says: `${ok}Content-Length: 5, 5\r\n\r\nhello`, means: 'hello' },
  'two lengths': { says: `${ok}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!` },
  'two lengths in one field': { says: `${ok}Content-Length: 5, 6\r\n\r\nhello!` },
  ...Object.fromEntries(
    ['+5', '-5', '0x5', '5 5', 'five', '', '5;', '"5"', '5.0', '99999999999999999999'].map((length) => [
      `the length ${JSON.stringify(length)}`,
      { says: `${ok}Content-Length: ${length}\r\n\r\nhello` },
    ]),
  ),
  ...Object.fromEntries(
    [
      'gzip',
      'identity',
      'chunked, chunked',
      'gzip, chunked',
      'chunked, gzip',
      'chunked, identity',
      'xchunked',
      'chunked;q=1',
      '"chunked"',
      '\x0bchunked',
      'chunked\r\nTransfer-Encoding: chunked',
      'chunked\r\nTransfer-Encoding: identity',
      'identity\r\nContent-Length: 5',
    ].map((coding) => [
      `the transfer coding ${JSON.stringify(coding)}`,
      { says: `${ok}Transfer-Encoding: ${coding}\r\n\r\n5\r\nhello\r\n0\r\n\r\n` },
    ]),
  ),
  'chunks in HTTP/1.0': {
    says: 'HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n5\r\nhello\r\n0\r\n\r\n',
    means: 'hello',
  },
  ...Object.fromEntries(
    ['5x', '0x5', '-5', '+5', ' 5', '5 5', '', '\x005', 'ffffffffffffffffff', '10000000000000005'].map((size) => [
      `a chunk of size ${JSON.stringify(size)}`,
      { says: `${chunked}${size}\r\nhello\r\n0\r\n\r\n` },
    ]),
  ),
  'a chunk longer than its size': { says: `${chunked}3\r\nhello\r\n0\r\n\r\n` },
  'a chunk without its end': { says: `${chunked}5\r\nhello0\r\n\r\n` },
  'chunks whose lines end in LF': { says: `${chunked}5\nhello\n0\n\n`, means: 'hello' },
}

const truncated: Record<string, Odd> = {
  'content shorter than its length': { says: closing(`${ok}Content-Length: 10\r\n\r\nhello`) },
  'no content at all for its length': { says: closing(`${ok}Content-Length: 10\r\n\r\n`) },
  'chunks without the last one': { says: closing(`${chunked}5\r\nhello\r\n`) },
  'half a chunk': { says: closing(`${chunked}a\r\nhello`) },
  'a last chunk without its end': { says: closing(`${chunked}5\r\nhello\r\n0\r\n`) },
  'an end in the trailers': { says: closing(`${chunked}5\r\nhello\r\n0\r\nX-Sum: 1`) },
  'an end in the head': { says: closing(`${ok}Content-Length: 5\r\nX-`) },
  'an end after the status line': { says: closing(ok) },
  'an end in the status line': { says: closing('HTTP/1.1 2') },
  'an end before a byte': { says: closing('') },
  'a reset before a byte': { says: resetting('') },
  'a reset in the head': { says: resetting(`${ok}Content-Le`) },
  'a reset in content with a length': { says: resetting(`${ok}Content-Length: 10\r\n\r\nhello`) },
  'a reset in chunks': { says: resetting(`${chunked}5\r\nhello\r\n`) },
  'a reset in content without a length': { says: resetting(`${ok}\r\nhello`) },
}

const malformed: Record<string, Odd> = {
  'lines that end in LF': { says: 'HTTP/1.1 200 OK\nContent-Length: 5\n\nhello', means: 'hello' },
  'one line that ends in LF': { says: `${ok}X-A: 1\nContent-Length: 5\r\n\r\nhello`, means: 'hello' },
  'a bare CR in a value': { says: `${ok}X-A: 1\rContent-Length: 3\r\nContent-Length: 5\r\n\r\nhello` },
  'a NUL in a value': { says: `${ok}X-A: a\0b\r\nContent-Length: 5\r\n\r\nhello` },
  'a NUL in a name': { says: `${ok}X\0A: b\r\nContent-Length: 5\r\n\r\nhello` },
  'a folded line': { says: `${ok}X-A: a\r\n b\r\nContent-Length: 5\r\n\r\nhello`, means: 'hello' },
  'a folded length': { says: `${ok}Content-Length:\r\n 5\r\n\r\nhello`, means: 'hello' },
  'a space before the colon': { says: `${ok}Content-Length : 5\r\n\r\nhello` },
  'a tab before the colon': { says: `${ok}Transfer-Encoding\t: chunked\r\nContent-Length: 5\r\n\r\nhello` },
  'a space before the first name': { says: `${ok} X-A: 1\r\nContent-Length: 5\r\n\r\nhello` },
  'a field without a name': { says: `${ok}: 1\r\nContent-Length: 5\r\n\r\nhello` },
  'a line without a colon': { says: `${ok}hello\r\nContent-Length: 5\r\n\r\nhello` },
  'the status 99': { says: answerOf('hello', 'HTTP/1.1 99 Odd\r\n') },
  'the status 1000': { says: answerOf('hello', 'HTTP/1.1 1000 Odd\r\n') },
  'the status 000': { says: answerOf('hello', 'HTTP/1.1 000 Odd\r\n') },
  'the status 2OO': { says: answerOf('hello', 'HTTP/1.1 2OO OK\r\n') },
  'the status -200': { says: answerOf('hello', 'HTTP/1.1 -200 OK\r\n') },
  'no status': { says: answerOf('hello', 'HTTP/1.1 \r\n') },
  'HTTP/2.0': { says: answerOf('hello', 'HTTP/2.0 200 OK\r\n'), means: 'hello' },
  'HTTP/1.2': { says: answerOf('hello', 'HTTP/1.2 200 OK\r\n'), means: 'hello' },
  'HTTP/11': { says: answerOf('hello', 'HTTP/11 200 OK\r\n') },
  'another protocol': { says: 'SSH-2.0-OpenSSH_9.6\r\n' },
  'no head at all': { says: closing('hello') },
  'a request': { says: 'GET / HTTP/1.1\r\nHost: web.example\r\n\r\n' },
  'a preface of HTTP/2': { says: 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n' },
  'a change of protocol that nobody asked for': {
    says: 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello',
  },
  'a change of protocol without a name': { says: `HTTP/1.1 101 Switching Protocols\r\n\r\n${answerOf('hello')}` },
  'a thousand informational responses': {
    says: `${'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n'.repeat(1000)}${answerOf('hello')}`,
    means: 'hello',
  },
  'an informational response without end': {
    says: `HTTP/1.1 103 Early Hints\r\n${'Link: </aaaaaaaaaaaaaaaaaaaaaaaaaaaaa>\r\n'.repeat(1000)}`,
  },
  'a head over the limit': { says: answerOf('hello', `${ok}X-A: ${'a'.repeat(20_000)}\r\n`) },
  'a head of many fields over the limit': { says: answerOf('hello', ok + 'X-A: aaaaaaa\r\n'.repeat(2500)) },
  'trailers over the limit': { says: `${chunked}5\r\nhello\r\n0\r\nX-A: ${'a'.repeat(20_000)}\r\n\r\n`, means: 'hello' },
}

const surplus: Record<string, Odd> = {
  'a second answer behind it': { says: answerOf('hello') + poison, means: 'hello' },
  'a second answer behind chunks': { says: `${chunked}5\r\nhello\r\n0\r\n\r\n${poison}`, means: 'hello' },
  'a second answer behind none': { says: answerOf('') + poison, means: '' },
  'content longer than its length': { says: `${ok}Content-Length: 5\r\n\r\nhello, you`, means: 'hello' },
  'one byte too many': { says: `${answerOf('hello')}\n`, means: 'hello' },
  'content behind a HEAD': { says: answerOf('hello'), means: '', methods: ['HEAD'] },
  'an answer behind a HEAD': { says: `${ok}Content-Length: 5\r\n\r\n${poison}`, means: '', methods: ['HEAD'] },
  'chunks behind a HEAD': { says: `${chunked}5\r\nhello\r\n0\r\n\r\n`, means: '', methods: ['HEAD'] },
  'content behind a 204': { says: 'HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello', means: '', status: 204 },
  'an answer behind a 204': { says: `HTTP/1.1 204 No Content\r\n\r\n${poison}`, means: '', status: 204 },
  'chunks behind a 204': {
    says: 'HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n',
    means: '',
    status: 204,
  },
  'content behind a 304': { says: 'HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nhello', means: '', status: 304 },
  'an answer behind a 304': { says: `HTTP/1.1 304 Not Modified\r\nETag: "a"\r\n\r\n${poison}`, means: '', status: 304 },
  'an informational response behind it': {
    says: `${answerOf('hello')}HTTP/1.1 103 Early Hints\r\nLink: </poison>\r\n\r\n`,
    means: 'hello',
  },
  'a timeout behind it': {
    says: `${answerOf('hello')}HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n`,
    means: 'hello',
  },
}

const plain: Record<string, Odd> = {
  'content with a length': { says: answerOf('hello'), means: 'hello', isFine: true },
  'no content': { says: answerOf(''), means: '', isFine: true },
  chunks: { says: `${chunked}3\r\nhel\r\n2;x="y"\r\nlo\r\n0\r\n\r\n`, means: 'hello', isFine: true },
  'content up to the end of the connection': { says: closing(`${ok}\r\nhello`), means: 'hello', isFine: true },
  'content of HTTP/1.0': { says: closing('HTTP/1.0 200 OK\r\n\r\nhello'), means: 'hello', isFine: true },
  'bytes of all kinds': { says: answerOf('\0\r\n\r\nHTTP/1.1 200\xff'), means: '\0\r\n\r\nHTTP/1.1 200\xff', isFine: true },
  'the status 600': { says: answerOf('hello', 'HTTP/1.1 600 Odd\r\n'), means: 'hello', status: 600, isFine: true },
  'the status 999': { says: answerOf('hello', 'HTTP/1.1 999 Odd\r\n'), means: 'hello', status: 999, isFine: true },
  'an empty reason': { says: answerOf('hello', 'HTTP/1.1 200 \r\n'), means: 'hello', isFine: true },
  'no reason': { says: answerOf('hello', 'HTTP/1.1 200\r\n'), means: 'hello', isFine: true },
  'a reason of 8-bit bytes': { says: answerOf('hello', 'HTTP/1.1 200 d\xe9j\xe0\r\n'), means: 'hello', isFine: true },
  'an informational response nobody waits for': {
    says: `HTTP/1.1 102 Processing\r\n\r\n${answerOf('hello')}`,
    means: 'hello',
    isFine: true,
  },
  'a 100 nobody waits for': { says: `HTTP/1.1 100 Continue\r\n\r\n${answerOf('hello')}`, means: 'hello', isFine: true },
}

async function allTroubles(ahead: string, behind: Hostile, odd: Odd): Promise<string[]> {
  const found: string[] = []
  for (const method of odd.methods ?? ['GET', 'POST']) found.push(...(await troubles(ahead, behind, odd, method)))
  return found
}

describe('what the web tier says is given on exactly, or as an error, or visibly cut, and harms nobody else', () => {
  const groups = { ambiguous, truncated, malformed, surplus, plain }
  for (const [group, cases] of Object.entries(groups)) {
    test.each(Object.entries(cases))(`${group}: %s`, async (_what, odd) => {
      expect(await allTroubles(app.url, web, odd)).toEqual([])
    })
  }

  test('a second answer that comes later is nobody’s', async () => {
    const own = await pair()
    const client = await Client.to(own.app.url)
    for (let i = 0; i < 20; i += 1) {
      expect(await canary(client)).toEqual([])
      const socket = own.web.connections.findLast(({ destroyed }) => !destroyed) as Socket
      const closed = once(socket, 'close')
      socket.write(poison)
      // Asked right behind it: whichever of the two is read first, the poison was there first.
      expect(await canary(client)).toEqual([])
      await within(closed, 'the end of the connection')
    }
    client.close()
  })

  test('a connection that says something on its own is closed at once', async () => {
    const own = await pair()
    for (const says of [poison, 'x', '\r\n', 'HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n']) {
      const client = await Client.to(own.app.url)
      expect(await canary(client)).toEqual([])
      const socket = own.web.connections.findLast(({ destroyed }) => !destroyed) as Socket
      const closed = once(socket, 'close')
      socket.write(says)
      await within(closed, `the end of a connection that said ${JSON.stringify(says)}`)
      client.close()
    }
  })

  test('an answer cut short is visibly so in HTTP/1.0 too, where only the end of the connection says how long it is', async () => {
    for (const method of ['GET', 'POST']) {
      for (const says of [`${chunked}5\r\nhello\r\n`, `${chunked}5\r\nhello\r\nZ`]) {
        const target = fresh()
        web.script(target, closing(says))
        const content = method === 'POST' ? 'Content-Length: 1\r\n\r\nx' : '\r\n'
        const { isWhole, status } = await askOnce(app.url, `${method} ${target} HTTP/1.0\r\nHost: a\r\n${content}`)
        expect([method, says, isWhole && status === 200]).toEqual([method, says, false])
      }
    }
  })

  test('the same, whole, is whole in HTTP/1.0', async () => {
    const target = fresh()
    web.script(target, `${chunked}5\r\nhello\r\n0\r\n\r\n`)
    const answer = await askOnce(app.url, `GET ${target} HTTP/1.0\r\nHost: a\r\n\r\n`)
    expect([answer.status, answer.content.toString(), answer.isWhole]).toEqual([200, 'hello', true])
    expect(valuesOf(answer.fields, 'transfer-encoding')).toEqual([])
  })
})

describe('twins', () => {
  test('a connection that nothing odd was on is used again, and that is seen', async () => {
    const target = fresh()
    const client = await Client.to(app.url)
    await client.ask(requestOf('GET', target))
    expect(await canary(client)).toEqual([])
    expect(isUsedAgain(web, web.to(target))).toBe(true)
    client.close()
  })

  test.each([
    ['a second answer behind it', surplus],
    ['an answer behind a HEAD', surplus],
    ['an answer behind a 204', surplus],
    ['content shorter than its length', truncated],
    ['chunks without the last one', truncated],
    ['two lengths', ambiguous],
    ['the transfer coding "gzip, chunked"', ambiguous],
    ['a change of protocol that nobody asked for', malformed],
  ] as const)('a proxy that believes what it reads does not pass: %s', async (what, cases) => {
    const behind = await Hostile.start()
    cleanUp.push(() => behind.stop())
    const naive = await believer(Number(new URL(behind.url).port))
    cleanUp.push(() => naive.stop())
    // With what is plain, it passes.
    expect(await troubles(naive.url, behind, plain['content with a length'] as Odd, 'GET')).toEqual([])
    const [method = 'GET'] = (cases as Record<string, Odd>)[what]?.methods ?? []
    expect(await troubles(naive.url, behind, cases[what] as Odd, method)).not.toEqual([])
  })
})

/**
 * A proxy as one is written in an hour: one connection to the web tier for everybody, a response is its head and as many bytes
 * as its last Content-Length or its chunks say, what comes behind belongs to the next, and when it ends early so be it.
 */
async function believer(port: number): Promise<{ url: string; stop(): Promise<unknown> }> {
  let held = ''
  let server: Socket | undefined
  let wake = gate()
  const connected = () => {
    if (server && !server.destroyed) return server
    held = ''
    server = connect(port, '127.0.0.1')
    server.on('data', (bytes) => {
      held += bytes.toString('latin1')
      wake.open()
      wake = gate()
    })
    server.on('error', () => {})
    server.on('close', () => wake.open())
    return server
  }
  const until = async (mark: string | number) => {
    for (;;) {
      const end = typeof mark === 'number' ? mark : held.indexOf(mark) + mark.length
      const isThere = typeof mark === 'number' ? held.length >= mark : held.includes(mark)
      if (isThere || server?.destroyed) {
        const part = isThere ? held.slice(0, end) : held
        held = held.slice(part.length)
        return part
      }
      await wake.opened
    }
  }
  const carry = async (request: string): Promise<string> => {
    connected().write(request, 'latin1')
    const head = await until('\r\n\r\n')
    const length = /content-length: *(\d+)\r\n(?!.*content-length)/is.exec(head)?.[1]
    const content = length !== undefined ? await until(Number(length)) : /chunked/i.test(head) ? await chunks() : ''
    const fields = head.replace(/\r\n(content-length|transfer-encoding):[^\r]*/gi, '')
    return `${fields.slice(0, -2)}Content-Length: ${content.length}\r\n\r\n${content}`
  }
  const chunks = async () => {
    let content = ''
    for (;;) {
      const size = Number.parseInt(await until('\r\n'), 16) || 0
      const part = await until(size + 2)
      if (size === 0) return content
      content += part.slice(0, size)
    }
  }
  let turn: Promise<unknown> = Promise.resolve()
  const clients: Socket[] = []
  const listener = createServer((client) => {
    clients.push(client)
    client.on('error', () => {})
    client.on('data', (bytes) => {
      const answered = turn.then(() => carry(bytes.toString('latin1')))
      turn = answered.then((answer) => client.write(answer, 'latin1'))
    })
  })
  const url = await listening(listener)
  return {
    url,
    stop() {
      for (const socket of [...clients, server]) socket?.destroy()
      listener.close()
      return once(listener, 'close')
    },
  }
}

async function listening(server: Server): Promise<string> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}
