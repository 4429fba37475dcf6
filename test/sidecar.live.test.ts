import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { Agent, type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http'
import { request as httpsRequest, Agent as SecureAgent } from 'node:https'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import type { TLSSocket } from 'node:tls'
import { type Browser, chromium, type Page as Tab } from 'playwright-core'
import { afterAll, afterEach, beforeAll, describe, expect, inject, test } from 'vitest'
import { findProgram } from '../bench/servers/programs.ts'
import { recorded } from '../bench/servers/run-folder.ts'
import { until } from '../bench/until.ts'
import type { Config } from '../proxy/config/schema.ts'
import { type Running, startApp } from './live.ts'
import { type Program, programs, type Serving } from './program.ts'
import { gate } from './support.ts'
import { content, digestOf, drained, startUpstream, type UpstreamServer } from './upstream-server.ts'

/*
 * onramp in front of an upstream, as in production: browsers, large bodies, malicious clients, sockets, certificates,
 * shutdown.
 */

const { folder, configuration, result, ready } = programs('sidecar')
const MiB = 1024 ** 2
const large = 100_000_000
let upstream: UpstreamServer

beforeAll(async () => {
  upstream = await startUpstream()
})
afterAll(() => upstream.stop())

/** A configuration of two routes in front of the upstream, with `settings` and additional `lines`. */
function ahead(name: string, lines: string, settings = `url: "${upstream.url}"`): string {
  return configuration(
    name,
    `
admin: { port: 0 }
postgres: { url: "${inject('databaseUrl')}" }
upstream: { ${settings} }
routes:
  numbers: { path: /api/numbers, sql: "select n from generate_series(1, 20) as n" }
  word: { path: /api/word, methods: [GET, POST], parameters: { q: { type: string } }, sql: "select :q::text as q", returns: row }
${lines}`,
  )
}

interface Answered {
  status: number
  headers: IncomingMessage['headers']
  text: string
}

type Options = Parameters<typeof httpsRequest>[1] & { content?: Iterable<Uint8Array> }

/** Starts a request, over a connection of its own unless an agent is given. */
function begin(url: string, { content: _content, ...options }: Options = {}): ClientRequest {
  const isSecure = url.startsWith('https:')
  return (isSecure ? httpsRequest : httpRequest)(url, { agent: false, ...options })
}

async function answerTo(request: ClientRequest): Promise<IncomingMessage> {
  const [answer] = (await once(request, 'response')) as [IncomingMessage]
  return answer
}

async function ask(url: string, options: Options = {}): Promise<Answered> {
  const request = begin(url, options)
  request.end()
  const answer = await answerTo(request)
  let text = ''
  for await (const part of answer.setEncoding('utf8')) text += part
  return { status: answer.statusCode as number, headers: answer.headers, text }
}

describe('a browser', () => {
  let app: Running
  let browser: Browser

  beforeAll(async () => {
    app = await startApp(inject('databaseUrl'), { UPSTREAM_URL: upstream.url })
    browser = await chromium.launch({
      executablePath: findProgram('chromium', 'chromium'),
      args: [
        '--headless=new',
        '--no-sandbox',
        '--disable-gpu',
        '--disable-quic',
        '--no-first-run',
        '--disable-background-networking',
        '--disable-component-update',
        '--disable-sync',
      ],
    })
  })
  afterAll(async () => {
    await browser.close()
    await app.stop()
  })

  /** Opens a page in a fresh browser context, and records all complaints of the browser. */
  async function open(path = '/'): Promise<{ tab: Tab; complaints: string[] }> {
    const tab = await (await browser.newContext()).newPage()
    tab.setDefaultTimeout(60_000)
    const complaints: string[] = []
    tab.on('console', (message) => complaints.push(`${message.type()}: ${message.text()}`))
    tab.on('pageerror', (error) => complaints.push(String(error)))
    tab.on('requestfailed', (request) => complaints.push(`${request.url()} ${request.failure()?.errorText}`))
    tab.on('response', (answer) => answer.status() >= 400 && complaints.push(`${answer.url()} ${answer.status()}`))
    await tab.goto(app.url + path, { waitUntil: 'load' })
    return { tab, complaints }
  }

  test('gets a complete page: style, image and script work, without complaints', async () => {
    const { tab, complaints } = await open()
    expect(await tab.evaluate('document.documentElement.dataset.state')).toBe('ready')
    expect(await tab.evaluate('getComputedStyle(document.querySelector("h1")).color')).toBe('rgb(1, 2, 3)')
    expect(await tab.evaluate('document.querySelector("img").naturalWidth')).toBe(1)
    expect(complaints).toEqual([])
  })

  test('complains about an incomplete page', async () => {
    const { complaints } = await open('/careless')
    expect(complaints).toContain(`${app.url}/no-such.js 404`)
  })

  test('logs in with a form: a 303 redirects it, and the next page knows it by an HttpOnly cookie', async () => {
    const { tab, complaints } = await open()
    await tab.fill('[name=name]', 'Zoë & Co')
    await tab.click('#login')
    await tab.waitForURL('**/account')
    expect(await tab.textContent('h1')).toBe('Hello Zoë & Co')
    expect(await tab.evaluate('document.cookie')).toBe('theme=dark')
    const [posted, followed] = upstream.seen.filter(({ url }) => url === '/login' || url === '/account')
    expect([posted?.method, followed?.method]).toEqual(['POST', 'GET'])
    expect(complaints).toEqual([])
  })

  test('uploads a file in a multipart form: every byte and the fields beside it arrive', async () => {
    const buffer = Buffer.concat([...content(3 * MiB + 17)])
    const { digest } = await digestOf([buffer])
    const { tab, complaints } = await open()
    await tab.fill('[name=title]', 'A file')
    await tab.setInputFiles('[name=file]', { name: 'größe.bin', mimeType: 'application/octet-stream', buffer })
    await tab.click('#attach')
    await tab.waitForURL('**/attach')
    expect(await tab.textContent('h1')).toBe('A file')
    expect(await tab.textContent('p')).toBe(`größe.bin ${buffer.length} ${digest}`)
    expect(complaints).toEqual([])
  })

  test('reads a route from a page of the upstream: same origin, and the cache answers the second time', async () => {
    const { tab, complaints } = await open()
    const path = '/api/plans/search?county=51059&ages=34,32,5&metal=Silver'
    const answers = (await tab.evaluate(`(async () => [await ask('${path}'), await ask('${path}')])()`)) as {
      status: number
      cacheStatus: string
      body: unknown[]
    }[]
    expect(answers.map(({ status }) => status)).toEqual([200, 200])
    expect(answers.map(({ cacheStatus }) => cacheStatus)).toEqual([
      'onramp; fwd=uri-miss; stored; detail=origin',
      expect.stringMatching(/^onramp; hit; ttl=\d+; detail=memory$/),
    ])
    expect(answers[0]?.body).toHaveLength(10)
    expect(answers[1]?.body).toEqual(answers[0]?.body)
    expect(upstream.seen.filter(({ url }) => url?.startsWith('/api/'))).toEqual([])
    expect(complaints).toEqual([])
  })

  test('uses a WebSocket: short and long texts come back, and it closes cleanly', async () => {
    const { tab, complaints } = await open()
    const said =
      await tab.evaluate(`echoes(['hello', 'ä'.repeat(300), 'x'.repeat(200000)]).then(({ received, ...end }) =>
      ({ lengths: received.map((text) => text.length), first: received[0], ...end }))`)
    expect(said).toEqual({ lengths: [5, 300, 200_000], first: 'hello', code: 1000, wasClean: true })
    expect(complaints).toEqual([])
  })

  test('gets server-sent events one by one, as they are sent', async () => {
    const { tab, complaints } = await open()
    expect(await tab.evaluate('events()')).toEqual(['event 0', 'event 1', 'event 2'])
    expect(upstream.seen.filter(({ url }) => url === '/events').at(-1)?.headers['last-event-id']).toBe('2')
    expect(complaints).toEqual([])
  })
})

/** The resident memory of a process, in bytes. */
function residentOf({ child: { pid } }: Pick<Program, 'child'>): number {
  const [, kilobytes] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) as unknown as string[]
  return Number(kilobytes) * 1024
}

