import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { METHODS } from 'node:http'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, inject, test } from 'vitest'
import type { Config } from '../proxy/config/schema.ts'
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
  Client.closeAll()
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
  await stopped(app)
  await web?.stop()
})

/** Stops `running`; connections that it has forgotten would keep it from that. */
function stopped(running: Running): Promise<void> {
  return within(running.stop(), 'the end of onramp')
}

/** A web tier of its own, and onramp with `change` ahead of it, until the test ends. */
async function pair(change: (config: Config) => Config = (config) => config, path?: string) {
  const ownWeb = await Hostile.start(path)
  cleanUp.push(() => ownWeb.stop())
  const ownApp = await startApp(inject('databaseUrl'), { UPSTREAM_URL: ownWeb.url }, change)
  cleanUp.push(() => stopped(ownApp))
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
  const isCut = !answer.isWhole && (answer.status === status || answer.status === 0)
  if (!isFine && (isCut || notAProblem(answer, 502, 504).length === 0)) return []
  return [
    `it is taken for ${answer.status} ${JSON.stringify(answer.content.toString())}${answer.isWhole ? '' : ', cut'}`,
  ]
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
  // RFC 9112, 6.1 has such a connection closed. The client does not tell the versions apart; where this answer ends is not in doubt.
  'chunks in HTTP/1.0': {
    says: 'HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n5\r\nhello\r\n0\r\n\r\n',
    means: 'hello',
    isFine: true,
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
  'a 100 nobody waits for': { says: `HTTP/1.1 100 Continue\r\n\r\n${answerOf('hello')}`, means: 'hello' },
  'a thousand informational responses': {
    says: `${'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n'.repeat(1000)}${answerOf('hello')}`,
    means: 'hello',
  },
  'an informational response without end': {
    says: `HTTP/1.1 103 Early Hints\r\n${'Link: </aaaaaaaaaaaaaaaaaaaaaaaaaaaaa>\r\n'.repeat(1000)}`,
  },
  'a head over the limit': { says: answerOf('hello', `${ok}X-A: ${'a'.repeat(20_000)}\r\n`) },
  'a head of many fields over the limit': { says: answerOf('hello', ok + 'X-A: aaaaaaa\r\n'.repeat(2500)) },
  'trailers over the limit': {
    says: `${chunked}5\r\nhello\r\n0\r\nX-A: ${'a'.repeat(20_000)}\r\n\r\n`,
    means: 'hello',
  },
}

const surplus: Record<string, Odd> = {
  'a second answer behind it': { says: answerOf('hello') + poison, means: 'hello' },
  'a second answer behind chunks': { says: `${chunked}5\r\nhello\r\n0\r\n\r\n${poison}`, means: 'hello' },
  'a second answer behind none': { says: answerOf('') + poison, means: '' },
  'content longer than its length': { says: `${ok}Content-Length: 5\r\n\r\nhello, you`, means: 'hello' },
  'one byte too many': { says: `${answerOf('hello')}x`, means: 'hello' },
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
  'content behind a 304': {
    says: 'HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nhello',
    means: '',
    status: 304,
  },
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
  'bytes of all kinds': {
    says: answerOf('\0\r\n\r\nHTTP/1.1 200\xff'),
    means: '\0\r\n\r\nHTTP/1.1 200\xff',
    isFine: true,
  },
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
    for (const says of [poison, 'x', 'HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n']) {
      const client = await Client.to(own.app.url)
      expect(await canary(client)).toEqual([])
      const socket = own.web.connections.findLast(({ destroyed }) => !destroyed) as Socket
      const closed = once(socket, 'close')
      socket.write(says)
      await within(closed, `the end of a connection that said ${JSON.stringify(says)}`)
      client.close()
    }
  })

  // A client whose connection ends without a byte takes it for one that was closed meanwhile, and asks again by itself: browsers
  // do so with a POST, too.
  test.each([
    ['a chunk of no size', `${chunked}x\r\nhello\r\n0\r\n\r\n`],
    ['an end without content', closing(`${ok}Content-Length: 10\r\n\r\n`)],
    ['content longer than its length', `${ok}Content-Length: 5\r\n\r\nhello, you`],
    ['trailers over the limit', `${chunked}5\r\nhello\r\n0\r\nX-A: ${'a'.repeat(20_000)}\r\n\r\n`],
  ])('a POST whose answer is broken ends with something of an answer: %s', async (_what, says) => {
    const target = fresh()
    web.script(target, says)
    const { status } = await askOnce(app.url, requestOf('POST', target, [], 'content'))
    expect([200, 502]).toContain(status)
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

describe('what the web tier says beside its answer', () => {
  test('1,000 Set-Cookie fields are all carried, in their order', async () => {
    const own = await pair(changed({}, { maxHeader: 64 * 1024 }))
    const cookies = Array.from({ length: 1000 }, (_, i) => `c${i}=${i}`)
    const head = `${ok}${cookies.map((cookie) => `Set-Cookie: ${cookie}\r\n`).join('')}`
    for (const method of ['GET', 'POST']) {
      const target = fresh()
      own.web.script(target, answerOf('hello', head))
      const answer = await askOnce(own.app.url, requestOf(method, target, [], contentful(method)))
      expect([answer.status, valuesOf(answer.fields, 'set-cookie')]).toEqual([200, cookies])
    }
  })

  test('fields of 8-bit bytes are carried byte for byte, repeated ones one by one', async () => {
    const value = Array.from({ length: 128 }, (_, i) => String.fromCharCode(128 + i)).join('')
    for (const method of ['GET', 'POST']) {
      const target = fresh()
      web.script(target, answerOf('hello', `${ok}X-Odd: ${value}\r\nVary: a\r\nvary: b\r\nX-Empty:\r\nX-Tab: a\tb\r\n`))
      const { fields } = await askOnce(app.url, requestOf(method, target, [], contentful(method)))
      const found = ['X-Odd', 'Vary', 'X-Empty', 'X-Tab'].map((name) => valuesOf(fields, name))
      expect(found).toEqual([[value], ['a', 'b'], [''], ['a\tb']])
    }
  })

  test('fields of its connection never reach the client, nor those that Connection names', async () => {
    const head = `${ok}Connection: set-cookie, X-Private\r\nConnection: keep-alive, content-length\r\nKeep-Alive: timeout=7777\r\nProxy-Connection: keep-alive\r\nTE: trailers\r\nUpgrade: h2c\r\nTrailer: X-Sum\r\nSet-Cookie: a=b\r\nX-Private: c\r\nX-Public: d\r\n`
    for (const method of ['GET', 'POST']) {
      const target = fresh()
      web.script(target, answerOf('hello', head))
      const answer = await askOnce(app.url, requestOf(method, target, [], contentful(method)))
      const names = ['set-cookie', 'x-private', 'proxy-connection', 'te', 'upgrade', 'trailer', 'transfer-encoding']
      expect(names.filter((name) => valuesOf(answer.fields, name).length > 0)).toEqual([])
      expect(valuesOf(answer.fields, 'keep-alive').join()).not.toContain('7777')
      const kept = ['x-public', 'content-length', 'via'].map((name) => valuesOf(answer.fields, name))
      expect(kept).toEqual([['d'], ['5'], ['1.1 onramp']])
    }
  })

  test('trailers are carried, but none that would change what has been said', async () => {
    const says = `${ok}Trailer: X-Sum\r\nTransfer-Encoding: chunked\r\nSet-Cookie: a=b\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\nX-Sum: 2\r\nSet-Cookie: poison=1\r\nCache-Control: public\r\nContent-Type: text/html\r\nVia: a\r\nConnection: X-Sum\r\n\r\n`
    for (const method of ['GET', 'POST']) {
      const target = fresh()
      web.script(target, says)
      const answer = await askOnce(app.url, requestOf(method, target, [], contentful(method)))
      expect([answer.content.toString(), answer.isWhole]).toEqual(['hello', true])
      expect(answer.trailers).toEqual([
        ['X-Sum', '1'],
        ['X-Sum', '2'],
      ])
      const found = ['set-cookie', 'content-length', 'cache-control', 'x-sum'].map((n) => valuesOf(answer.fields, n))
      expect(found).toEqual([['a=b'], [], [], []])
    }
  })

  test.each(['Content-Length: 1', 'Transfer-Encoding: gzip', 'Content-Length: 5'])(
    'a trailer that frames is carried nowhere: %s',
    async (trailer) => {
      const says = `${chunked}5\r\nhello\r\n0\r\n${trailer}\r\n\r\n`
      expect(await allTroubles(app.url, web, { says, means: 'hello' })).toEqual([])
      const target = fresh()
      web.script(target, says)
      const answer = await askOnce(app.url, requestOf('GET', target))
      expect([valuesOf(answer.fields, 'content-length'), answer.trailers]).toEqual([[], []])
    },
  )

  test('informational responses are carried, but not to a client of HTTP/1.0', async () => {
    const hints =
      'HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\nLink: </b>\r\nConnection: x\r\nX: y\r\n\r\n'
    for (const method of ['GET', 'POST']) {
      const [target, old] = [fresh(), fresh()]
      web.script(target, hints + answerOf('hello'))
      web.script(old, hints + answerOf('hello'))
      const { interim, content } = await askOnce(app.url, requestOf(method, target, [], contentful(method)))
      expect(
        interim.map(({ status, fields }) => [status, valuesOf(fields, 'link').join(), valuesOf(fields, 'x')]),
      ).toEqual([
        [102, '', []],
        [103, '</a>,</b>', []],
      ])
      expect(content.toString()).toBe('hello')
      const request = requestOf(method, old, ['Connection: close'], contentful(method))
      const answer = await askOnce(app.url, request.replace('HTTP/1.1', 'HTTP/1.0'))
      expect([answer.interim, answer.status, answer.content.toString()]).toEqual([[], 200, 'hello'])
    }
  })

  test('its own Cache-Status stays, and what is said here comes after it', async () => {
    const target = fresh()
    web.script(target, answerOf('hello', `${ok}Cache-Status: "web"; hit; key="a"\r\n`))
    const { fields } = await askOnce(app.url, requestOf('GET', target))
    const ours = 'onramp; fwd=bypass; detail=upstream'
    expect(valuesOf(fields, 'cache-status')).toEqual(['"web"; hit; key="a"', ours])
  })

  test('what is said of the protocol to change to in an answer without that change is not carried', async () => {
    const target = fresh()
    web.script(
      target,
      answerOf('hello', 'HTTP/1.1 426 Upgrade Required\r\nUpgrade: HTTP/2.0\r\nConnection: Upgrade\r\n'),
    )
    const answer = await askOnce(app.url, requestOf('GET', target))
    expect([answer.status, answer.content.toString(), valuesOf(answer.fields, 'upgrade')]).toEqual([426, 'hello', []])
  })
})

describe('an answer that comes before all of the request', () => {
  test('reaches the client while its upload is under way', async () => {
    const target = fresh()
    web.script(target, ({ socket }) => void socket.write(answerOf('too much', 'HTTP/1.1 413 Content Too Large\r\n')))
    const client = await Client.to(app.url)
    client.send(`POST ${target} HTTP/1.1\r\nHost: a\r\nContent-Length: ${10 * 1024 ** 2}\r\n\r\n`)
    client.send(Buffer.alloc(10 * 1024 ** 2, 'x'))
    const { status, content, isWhole } = await client.read('POST')
    expect([status, content.toString(), isWhole]).toEqual([413, 'too much', true])
    client.close()
    expect(await canary(await Client.to(app.url))).toEqual([])
  })
})

describe('a web tier that cannot be asked', () => {
  test.each(['GET', 'POST'])('refuses the connection: %s gets 502, soon', async (method) => {
    const own = await pair()
    await own.web.stop()
    cleanUp.shift()
    const answer = await askOnce(own.app.url, requestOf(method, '/', [], contentful(method)))
    expect(notAProblem(answer, 502)).toEqual([])
  })

  test.each(['GET', 'POST'])(
    'never answers: %s gets 504, is not asked again, and the connection is closed',
    async (method) => {
      const own = await pair(changed({ firstByteTimeout: 150 }))
      own.web.usual = () => {}
      const answer = await askOnce(own.app.url, requestOf(method, '/never', [], contentful(method)))
      expect(notAProblem(answer, 504)).toEqual([])
      const [asked, ...more] = own.web.to('/never') as [Asked, ...Asked[]]
      expect(more).toEqual([])
      if (!asked.socket.closed) await within(once(asked.socket, 'close'), 'the end of the connection')
    },
  )

  test.each(['GET', 'POST'])('stops in the middle of its answer: %s is cut', async (method) => {
    const own = await pair(changed({}, { idleTimeout: 150 }))
    for (const head of [`${ok}Content-Length: 10\r\n\r\nhello`, `${ok}\r\nhello`]) {
      const target = fresh()
      own.web.script(target, ({ socket }) => void socket.write(head))
      const answer = await askOnce(own.app.url, requestOf(method, target, [], contentful(method)))
      expect([answer.status, answer.content.toString(), answer.isWhole]).toEqual([200, 'hello', false])
    }
  })
})

/** Ends a request without an answer if it came over a connection older than `first`. */
function deadUntil(first: () => number, how: 'destroy' | 'end' | 'resetAndDestroy'): (usual: Script) => Script {
  return (usual) => (asked) => {
    if (asked.connection < first()) return void asked.socket[how]()
    return (usual as (asked: Asked) => unknown)(asked)
  }
}

describe('a connection kept open that the web tier closes just when it is needed', () => {
  test.each(['destroy', 'end', 'resetAndDestroy'] as const)('is not seen by a GET: %s', async (how) => {
    const own = await pair()
    const client = await Client.to(own.app.url)
    expect(await canary(client)).toEqual([])
    const count = own.web.connections.length
    own.web.usual = deadUntil(() => count, how)(own.web.usual)
    const { content, status } = await client.ask(requestOf('GET', '/again'))
    expect([status, content.toString()]).toEqual([200, ownAnswer('GET', '/again')])
    expect(own.web.to('/again').map(({ connection }) => connection)).toEqual([count - 1, count])
    client.close()
  })

  test('is not seen by a GET when all there are do the same: it is asked again on a new one', async () => {
    const own = await pair()
    const all = gate()
    const clients = await Promise.all(Array.from({ length: 4 }, () => Client.to(own.app.url)))
    const held = clients.map((client, i) => {
      own.web.script(`/hold/${i}`, async ({ socket }) => {
        await all.opened
        socket.write(answerOf('held'))
      })
      return { arrived: own.web.next(`/hold/${i}`), answered: client.ask(requestOf('GET', `/hold/${i}`)) }
    })
    await Promise.all(held.map(({ arrived }) => arrived))
    all.open()
    await Promise.all(held.map(({ answered }) => answered))
    const count = own.web.connections.length
    own.web.usual = deadUntil(() => count, 'destroy')(own.web.usual)
    const { content, status } = await (clients[0] as Client).ask(requestOf('GET', '/again'))
    expect([status, content.toString()]).toEqual([200, ownAnswer('GET', '/again')])
    expect(own.web.to('/again').length).toBe(2)
    for (const client of clients) client.close()
  })

  test.each(['POST', 'PUT', 'PATCH', 'DELETE'])('costs a %s its answer: it is sent once', async (method) => {
    expect(await sentAgain(app.url, web, method)).toEqual([])
  })

  test('twin: a proxy that tries again does send it twice', async () => {
    const behind = await Hostile.start()
    cleanUp.push(() => behind.stop())
    const server = createServer((client) => {
      client.on('error', () => {})
      client.once('data', async (bytes) => {
        for (let i = 0; i < 2; i += 1) await askOnce(behind.url, bytes.toString('latin1'))
        client.end('HTTP/1.1 502 Bad Gateway\r\n\r\n')
      })
    })
    const url = await listening(server)
    cleanUp.push(() => void server.close())
    expect(await sentAgain(url, behind, 'POST')).toContain('with content, destroy: 2 times')
  })

  test.each([408, 425, 429, 500, 502, 503, 504])(
    '%d is an answer, and is given on: nothing is asked again for it',
    async (status) => {
      for (const method of ['GET', 'HEAD', 'OPTIONS', 'POST', 'PUT', 'PATCH', 'DELETE']) {
        const target = fresh()
        const says = answerOf(method === 'HEAD' ? '' : 'try again', `HTTP/1.1 ${status} Busy\r\nRetry-After: 0\r\n`)
        web.script(target, says)
        const answer = await askOnce(app.url, requestOf(method, target, [], contentful(method)))
        expect([method, answer.status, answer.reason, answer.isWhole]).toEqual([method, status, 'Busy', true])
        expect(valuesOf(answer.fields, 'retry-after')).toEqual(['0'])
        expect([method, web.to(target).length]).toEqual([method, 1])
      }
    },
  )
})

/** In which ways of not being answered a request of `method` was not sent exactly once. */
async function sentAgain(ahead: string, behind: Hostile, method: string): Promise<string[]> {
  const found: string[] = []
  for (const content of ['content', undefined]) {
    for (const how of ['destroy', 'end', 'resetAndDestroy'] as const) {
      const target = fresh()
      const die: Script = (asked) => void asked.content.then(() => asked.socket[how]())
      behind.script(target, die, die, die)
      await askOnce(ahead, requestOf(method, target, [], content))
      const times = behind.to(target).length
      if (times !== 1) found.push(`with${content === undefined ? 'out' : ''} content, ${how}: ${times} times`)
    }
  }
  return found
}

describe('a client that leaves', () => {
  test.each([
    ['before an answer', 'GET', undefined],
    ['before an answer', 'POST', undefined],
    ['in the middle of one', 'GET', `${chunked}5\r\nhello\r\n`],
    ['in the middle of one', 'POST', `${ok}Content-Length: 10\r\n\r\nhello`],
  ])('%s to a %s: the web tier sees its connection closed', async (_when, method, says) => {
    const target = fresh()
    web.script(target, ({ socket }) => void (says && socket.write(says)))
    const arrived = web.next(target)
    const client = await Client.to(app.url)
    client.send(requestOf(method, target, [], contentful(method)))
    const { socket } = await arrived
    const closed = once(socket, 'close')
    if (says !== undefined) await client.until('hello')
    client.close()
    await within(closed, 'the end of the connection to the web tier')
  })

  test('in the middle of what it sends: the web tier never has it whole', async () => {
    for (const head of ['Content-Length: 100\r\n\r\nhello', 'Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n']) {
      const target = fresh()
      const arrived = web.next(target)
      const client = await Client.to(app.url)
      client.send(`POST ${target} HTTP/1.1\r\nHost: a\r\n${head}`)
      const { content } = await arrived
      client.close()
      expect((await within(content, 'the end of the content')).isWhole).toBe(false)
    }
  })
})

describe('more than upstream.maxRequests at once', () => {
  test('are a 503 that is counted, until one is done; routes answer all the while', async () => {
    const own = await pair(changed({ maxRequests: 2 }))
    const hold = gate()
    const held = await Promise.all(
      ['GET', 'POST'].map(async (method, i) => {
        own.web.script(`/hold/${i}`, async ({ socket }) => {
          await hold.opened
          socket.write(answerOf('held'))
        })
        const arrived = own.web.next(`/hold/${i}`)
        const answered = askOnce(own.app.url, requestOf(method, `/hold/${i}`, [], contentful(method)))
        await arrived
        return { answered }
      }),
    )
    for (const method of ['GET', 'POST']) {
      const refused = await askOnce(own.app.url, requestOf(method, '/third', [], contentful(method)))
      expect(notAProblem(refused, 503)).toEqual([])
      expect(valuesOf(refused.fields, 'retry-after').join()).toMatch(/^\d+$/)
    }
    expect(own.web.to('/third')).toEqual([])
    expect((await own.app.get('/api/states')).status).toBe(200)
    const { text } = await own.app.admin('/metrics')
    expect(text).toMatch(/^onramp_shed_total\{route="none",reason="upstream-full"\} 2$/m)
    hold.open()
    for (const { answered } of held) expect((await answered).content.toString()).toBe('held')
    expect((await askOnce(own.app.url, requestOf('GET', '/third'))).content.toString()).toBe(ownAnswer('GET', '/third'))
  })
})

describe('a web tier that is this proxy itself', () => {
  test.each([
    ['a GET', requestOf('GET', '/loop')],
    ['a POST', requestOf('POST', '/loop', [], 'content')],
    ['a GET that has Via taken out', requestOf('GET', '/loop', ['Via: 1.1 a', 'Connection: via'])],
    [
      'a WebSocket',
      requestOf('GET', '/loop', [
        'Connection: Upgrade',
        'Upgrade: websocket',
        'Sec-WebSocket-Key: YQ==',
        'Sec-WebSocket-Version: 13',
      ]),
    ],
  ])('%s ends in an error, after a few rounds', async (_what, request) => {
    let port = 0
    let rounds = 0
    const sockets: Socket[] = []
    const relay = createServer((from) => {
      rounds += 1
      const to = connect(port, '127.0.0.1')
      sockets.push(from, to)
      for (const [one, other] of [
        [from, to],
        [to, from],
      ] as [Socket, Socket][]) {
        one.on('error', () => {})
        one.on('close', () => other.destroy())
        one.pipe(other)
      }
    })
    const own = await startApp(inject('databaseUrl'), { UPSTREAM_URL: await listening(relay) })
    cleanUp.push(
      () => stopped(own),
      () => void relay.close(),
      () => {
        for (const socket of sockets) socket.destroy()
      },
    )
    port = Number(new URL(own.url).port)
    const { status, isWhole } = await askOnce(own.url, request)
    expect([status, isWhole]).toEqual([502, true])
    expect(rounds).toBeGreaterThan(0)
    expect(rounds).toBeLessThan(20)
  })
})

/** What the web tier has got of a request for `target` sent through `ahead`. */
async function carried(ahead: string, behind: Hostile, target: string, fields: string[]): Promise<Asked> {
  await askOnce(ahead, requestOf('GET', target, fields))
  return behind.to(target).at(-1) as Asked
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

describe('what the web tier is told of the client', () => {
  test('is what is known here, whatever the client says', async () => {
    const target = fresh()
    const { head, fields } = await carried(app.url, web, target, [...spoofs, 'Via: 1.0 before', 'Via: 1.1 then'])
    expect(head).not.toContain('666')
    expect(head).not.toContain('6.6.6')
    const names = ['X-Forwarded-For', 'X-Forwarded-Proto', 'X-Forwarded-Host', 'Forwarded', 'Via', 'Host']
    expect(names.map((name) => valuesOf(fields, name))).toEqual([
      ['127.0.0.1'],
      ['http'],
      ['web.example'],
      ['for=127.0.0.1;host="web.example";proto=http'],
      ['1.0 before, 1.1 then, 1.1 onramp'],
      ['web.example'],
    ])
  })

  test('cannot be taken out by naming it in Connection', async () => {
    const list = 'X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Host, Forwarded, Via, Host'
    const { fields } = await carried(app.url, web, fresh(), [`Connection: ${list}`])
    for (const name of list.split(', ')) expect([name, valuesOf(fields, name).length]).toEqual([name, 1])
  })

  test('twin: a proxy that gives on what it gets gives on that, too', async () => {
    const behind = await Hostile.start()
    cleanUp.push(() => behind.stop())
    const naive = await believer(Number(new URL(behind.url).port))
    cleanUp.push(() => naive.stop())
    expect((await carried(naive.url, behind, fresh(), spoofs)).head).toContain('6.6.6.6')
  })

  test('is added to what a trusted proxy says, which is kept', async () => {
    const own = await pair(changed({ trustedProxies: ['127.0.0.1'] }))
    const { fields } = await carried(own.app.url, own.web, '/trusted', [
      'X-Forwarded-For: 7.7.7.7',
      'X-Forwarded-For: 8.8.8.8, 9.9.9.9',
      'X-Forwarded-Proto: https',
      'X-Forwarded-Host: shop.example',
      'X-Forwarded-Port: 443',
      'Forwarded: for=7.7.7.7;proto=https',
      'Proxy: http://6.6.6.6',
    ])
    const names = ['X-Forwarded-For', 'X-Forwarded-Proto', 'X-Forwarded-Host', 'X-Forwarded-Port', 'Forwarded', 'Proxy']
    expect(names.map((name) => valuesOf(fields, name))).toEqual([
      ['7.7.7.7, 8.8.8.8, 9.9.9.9, 127.0.0.1'],
      ['https'],
      ['shop.example'],
      ['443'],
      ['for=7.7.7.7;proto=https, for=127.0.0.1;host="web.example";proto=http'],
      [],
    ])
  })

  // A proxy ahead knows its own spelling, and gives on what its client wrote with underscores.
  test('comes in one spelling only, from a trusted proxy too', async () => {
    const own = await pair(changed({ trustedProxies: ['127.0.0.1'] }))
    const said = [
      'X-Forwarded-For: 7.7.7.7',
      'X_Forwarded_For: 6.6.6.6',
      'X_Forwarded_Proto: 6.6.6.6',
      'X_Real_IP: 6.6.6.6',
    ]
    const { head, fields } = await carried(own.app.url, own.web, '/trusted', said)
    expect(valuesOf(fields, 'x-forwarded-for')).toEqual(['7.7.7.7, 127.0.0.1'])
    expect(head).not.toContain('6.6.6.6')
  })

  test('is not believed of a proxy that is none of those trusted', async () => {
    const own = await pair(changed({ trustedProxies: ['10.0.0.0/8', '127.0.0.2', '::1'] }))
    expect((await carried(own.app.url, own.web, '/other', spoofs)).head).not.toContain('6.6.6.6')
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
    const { fields } = await carried(app.url, web, fresh(), sent)
    const names = new Set(sent.map((field) => field.slice(0, field.indexOf(':')).toLowerCase()))
    const kept = fields.filter(([name]) => names.has(name.toLowerCase())).map(([name, value]) => `${name}: ${value}`)
    const lines = sent.map((field) => field.replace(/:$/, ': '))
    expect([kept[0]?.toLowerCase(), ...kept.slice(1)]).toEqual([lines[0]?.toLowerCase(), ...lines.slice(1)])
    expect(valuesOf(fields, 'host')).toEqual(['WEB.example:8080'])
  })

  test('loses what was meant for this connection only', async () => {
    const { fields } = await carried(app.url, web, fresh(), [
      'Connection: close, X-Private, Upgrade, HTTP2-Settings',
      'Upgrade: h2c',
      'HTTP2-Settings: AAMAAABkAAQAAP__',
      'X-Private: a',
      'Keep-Alive: timeout=5',
      'Proxy-Connection: close',
      'TE: gzip, trailers;q=0.5',
      'Trailer: a',
      'X-Public: b',
    ])
    const gone = [
      'upgrade',
      'http2-settings',
      'x-private',
      'keep-alive',
      'proxy-connection',
      'trailer',
      'transfer-encoding',
    ]
    expect(gone.filter((name) => valuesOf(fields, name).length > 0)).toEqual([])
    expect(valuesOf(fields, 'x-public')).toEqual(['b'])
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
    const { status, content } = await askOnce(app.url, requestOf('GET', target))
    expect([status, content.toString()]).toEqual([200, ownAnswer('GET', target)])
    expect(web.asked.at(-1)?.head.split('\r\n')[0]).toBe(`GET ${target} HTTP/1.1`)
  })

  test('with 8-bit bytes in its target keeps them, or is refused', async () => {
    for (const method of ['GET', 'POST']) {
      const target = '/\xe9t\xe9?\xff'
      const before = web.asked.length
      const { status } = await askOnce(app.url, requestOf(method, target, [], contentful(method)))
      if (status === 400) expect(web.asked.length).toBe(before)
      else expect([status, web.asked.at(-1)?.target]).toEqual([200, target])
    }
  })

  test('keeps its content and its trailers, but no trailer that would change its head', async () => {
    const target = fresh()
    const arrived = web.next(target)
    const content =
      '5\r\nhel\0o\r\n2;ext=1\r\n\xff!\r\n0\r\nX-Sum: 7\r\nAuthorization: a\r\nX-Forwarded-For: 6.6.6.6\r\nHost: b\r\n\r\n'
    await askOnce(app.url, `POST ${target} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${content}`)
    const { bytes, trailers, isWhole } = await (await arrived).content
    expect([bytes.toString('latin1'), isWhole, trailers]).toEqual(['hel\0o\xff!', true, [['X-Sum', '7']]])
  })

  test('may have any method of HTTP but CONNECT, with its content', async () => {
    for (const method of METHODS.filter((one) => one !== 'CONNECT' && one !== 'SOURCE')) {
      for (const content of method === 'TRACE' ? [undefined] : ['content of it', undefined]) {
        const target = fresh()
        const answer = await askOnce(app.url, requestOf(method, target, [], content))
        const asked = web.to(target)
        expect([method, asked.length, asked[0]?.method]).toEqual([method, 1, method])
        expect([method, (await asked[0]?.content)?.bytes.toString()]).toEqual([method, content ?? ''])
        const expected = method === 'HEAD' ? '' : ownAnswer(method, target)
        expect([method, answer.status, answer.content.toString()]).toEqual([method, 200, expected])
      }
    }
  })

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
  ])('%d %s comes back as it is', async (status, reason) => {
    for (const method of ['GET', 'POST']) {
      const target = fresh()
      web.script(
        target,
        answerOf('content', `HTTP/1.1 ${status} ${reason}\r\nLocation: /b\r\nWWW-Authenticate: Basic\r\n`),
      )
      const answer = await askOnce(app.url, requestOf(method, target, [], contentful(method)))
      expect([answer.status, answer.reason, answer.content.toString()]).toEqual([status, reason, 'content'])
      expect(valuesOf(answer.fields, 'location')).toEqual(['/b'])
    }
  })

  test('HEAD keeps the length, 304 the validator, 206 the range', async () => {
    const [head, unchanged, part] = [fresh(), fresh(), fresh()]
    web.script(head, `${ok}Content-Length: 12345\r\nETag: "a"\r\n\r\n`)
    const headed = await askOnce(app.url, requestOf('HEAD', head))
    expect([headed.status, valuesOf(headed.fields, 'content-length')]).toEqual([200, ['12345']])
    web.script(unchanged, 'HTTP/1.1 304 Not Modified\r\nETag: W/"a"\r\nContent-Length: 5\r\n\r\n')
    const same = await askOnce(app.url, requestOf('GET', unchanged, ['If-None-Match: W/"a"']))
    expect([same.status, valuesOf(same.fields, 'etag'), same.content.length]).toEqual([304, ['W/"a"'], 0])
    web.script(part, answerOf('ell', 'HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 1-3/5\r\n'))
    const partial = await askOnce(app.url, requestOf('GET', part, ['Range: bytes=1-3']))
    expect([partial.status, partial.content.toString()]).toEqual([206, 'ell'])
    expect(valuesOf(partial.fields, 'content-range')).toEqual(['bytes 1-3/5'])
    expect(valuesOf(web.to(part)[0]?.fields ?? [], 'range')).toEqual(['bytes=1-3'])
  })

  test('goes to a web tier on a Unix socket just so', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'onramp-web-'))
    cleanUp.push(() => rmSync(folder, { recursive: true, force: true }))
    const own = await pair(undefined, join(folder, 'web.sock'))
    for (const method of ['GET', 'POST']) {
      const answer = await askOnce(own.app.url, requestOf(method, `/${method}`, [], contentful(method)))
      expect([answer.status, answer.content.toString()]).toEqual([200, ownAnswer(method, `/${method}`)])
      expect(valuesOf(own.web.asked.at(-1)?.fields ?? [], 'host')).toEqual(['web.example'])
    }
    expect(await allTroubles(own.app.url, own.web, surplus['a second answer behind it'] as Odd)).toEqual([])
  })
})

