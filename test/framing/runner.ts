// Runs framing cases: each on one connection, to onramp or a relay, with a strict upstream behind it.
import { afterAll, afterEach, beforeAll, inject } from 'vitest'
import { type Running, startApp } from '../live.ts'
import { gate } from '../support.ts'
import type { FramingCase } from './case.ts'
import { differencesTo, isAnswered, type Result } from './compare.ts'
import { StrictClient } from './strict-client.ts'
import type { StrictRequest } from './strict-http.ts'
import { StrictUpstream } from './strict-upstream.ts'
import { deadlineMs } from './watched.ts'

/** A strict upstream, with onramp in front of it, for the tests of one file. */
export function framingRunner(): FramingRunner {
  const runner = new FramingRunner()
  beforeAll(() => runner.start())
  afterEach(() => runner.reset())
  afterAll(() => runner.stop())
  return runner
}

export interface Attempt {
  /** Sends the bytes one by one. */
  slowly?: boolean
  /** Runs the case through one of the relays, alone, with no knowledge of earlier cases. */
  isTwin?: boolean
}

export class FramingRunner {
  #upstream: StrictUpstream | undefined
  #app: Running | undefined
  #cases = 0
  #canaries = 0

  get upstream(): StrictUpstream {
    if (this.#upstream === undefined) throw new Error('The upstream has not been started.')
    return this.#upstream
  }

  /** The port of onramp. */
  get port(): number {
    if (this.#app === undefined) throw new Error('onramp has not been started.')
    return Number(new URL(this.#app.url).port)
  }

  async start(): Promise<void> {
    this.#upstream = await StrictUpstream.start()
    this.#app = await this.startApp()
  }

  /** Starts onramp ahead of the upstream. */
  startApp(): Promise<Running> {
    return startApp(inject('databaseUrl'), { UPSTREAM_URL: `http://127.0.0.1:${this.upstream.port}` })
  }

  async stop(): Promise<void> {
    await this.#app?.stop()
    await this.#upstream?.stop()
  }

  /** Resets the upstream: no delayed and no unsolicited answers. */
  reset(): void {
    this.upstream.pause = () => undefined
    this.upstream.excess = () => ''
  }

  /** The requests that the upstream has seen, except canaries. */
  get strangers(): StrictRequest[] {
    return this.upstream.requests.filter(({ target }) => !target.startsWith('/canary'))
  }

  /** Sends `one` to `port`. Returns everything unsafe about the result; nothing if it is correct. */
  async unsafe(one: FramingCase, port: number, attempt: Attempt = {}): Promise<string[]> {
    const { upstream } = this
    const { isTwin = false } = attempt
    const ms = isTwin ? 200 : deadlineMs
    const faults: string[] = []
    if (!isTwin && this.strangers.length > 0)
      faults.push(`seen: after the case before, ${JSON.stringify(this.strangers)}`)
    upstream.forget()
    const named = this.#named(one)
    const client = new StrictClient(port, named.bytes.startsWith('HEAD ') ? [0] : [])
    await send(client, named, attempt)
    const closed = await isClosedOnItsOwn(client, named, ms)
    client.end()
    if (!(await client.until(() => client.isClosed, ms))) faults.push('closing: the connection stays open')
    client.close()
    if (!isTwin) faults.push(...(await this.canaries(port)))
    if (!(await upstream.quiet(ms))) faults.push('seen: a request that is neither whole nor cut')
    const result: Result = { answers: client.answers, seen: this.strangers, closed }
    faults.push(...upstream.violations.map((violation) => `violation: ${violation}`))
    upstream.forget()
    if (client.fault !== undefined) faults.push(`answer: ${client.fault}`)
    return [...faults, ...leastDifferences(named, result)]
  }

  /** Sends a unique request over every open upstream connection, and over a new one. */
  async canaries(port: number, count = Math.max(1, this.upstream.idle)): Promise<string[]> {
    const { upstream } = this
    const { opened, open } = gate()
    const { pause } = upstream
    let come = 0
    upstream.pause = (asked) => {
      if (!asked.target.startsWith('/canary')) return pause(asked)
      come += 1
      if (come >= count) open()
      return opened
    }
    const over = await Promise.all(Array.from({ length: count }, () => this.#canary(port, 'GET', '')))
    open()
    // On a connection opened after those of the case: when it is answered, their bytes have been read.
    const anew = await this.#canary(port, 'POST', 'content')
    upstream.pause = pause
    return [...over, anew].flat()
  }

  async #canary(port: number, method: string, content: string): Promise<string[]> {
    this.#canaries += 1
    const target = `/canary-${this.#canaries}`
    const client = new StrictClient(port)
    client.send(
      `${method} ${target} HTTP/1.1\r\nHost: a.example\r\nContent-Length: ${content.length}\r\n\r\n${content}`,
    )
    await client.until(() => client.answers.length > 0 || client.isClosed)
    const [answer] = client.answers
    client.close()
    const is = `${answer?.status} ${answer?.answers} ${answer?.content}`
    const name = `${method} ${target}`
    return is === `200 ${name} ${name}` ? [] : [`canary: ${is} for ${name}`]
  }

  /** `one` with a name for its `ID`. */
  #named(one: FramingCase): FramingCase {
    this.#cases += 1
    const named = (text: string) => text.replaceAll('ID', `c${this.#cases}`)
    const expected = one.expected.map((outcome) => ({
      ...outcome,
      seen: outcome.seen.map((request) => ({ ...request, target: named(request.target) })),
    }))
    return { ...one, bytes: named(one.bytes), expected }
  }
}

async function send(client: StrictClient, { bytes, after }: FramingCase, { slowly = false }: Attempt): Promise<void> {
  if (slowly) await client.sendSlowly(bytes)
  else client.send(bytes)
  if (after === 'end') client.end()
  if (after === 'reset') await client.reset()
}

/** Waits until all answers have arrived, and the closing, if every outcome that still fits has one. */
async function isClosedOnItsOwn(client: StrictClient, { expected }: FramingCase, ms: number): Promise<boolean> {
  const most = Math.max(1, ...expected.map(({ answers }) => answers.length))
  const mustClose = () => {
    const fitting = expected.filter((outcome) => isAnswered(outcome, client.answers))
    return fitting.length > 0 && fitting.every(({ closes }) => closes)
  }
  await client.until(() => client.isClosed || (client.answers.length >= most && !mustClose()), ms)
  return client.isClosed
}

/** Nothing if the result matches any outcome; otherwise the differences from the first. */
function leastDifferences({ expected }: FramingCase, result: Result): string[] {
  const [first = ['no outcome is expected'], ...more] = expected.map((outcome) => differencesTo(outcome, result))
  return more.some((found) => found.length === 0) ? [] : first
}