/** Whether it sleeps, as opposed to waiting for a processor. */
function isAsleep({ child: { pid } }: Pick<Program, 'child'>): boolean {
  return /^State:\s+S/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
}

describe('a body of 100 MB', () => {
  const framings = ['sized', 'chunked'] as const
  type Framing = (typeof framings)[number]
  /** Collects garbage ten times a second, for a proxy that does not do so itself. */
  const collecting = { NODE_OPTIONS: '--expose-gc --import=data:text/javascript,setInterval(gc,100).unref()' }
  const maxGrowth = 30 * MiB
  const maxKept = 2 * MiB
  const expected = digestOf(content(large))

  /** Calls `look` for every MiB passed to `step`. */
  function eachMiB(look: () => void): (bytes: number) => void {
    let next = 0
    return (bytes) => {
      if (bytes < next) return
      next = bytes + MiB
      look()
    }
  }

  async function download(url: string, bytes: number, framing: Framing, look = () => {}) {
    const request = begin(`${url}/download?bytes=${bytes}&${framing}`)
    request.end()
    const answer = await answerTo(request)
    expect(answer.headers['content-length']).toBe(framing === 'sized' ? String(bytes) : undefined)
    return digestOf(answer, eachMiB(look))
  }

  async function upload(url: string, bytes: number, framing: Framing, look = () => {}) {
    const headers = framing === 'sized' ? { 'Content-Length': bytes } : { 'Transfer-Encoding': 'chunked' }
    const request = begin(`${url}/upload`, { method: 'PUT', headers })
    const answered = answerTo(request)
    const step = eachMiB(look)
    let sent = 0
    for (const piece of content(bytes)) {
      if (!request.write(piece)) await drained(request)
      sent += piece.length
      step(sent)
    }
    request.end()
    const answer = await answered
    const said = JSON.parse(Buffer.concat(await answer.toArray()).toString())
    expect(said.framing).toBe(framing)
    return { bytes: said.bytes, digest: said.digest }
  }

  /** The maximum memory of `program` while a body of `bytes` passes through it. */
  async function peak(program: Serving, way: typeof download, framing: Framing, bytes: number): Promise<number> {
    let most = 0
    const look = () => {
      most = Math.max(most, residentOf(program))
    }
    const came = await way(program.url, bytes, framing, look)
    look()
    if (bytes === large) expect(came).toEqual(await expected)
    return most
  }

  /**
   * Sends a body while the receiver does not read, until no more is accepted and `program` is idle; then reads it all.
   * Returns the bytes kept by then, by `program` and by the receiver, and the memory of `program`. Bytes in the
   * operating system's queues are not counted: those may grow to their limit, which can be 100 MB.
   */
  async function stalled(program: Serving, sent: () => number, transfer: (reading: Promise<void>) => Promise<unknown>) {
    const reading = gate()
    const transferred = transfer(reading.opened)
    let [last, timesAsleep] = [0, 0]
    await until(
      () => {
        if (sent() !== last) [last, timesAsleep] = [sent(), 0]
        else if (isAsleep(program)) timesAsleep += 1
        return { last, timesAsleep }
      },
      (seen) => seen.last > 0 && seen.timesAsleep > 30,
    )
    const keptBytes = sent() - queued([new URL(program.url).port, new URL(upstream.url).port])
    const measured = { keptBytes, resident: residentOf(program) }
    reading.open()
    expect(await transferred).toEqual(await expected)
    return measured
  }

  /** The bytes written to `socket` that the operating system has accepted. */
  const taken = (socket: Socket | null | undefined) => (socket ? socket.bytesWritten - socket.writableLength : 0)

  function slowDownload(program: Serving) {
    let socket: Socket | undefined
    let before = 0
    upstream.pages.set('/slow-download', async (request, response) => {
      socket = request.socket
      before = taken(socket)
      response.setHeader('Content-Length', large)
      for (const piece of content(large)) if (!response.write(piece)) await drained(response)
      response.end()
    })
    return stalled(
      program,
      () => taken(socket) - before,
      async (reading) => {
        const request = begin(`${program.url}/slow-download`, { headers: { Connection: 'close' } })
        request.end()
        // A buffering proxy begins its response only when it has the whole body.
        const answer = answerTo(request)
        await reading
        return digestOf(await answer)
      },
    )
  }

  function slowUpload(program: Serving) {
    let request: ClientRequest | undefined
    return stalled(
      program,
      () => taken(request?.socket),
      async (reading) => {
        upstream.pages.set('/slow-upload', async (request, response) => {
          await reading
          response.end(JSON.stringify(await digestOf(request)))
        })
        request = begin(`${program.url}/slow-upload`, { method: 'PUT', headers: { 'Content-Length': large } })
        const answered = answerTo(request)
        for (const piece of content(large)) if (!request.write(piece)) await drained(request)
        request.end()
        return JSON.parse(Buffer.concat(await (await answered).toArray()).toString())
      },
    )
  }

  describe('through onramp', () => {
    let program: Serving
    let before: number

    beforeAll(async () => {
      program = await ready(['--config', ahead('large.yaml', 'listen: { port: 0 }')])
      await ask(`${program.url}/`)
      before = residentOf(program)
    })

    test.each(framings)('comes down %s, to the byte, in hardly more memory than it has at rest', async (framing) => {
      expect((await peak(program, download, framing, large)) - before).toBeLessThan(maxGrowth)
    })

    test.each(framings)('goes up %s, to the byte, in hardly more memory than it has at rest', async (framing) => {
      expect((await peak(program, upload, framing, large)) - before).toBeLessThan(maxGrowth)
    })

    test.each([
      ['a client', slowDownload],
      ['an upstream', slowUpload],
    ])('waits for %s that does not read, and buffers little', async (_who, transfer) => {
      const { keptBytes, resident } = await transfer(program)
      expect(keptBytes).toBeGreaterThan(0)
      expect(keptBytes).toBeLessThan(maxKept)
      expect(resident - before).toBeLessThan(maxGrowth)
    })
  })

  test('twin: a buffering proxy fails all these measures', async () => {
    const program = await keeper()
    try {
      const before = residentOf(program)
      for (const way of [download, upload])
        expect((await peak(program, way, 'sized', large)) - before).toBeGreaterThan(maxGrowth)
      expect((await slowDownload(program)).keptBytes).toBeGreaterThan(maxKept)
      expect((await slowUpload(program)).keptBytes).toBeGreaterThan(maxKept)
    } finally {
      program.child.kill('SIGKILL')
    }
  })

  /** A proxy that buffers whole bodies, in both directions. */
  async function keeper(): Promise<Serving> {
    const source = `
import { createServer, request } from 'node:http'
createServer(async (incoming, response) => {
  const body = Buffer.concat(await incoming.toArray())
  request('${upstream.url}' + incoming.url, { method: incoming.method, headers: incoming.headers }, async (answer) => {
    response.writeHead(answer.statusCode, answer.headers)
    response.end(Buffer.concat(await answer.toArray()))
  }).end(body)
}).listen(0, '127.0.0.1', function () { console.log('http://127.0.0.1:' + this.address().port) })`
    const env = { ...process.env, ...collecting }
    const args = ['--input-type=module', '--eval', source]
    const child = recorded(spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'], env }))
    const [url] = await once(child.stdout, 'data')
    return { child, url: String(url).trim() } as Serving
  }
})

/** The ends of all TCP connections of this machine: ports, states and queues, from the operating system's table. */
function connections() {
  const [, ...lines] = readFileSync('/proc/net/tcp', 'utf8').trim().split('\n')
  return lines.map((line) => {
    const [, local, remote, state, queues] = line.trim().split(/\s+/)
    const [localPort, remotePort] = [local, remote].map((address) => String(parseInt(address?.split(':')[1] ?? '', 16)))
    const queuedBytes = (queues ?? '').split(':').reduce((sum, bytes) => sum + parseInt(bytes, 16), 0)
    return { localPort, remotePort, isEstablished: state === '01', queuedBytes }
  })
}

/** The number of open connections to `port`, from the listener's side. */
function established(port: string): number {
  return connections().filter(({ localPort, isEstablished }) => isEstablished && localPort === port).length
}

/** The number of bytes in transit in connections to any of `ports`: written by one end, not read by the other. */
function queued(ports: readonly string[]): number {
  return connections()
    .filter((end) => end.isEstablished && ports.some((port) => port === end.localPort || port === end.remotePort))
    .reduce((sum, { queuedBytes }) => sum + queuedBytes, 0)
}

describe('under slow clients', () => {
  const normalClients = 4
  let program: Serving

  beforeAll(async () => {
    const limits = 'limits: { headerTimeout: 1s, idleTimeout: 2s, keepAliveTimeout: 2s }\nrequest: { timeout: 10s }'
    const settings = `url: "${upstream.url}", firstByteTimeout: 10s`
    program = await ready(['--config', ahead('slow.yaml', `listen: { port: 0 }\n${limits}`, settings)])
    await ask(`${program.url}/api/numbers`)
  })

  /** Requests cached and passed-through answers in turn until stopped. Returns each duration in milliseconds. */
  async function ordinary(url: string, isOver: () => boolean): Promise<{ took: number[]; failures: string[] }> {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    const [took, failures]: [number[], string[]] = [[], []]
    for (let i = 0; !isOver(); i += 1) {
      const path = i % 2 === 0 ? '/api/numbers' : '/'
      const began = performance.now()
      const outcome = await ask(url + path, { agent }).then(
        ({ status, text }) => (status === 200 ? 'fine' : `${status} ${text}`),
        (error: Error) => error.message,
      )
      took.push(performance.now() - began)
      if (outcome !== 'fine') failures.push(`${path} ${outcome}`)
      await pause(5)
    }
    agent.destroy()
    return { took, failures }
  }

  test.each([
    ['trickling headers', '/', ['-H', '-i', '1']],
    ['stalled content for the upstream', '/upload', ['-B', '-s', '8192', '-i', '20']],
    ['trickling content for a route', '/api/word', ['-B', '-s', '8192', '-i', '1', '-f', 'application/json']],
    ['clients that do not read', '/download?bytes=4000000', ['-X', '-w', '512', '-y', '1024', '-n', '20', '-z', '32']],
  ])('with %s, other clients are not affected, and the slow connections are closed', async (_what, path, how) => {
    const { port } = new URL(program.url)
    let isOver = false
    const clients = Array.from({ length: normalClients }, () => ordinary(program.url, () => isOver))
    const binary = findProgram('slowhttptest', 'slowhttptest')
    const lastsSeconds = 60
    const load = ['-c', '300', '-r', '150', '-l', String(lastsSeconds)]
    const attacker = recorded(spawn(binary, [...how, ...load, '-u', program.url + path], { stdio: 'ignore' }))
    const began = performance.now()
    await until(
      () => established(port),
      (count) => count > 100,
    )
    await until(
      () => established(port),
      (count) => count <= normalClients,
    )
    const seconds = (performance.now() - began) / 1000
    isOver = true
    const seen = await Promise.all(clients)
    attacker.kill('SIGKILL')
    // onramp closed them: the other side would have continued.
    expect(seconds).toBeLessThan(lastsSeconds - 5)
    expect(seen.flatMap(({ failures }) => failures)).toEqual([])
    expect(program.output().match(/^.*"status":500.*$/gm)).toBeNull()
    const took = seen.flatMap(({ took }) => took).sort((a, b) => a - b)
    expect(took.length).toBeGreaterThan(50)
    expect(took[Math.floor(took.length * 0.99)]).toBeLessThan(2000)
  })
})

/** A connection on which a test writes raw bytes, and reads the responses. */
class Wire {
  readonly socket: Socket
  readonly closed: Promise<void>
  isClosed = false
  #received = ''

  constructor(url: string) {
    const { hostname, port } = new URL(url)
    this.socket = connect(Number(port), hostname)
    this.socket.setEncoding('latin1')
    this.socket.on('data', (text) => {
      this.#received += text
    })
    this.socket.on('error', () => {}) // a reset also ends it
    this.closed = new Promise((resolve) =>
      this.socket.on('close', () => {
        this.isClosed = true
        resolve()
      }),
    )
  }

  send(...lines: string[]): void {
    this.socket.write(lines.join('\r\n'))
  }

  get(path: string): Promise<RawAnswer> {
    this.send(`GET ${path} HTTP/1.1`, 'Host: x', '', '')
    return this.answer()
  }

  /** The next response, informational ones included. */
  async answer(): Promise<RawAnswer> {
    for (;;) {
      const answer = firstAnswer(this.#received)
      if (answer !== undefined) {
        this.#received = this.#received.slice(answer.size)
        return answer
      }
      if (this.isClosed) throw new Error(`the connection was closed after ${JSON.stringify(this.#received)}`)
      await Promise.race([once(this.socket, 'data'), this.closed])
    }
  }

  /** Unsolicited bytes received. */
  get rest(): string {
    return this.#received
  }
}

interface RawAnswer {
  status: number
  head: string
  /** The content, still framed. */
  body: string
  size: number
}

/** The first response in `text`, if it is complete. */
function firstAnswer(text: string): RawAnswer | undefined {
  const [all, head] = /^([\s\S]*?)\r\n\r\n/.exec(text) ?? []
  if (all === undefined || head === undefined) return undefined
  const rest = text.slice(all.length)
  const isChunked = /^transfer-encoding: chunked$/im.test(head)
  const length = isChunked
    ? /^(?:[1-9a-f][\da-f]*\r\n[\s\S]*?\r\n)*?0\r\n\r\n/i.exec(rest)?.[0].length
    : Number(/^content-length: (\d+)$/im.exec(head)?.[1] ?? 0)
  if (length === undefined || rest.length < length) return undefined
  return { status: Number(head.split(' ')[1]), head, body: rest.slice(0, length), size: all.length + length }
}

describe('a limit', () => {
  let app: Running
  const wires: Wire[] = []

  async function limited(limits: Partial<Config['limits']>): Promise<void> {
    await app?.stop()
    app = await startApp(inject('databaseUrl'), { UPSTREAM_URL: upstream.url }, (config) => ({
      ...config,
      limits: { ...config.limits, ...limits },
    }))
  }
  function dial(): Wire {
    const wire = new Wire(app.url)
    wires.push(wire)
    return wire
  }
  afterAll(() => app?.stop())

  afterEach(() => {
    for (const { socket } of wires.splice(0)) socket.destroy()
  })

  const post = ['POST /api/plans/search HTTP/1.1', 'Host: x', 'Content-Type: application/json']
  const search = '{"county":"51059","ages":[30]}'

  test('maxConnections: one more is closed at once, open ones are served, and one that ends makes room', async () => {
    await limited({ maxConnections: 3 })
    const three = [dial(), dial(), dial()]
    for (const wire of three) expect((await wire.get('/api/states')).status).toBe(200)
    const fourth = dial()
    await fourth.closed
    expect(fourth.rest).toBe('')
    for (const wire of three) {
      expect((await wire.get('/api/states')).status).toBe(200)
      expect((await wire.get('/style.css')).status).toBe(200)
    }
    three[0]?.socket.end()
    await three[0]?.closed
    const isServed = () =>
      dial()
        .get('/api/states')
        .then(
          ({ status }) => status === 200,
          () => false,
        )
    await until(isServed)
  })

  test.each(['/api/states', '/style.css'])(
    'maxRequests: the last answer announces the end of the connection, and a new one works (%s)',
    async (path) => {
      await limited({ maxRequests: 3 })
      const wire = dial()
      const answers = [await wire.get(path), await wire.get(path), await wire.get(path)]
      expect(answers.map(({ status }) => status)).toEqual([200, 200, 200])
      expect(answers.map(({ head }) => /^connection: close$/im.test(head))).toEqual([false, false, true])
      await wire.closed
      expect((await dial().get(path)).status).toBe(200)
    },
  )

  test('keepAliveTimeout: an idle connection is closed, a reused one is not', async () => {
    await limited({ keepAliveTimeout: 3000 })
    const [idle, busy] = [dial(), dial()]
    await Promise.all([idle.get('/style.css'), busy.get('/api/states')])
    const began = performance.now()
    const asking = (async () => {
      while (!idle.isClosed) {
        expect((await busy.get('/api/states')).status).toBe(200)
        await pause(50)
      }
    })()
    await idle.closed
    const took = performance.now() - began
    await asking
    expect((await busy.get('/api/states')).status).toBe(200)
    expect(idle.rest).toBe('')
    expect(took).toBeGreaterThan(2900)
    expect(took).toBeLessThan(20_000)
  })

  test('headerTimeout: an incomplete header section is a 408, and the connection ends', async () => {
    await limited({ headerTimeout: 500 })
    const wire = dial()
    wire.send('GET /style.css HTTP/1.1', 'Host: x', 'X-More: ')
    const trickle = setInterval(() => wire.socket.write('x'), 50)
    const { status, head } = await wire.answer()
    clearInterval(trickle)
    expect([status, /^connection: close$/im.test(head)]).toEqual([408, true])
    await wire.closed
  })

  test('headerTimeout: incomplete content for a route is a 408; content for the upstream may take longer', async () => {
    await limited({ headerTimeout: 500 })
    const [forRoute, forTier] = [dial(), dial()]
    forRoute.send(...post, 'Content-Length: 1000', '', search)
    forTier.send('POST /upload HTTP/1.1', 'Host: x', 'Content-Length: 1000', '', '')
    let sent = 0
    const trickle = setInterval(() => {
      forRoute.socket.write(' ')
      forTier.socket.write('x')
      sent += 1
    }, 20)
    const { status, head } = await forRoute.answer()
    expect([status, /^connection: close$/im.test(head)]).toEqual([408, true])
    await forRoute.closed
    clearInterval(trickle)
    forTier.socket.write('x'.repeat(1000 - sent))
    const answer = await forTier.answer()
    expect([answer.status, answer.body]).toEqual([200, expect.stringContaining('"bytes":1000,')])
  })

  test('maxBody: content above the limit is a 413, sized or chunked, and gets no 100', async () => {
    await limited({})
    const size = 64 * 1024
    const sized = dial()
    sized.send(...post, `Content-Length: ${size}`, '', ' '.repeat(size))
    expect((await sized.answer()).status).toBe(413)
    const chunked = dial()
    chunked.send(...post, 'Transfer-Encoding: chunked', '', size.toString(16), ' '.repeat(size), '')
    expect((await chunked.answer()).status).toBe(413)
    const waiting = dial()
    waiting.send(...post, `Content-Length: ${size}`, 'Expect: 100-continue', '', '')
    expect((await waiting.answer()).status).toBe(413)
  })

  test('maxBody: content within the limit gets a 100, and an answer', async () => {
    await limited({})
    const wire = dial()
    wire.send(...post, `Content-Length: ${search.length}`, 'Expect: 100-continue', '', '')
    expect((await wire.answer()).status).toBe(100)
    wire.send(search)
    expect((await wire.answer()).status).toBe(200)
  })
})

describe('a Unix socket', () => {
  const publicSocket = join(folder, 'onramp.sock')
  const adminSocket = join(folder, 'admin.sock')
  const inside = (socketPath: string, path: string) => ask(`http://localhost${path}`, { socketPath })

  function onSockets(): string {
    return configuration(
      'sockets.yaml',
      `
listen: { host: "unix:${publicSocket}" }
admin: { host: "unix:${adminSocket}" }
postgres: { url: "${inject('databaseUrl')}" }
upstream: { url: "${upstream.url}" }
routes:
  numbers: { path: /api/numbers, sql: "select n from generate_series(1, 20) as n" }
`,
    )
  }

  test('serves clients, and another one the admin listener; both files are removed at the end', async () => {
    const program = await ready(['--config', onSockets()])
    expect([program.url, program.adminUrl]).toEqual([`unix:${publicSocket}`, `unix:${adminSocket}`])
    expect((await inside(publicSocket, '/api/numbers')).headers['cache-status']).toContain('stored')
    const passed = JSON.parse((await inside(publicSocket, '/headers')).text)
    expect(passed).toMatchObject({ forwarded: 'for=unknown;host="localhost";proto=http', 'x-forwarded-proto': 'http' })
    expect(passed['x-forwarded-for']).toBeUndefined()
    expect((await inside(adminSocket, '/ready')).status).toBe(200)
    program.child.kill('SIGTERM')
    expect(await program.ended).toBe(0)
    expect([existsSync(publicSocket), existsSync(adminSocket)]).toEqual([false, false])
  })

  test('of a killed process is taken over', async () => {
    const killed = await ready(['--config', onSockets()])
    killed.child.kill('SIGKILL')
    await killed.ended
    expect([statSync(publicSocket).isSocket(), statSync(adminSocket).isSocket()]).toEqual([true, true])
    await ready(['--config', onSockets()])
    expect((await inside(publicSocket, '/api/numbers')).status).toBe(200)
    expect((await inside(adminSocket, '/ready')).status).toBe(200)
  })

  test('that another process serves is rejected in a sentence, with code 1, and not touched', async () => {
    await ready(['--config', onSockets()])
    const { code, errors } = await result(['--config', onSockets()])
    expect([code, errors]).toEqual([
      1,
      `onramp cannot listen on unix:${publicSocket}: the address is in use. Another process serves it; stop that process or choose another path.\n`,
    ])
    expect((await inside(publicSocket, '/api/numbers')).status).toBe(200)
  })

  test('does not replace a file of another kind', async () => {
    rmSync(publicSocket, { force: true })
    writeFileSync(publicSocket, 'precious')
    const { code } = await result(['--config', onSockets()])
    expect([code, readFileSync(publicSocket, 'utf8')]).toEqual([1, 'precious'])
    rmSync(publicSocket)
  })

  test('can be the address of the upstream', async () => {
    const socketTier = await startUpstream(join(folder, 'web.sock'))
    try {
      const program = await ready([
        '--config',
        ahead('to-socket.yaml', 'listen: { port: 0 }', `url: "${socketTier.url}"`),
      ])
      expect((await ask(`${program.url}/style.css`)).text).toContain('rgb(1, 2, 3)')
      const posted = begin(`${program.url}/upload`, { method: 'POST' })
      posted.end('some content')
      const answer = await answerTo(posted)
      expect(JSON.parse(Buffer.concat(await answer.toArray()).toString())).toEqual({
        ...(await digestOf([Buffer.from('some content')])),
        framing: 'sized',
      })
      const socket = new WebSocket(`${program.url.replace('http', 'ws')}/echo`)
      socket.addEventListener('open', () => socket.send('hello'))
      const [{ data }] = (await once(socket, 'message')) as [MessageEvent]
      expect(data).toBe('hello')
      socket.close()
      expect(socketTier.seen.map(({ method, url }) => `${method} ${url}`)).toEqual([
        'GET /style.css',
        'POST /upload',
        'GET /echo',
      ])
    } finally {
      await socketTier.stop()
    }
  })
})

describe('TLS', () => {
  const [certFile, keyFile] = [join(folder, 'cert.pem'), join(folder, 'key.pem')]
  let first: Pair
  let second: Pair

  interface Pair {
    cert: string
    key: string
  }

  function pair(name: string): Pair {
    const [cert, key] = [join(folder, `${name}.cert.pem`), join(folder, `${name}.key.pem`)]
    const names = ['-subj', `/CN=${name}`, '-addext', 'subjectAltName=DNS:localhost']
    const kind = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-noenc', '-days', '2']
    const files = ['-keyout', key, '-out', cert]
    execFileSync(findProgram('openssl', 'openssl'), ['req', ...kind, ...names, ...files], { stdio: 'ignore' })
    return { cert: readFileSync(cert, 'utf8'), key: readFileSync(key, 'utf8') }
  }

  beforeAll(() => {
    first = pair('first')
    second = pair('second')
  })

  const withTls = () => ahead('tls.yaml', 'listen: { port: 0, tls: { cert: cert.pem, key: key.pem } }')

  function put({ cert, key }: Partial<Pair>): void {
    if (cert !== undefined) writeFileSync(certFile, cert)
    if (key !== undefined) writeFileSync(keyFile, key)
  }

  /** Trusts both certificates, and no others. */
  const trusting = () => ({ ca: [first.cert, second.cert], servername: 'localhost' })
  const local = (url: string) => url.replace('127.0.0.1', 'localhost')

  /** The name in the certificate presented to a new connection. */
  async function shown(url: string): Promise<string> {
    const request = begin(`${local(url)}/api/numbers`, trusting())
    request.end()
    const answer = await answerTo(request)
    const name = nameOf(answer.socket as TLSSocket)
    answer.resume()
    return name
  }

  function nameOf(socket: TLSSocket): string {
    return socket.getPeerX509Certificate()?.subject ?? 'none'
  }

  const count = (program: Program, words: string) => program.output().split(words).length - 1

  test('uses the configured files, for routes and upstream alike, and the upstream is told', async () => {
    put(first)
    const program = await ready(['--config', withTls()])
    expect(program.url).toMatch(/^https:\/\/127\.0\.0\.1:\d+$/)
    expect((await ask(`${local(program.url)}/api/numbers`, trusting())).status).toBe(200)
    const { text } = await ask(`${local(program.url)}/headers`, trusting())
    expect(JSON.parse(text)).toMatchObject({
      'x-forwarded-proto': 'https',
      forwarded: expect.stringMatching(/^for=127\.0\.0\.1;host="localhost:\d+";proto=https$/),
    })
    await expect(ask(`${local(program.url)}/headers`, { ca: second.cert })).rejects.toThrow('certificate')
    const plain = begin(program.url.replace('https', 'http'))
    plain.end()
    await expect(answerTo(plain)).rejects.toThrow()
  })

  test('reloads a changed certificate, while open connections continue; a broken one is logged and ignored', async () => {
    put(first)
    const program = await ready(['--config', withTls()])
    const going = gate()
    upstream.pages.set('/long', async (_request, response) => {
      response.write('first half, ')
      await going.opened
      response.end('second half')
    })
    const agent = new SecureAgent({ keepAlive: true, maxSockets: 1 })
    const long = begin(`${local(program.url)}/long`, { ...trusting(), agent })
    long.end()
    const answer = await answerTo(long)
    const oldName = nameOf(answer.socket as TLSSocket)
    const [half] = await once(answer, 'data')

    // One file after the other, as they are renamed: in between they do not match.
    put({ cert: second.cert })
    await until(() => count(program, '"event":"certificate-rejected"'), 1)
    expect(await shown(program.url)).toBe('CN=first')
    put({ key: second.key })
    await until(() => shown(program.url), 'CN=second', 5000)
    expect(count(program, '"event":"certificate-reloaded"')).toBe(1)

    put({ cert: '-----BEGIN CERTIFICATE-----\nbroken\n-----END CERTIFICATE-----\n' })
    await until(() => count(program, '"event":"certificate-rejected"'), 2)
    expect(await shown(program.url)).toBe('CN=second')

    going.open()
    expect(half + Buffer.concat(await answer.toArray()).toString()).toBe('first half, second half')
    expect(oldName).toBe('CN=first')
    agent.destroy()
  })

  test('is rejected at the start, in a sentence with the file and with code 1, if a file is missing or broken', async () => {
    put(first)
    rmSync(keyFile)
    const missing = await result(['--config', withTls()])
    expect(missing.code).toBe(1)
    expect(missing.errors.trim().split('\n')).toHaveLength(1)
    expect(missing.errors).toContain('key.pem')
    put({ key: second.key })
    const mismatched = await result(['--config', withTls()])
    expect(mismatched.code).toBe(1)
    expect(mismatched.errors.trim().split('\n')).toHaveLength(1)
    expect(mismatched.errors).toContain('listen.tls')
  })
})

describe('told to stop', () => {
  const draining = (drainTimeout: string) =>
    ahead('drain.yaml', `listen: { port: 0 }\nlimits: { drainTimeout: ${drainTimeout} }`)

  /** A page that sends its beginning, and its end when `going` opens. */
  function longPage(going: Promise<void>): void {
    upstream.pages.set('/long', async (_request, response) => {
      response.write('x'.repeat(100_000))
      await going
      response.end('y'.repeat(100_000))
    })
  }

  async function beginDownload(url: string): Promise<IncomingMessage> {
    const request = begin(`${url}/long`)
    request.end()
    return answerTo(request)
  }

  /** Tells the program to stop, and waits until it reports so. */
  async function stop(program: Program): Promise<void> {
    program.child.kill('SIGTERM')
    await until(program.output, (said) => said.includes('SIGTERM: finishing'))
  }

  test('completes a download and an upload, closes a WebSocket, and ends with code 0', async () => {
    const program = await ready(['--config', draining('20s')])
    const going = gate()
    longPage(going.opened)
    const download = await beginDownload(program.url)

    const pieces = [...content(2 * MiB)]
    const half = pieces.length / 2
    const upload = begin(`${program.url}/upload`, { method: 'PUT', headers: { 'Content-Length': 2 * MiB } })
    const uploaded = answerTo(upload)
    const before = upstream.seen.length
    for (const piece of pieces.slice(0, half)) if (!upload.write(piece)) await drained(upload)
    await until(
      () => upstream.seen.length,
      (count) => count > before,
    )

    const socket = new WebSocket(`${program.url.replace('http', 'ws')}/echo`)
    await once(socket, 'open')
    const socketClosed = once(socket, 'close')

    await stop(program)
    await socketClosed
    await expect(ask(`${program.url}/style.css`)).rejects.toThrow('ECONNREFUSED')
    going.open()
    for (const piece of pieces.slice(half)) if (!upload.write(piece)) await drained(upload)
    upload.end()
    const said = JSON.parse(Buffer.concat(await (await uploaded).toArray()).toString())
    expect(said).toMatchObject(await digestOf(content(2 * MiB)))
    expect(Buffer.concat(await download.toArray()).toString()).toBe('x'.repeat(100_000) + 'y'.repeat(100_000))
    expect(await program.ended).toBe(0)
    expect(program.errors()).toBe('')
  })

  test('cuts a download that outlasts drainTimeout, visibly, and ends', async () => {
    const program = await ready(['--config', draining('1s')])
    longPage(new Promise(() => {}))
    const download = await beginDownload(program.url)
    const began = performance.now()
    await stop(program)
    await expect(download.toArray()).rejects.toThrow('aborted')
    expect(await program.ended).toBe(0)
    const took = performance.now() - began
    expect(took).toBeGreaterThan(900)
    expect(took).toBeLessThan(20_000)
  })

  test('does not wait beyond drainTimeout for a WebSocket whose client does not close its side', async () => {
    const program = await ready(['--config', draining('1s')])
    const { hostname, port } = new URL(program.url)
    const socket = connect({ host: hostname, port: Number(port), allowHalfOpen: true })
    socket.on('error', () => {}) // it may end with a reset
    const head = ['GET /echo HTTP/1.1', 'Host: x', 'Connection: Upgrade', 'Upgrade: websocket']
    socket.write(
      [...head, 'Sec-WebSocket-Version: 13', 'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==', '', ''].join('\r\n'),
    )
    const [text] = await once(socket, 'data')
    expect(String(text)).toContain(' 101 ')
    await stop(program)
    expect(await program.ended).toBe(0)
    socket.destroy()
  })
})