describe('a WebSocket', () => {
  const handshake = (target: string) =>
    requestOf('GET', target, [
      'Connection: Upgrade',
      'Upgrade: websocket',
      'Sec-WebSocket-Key: YQ==',
      'Sec-WebSocket-Version: 13',
    ])
  const accepted =
    'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n'

  test('is joined from the 101 on, with what either side has sent early', async () => {
    const target = fresh()
    web.script(target, ({ socket }) => {
      socket.write(`${accepted}early`)
      socket.on('data', (bytes) => socket.write(bytes.toString('latin1').toUpperCase(), 'latin1'))
    })
    const client = await Client.to(app.url)
    const { status, fields } = await client.ask(handshake(target))
    expect([status, valuesOf(fields, 'sec-websocket-accept')]).toEqual([101, ['x']])
    expect(await client.until('early')).toBe('early')
    for (const said of ['a', 'b\r\n\r\n', 'get / http/1.1\r\n\r\n']) {
      client.send(said)
      expect(await client.until(said.toUpperCase())).toBe(said.toUpperCase())
    }
    client.close()
    const [{ socket }] = web.to(target) as [Asked]
    if (!socket.closed) await within(once(socket, 'close'), 'the end of the tunnel')
  })

  // An answer other than 101 to an upgrade must not leave a tunnel behind it through which anything can be asked.
  test.each([
    ['refuses', answerOf('no', 'HTTP/1.1 403 Forbidden\r\n'), 403],
    ['ignores', answerOf('plain'), 200],
    ['answers with another protocol', accepted.replace('Upgrade: websocket', 'Upgrade: h2c'), 502],
    ['answers without a protocol', accepted.replace('Upgrade: websocket\r\n', ''), 502],
  ])(
    'that the web tier %s is none: nothing can be sent through it, and it counts no longer',
    async (_what, says, expected) => {
      const own = await pair(changed({ maxRequests: 1 }))
      own.web.script('/socket', says)
      const client = await Client.to(own.app.url)
      client.send(handshake('/socket'))
      const { status } = await client.read()
      expect(status).toBe(expected)
      client.send(requestOf('GET', '/smuggled'))
      await within(client.closed, 'the end of the connection')
      expect([own.web.to('/smuggled').length, client.unread.length]).toEqual([0, 0])
      expect(await freed(own.app)).toBe(true)
    },
  )

  test('whose client leaves, or whose web tier does, counts no longer', async () => {
    const own = await pair(changed({ maxRequests: 1 }))
    for (const side of ['client', 'web']) {
      own.web.script(`/${side}`, accepted)
      const client = await Client.to(own.app.url)
      expect((await client.ask(handshake(`/${side}`))).status).not.toBe(503)
      if (side === 'client') client.close()
      else own.web.asked.at(-1)?.socket.destroy()
      await within(client.closed, 'the end of the connection')
      expect([side, await freed(own.app)]).toEqual([side, true])
    }
  })
})

/** Whether a proxy that may have one request under way takes another, soon. */
async function freed(running: Running): Promise<boolean> {
  for (const began = performance.now(); performance.now() - began < 2000; )
    if ((await askOnce(running.url, requestOf('GET', '/freed'))).status === 200) return true
  return false
}

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
    server.on('close', () => {
      wake.open()
      wake = gate()
    })
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
