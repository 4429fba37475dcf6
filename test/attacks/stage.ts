// The attacked process, and the effects of an attack on later clients.
import { afterAll, afterEach, beforeAll, expect, inject, onTestFinished } from 'vitest'
import type { Config } from '../../proxy/config/schema.ts'
import { type Running, startApp } from '../live.ts'
import { askOnce, type WireAnswer, WireClient } from '../wire/client.ts'
import { valuesOf } from '../wire/fields.ts'
import { ownAnswer, requestOf } from '../wire/messages.ts'
import { ScriptedUpstream } from '../wire/scripted-upstream.ts'
import type { Attack, AttackRequest, ReadKind } from './attack.ts'
import { FreshReads, madeFor, type Read } from './reads.ts'

/** One stage for all tests of a file. */
export function attackStage(): AttackStage {
  const stage = new AttackStage()
  beforeAll(() => stage.start())
  afterEach(() => WireClient.closeAll())
  afterAll(() => stage.stop())
  return stage
}

interface Parts {
  upstream: ScriptedUpstream
  /** The attacked process. */
  app: Running
  /** A process that is not attacked, with correct answers. */
  clean: Running
  reads: FreshReads
}

export class AttackStage {
  #parts: Parts | undefined

  async start(): Promise<void> {
    const databaseUrl = inject('databaseUrl')
    const upstream = await ScriptedUpstream.start()
    const app = await startApp(databaseUrl, { UPSTREAM_URL: upstream.url })
    this.#parts = { upstream, app, clean: await startApp(databaseUrl), reads: await FreshReads.of(databaseUrl) }
  }

  async stop(): Promise<void> {
    await Promise.all([this.app.stop(), this.clean.stop()])
    await this.upstream.stop()
  }

  get upstream(): ScriptedUpstream {
    return this.#started.upstream
  }

  get app(): Running {
    return this.#started.app
  }

  get clean(): Running {
    return this.#started.clean
  }

  get #started(): Parts {
    if (this.#parts === undefined) throw new Error('It has not been started.')
    return this.#parts
  }

  /** onramp with `change` applied to its configuration, in front of the same upstream, until the test ends. */
  async startOwn(change: (config: Config) => Config = (config) => config): Promise<Running> {
    const own = await startApp(inject('databaseUrl'), { UPSTREAM_URL: this.upstream.url }, change)
    onTestFinished(() => own.stop())
    return own
  }

  fresh(kind: ReadKind): Read {
    return this.#started.reads.next(kind)
  }

  /** The answer of the process that is not attacked. */
  async rightAnswer(target: string): Promise<Kept> {
    return keptOf(await askOnce(this.clean.url, requestOf('GET', target)))
  }

  /** Expects `attack` to harm none of its reads, and to leave nothing forbidden behind. */
  async expectHarmless(attack: Attack): Promise<void> {
    for (const kind of attack.reads ?? ['search', 'county']) expect(await this.harm(attack, kind)).toEqual([])
    const { unkept, unasked } = attack
    if (unkept !== undefined) {
      const keys = await keysOf(this.app, unkept.route)
      expect(keys.filter((key) => unkept.texts.some((text) => key.includes(text)))).toEqual([])
    }
    if (unasked !== undefined) expect(this.upstream.to(unasked)).toEqual([])
  }

  /**
   * Attacks a read that is not cached, and one that is; a victim then requests each. Returns every difference from a
   * run without the attack: other bytes or fields, more than one entry, more than one origin query.
   */
  async harm(attack: Attack, kind: ReadKind): Promise<string[]> {
    const { app } = this
    const found: string[] = []
    for (const isPrimed of [false, true]) {
      const read = this.fresh(kind)
      const before = { keys: await keysOf(app, read.route), queries: await queriesOf(app, read.route) }
      const { cacheStatus, faults } = await this.#afterAttack(app.url, attack, read, isPrimed)
      if (!attack.fillsNothing && !/^onramp; hit; ttl=\d+; detail=memory$/.test(cacheStatus))
        faults.push(`the victim has Cache-Status ${JSON.stringify(cacheStatus)}`)
      const keys = (await keysOf(app, read.route)).filter((key) => !before.keys.includes(key))
      if (keys.length !== 1 || !keys[0]?.includes(read.marks)) faults.push(`what is kept is ${JSON.stringify(keys)}`)
      const queries = (await queriesOf(app, read.route)) - before.queries
      if (queries !== 1) faults.push(`the origin is asked ${queries} times`)
      found.push(...faults.map((fault) => `${isPrimed ? 'kept before' : 'not kept before'}: ${fault}`))
    }
    return found
  }

  /** The same for a cache of which only the answers are known. */
  async harmSeen(url: string, attack: Attack, kind: ReadKind): Promise<string[]> {
    const found: string[] = []
    for (const isPrimed of [false, true])
      found.push(...(await this.#afterAttack(url, attack, this.fresh(kind), isPrimed)).faults)
    return found
  }

  /** The answer that a victim gets for `read` after the attack, and its faults. */
  async #afterAttack(url: string, attack: Attack, read: Read, isPrimed: boolean) {
    const request = requestOf('GET', read.target)
    const right = JSON.stringify(await this.rightAnswer(read.target))
    if (isPrimed) await askOnce(url, request)
    for (const one of attack.requests) await this.#send(url, madeFor(read, one))
    const victim = await askOnce(url, request)
    const seen = JSON.stringify(keptOf(victim))
    const faults = seen === right ? [] : [`${read.target} is ${seen.slice(0, 300)}, not ${right.slice(0, 300)}`]
    return { cacheStatus: valuesOf(victim.fields, 'cache-status').join('|'), faults }
  }

  async #send(url: string, request: AttackRequest): Promise<void> {
    const { method = 'GET', target = '', fields, content, rest, expected = {} } = request
    const client = await WireClient.to(url)
    const head = requestOf(method, target, fields, content)
    // A request with a rest has its own framing in it: the rest replaces the empty line.
    client.send(rest === undefined ? head : head.slice(0, -2) + rest)
    const answer = await client.read(method)
    const { status, fields: expectedFields = {}, isUpstreams, isLast } = expected
    if (status !== undefined) expect(status).toContain(answer.status)
    for (const [name, values] of Object.entries(expectedFields))
      expect([name, valuesOf(answer.fields, name)]).toEqual([name, values])
    if (isUpstreams) {
      expect(answer.content.toString()).toBe(ownAnswer(method, target))
      expect(this.upstream.to(target).map((asked) => asked.method)).toEqual([method])
    }
    if (isLast) {
      await client.closed
      expect(client.unread.toString()).toBe('')
    }
    client.close()
  }
}

/** The parts of an answer that others could store or act on, and that do not depend on the time of the request. */
export interface Kept {
  status: number
  isWhole: boolean
  content: string
  fields: string[]
}

export function keptOf({ status, fields, content, isWhole }: WireAnswer): Kept {
  const passing = /^(age|cache-status|date|connection|keep-alive)$/i
  return {
    status,
    isWhole,
    content: content.toString(),
    fields: fields.filter(([name]) => !passing.test(name)).map(([name, value]) => `${name}: ${value}`),
  }
}

/** The keys of the entries of `route` in `app`. */
export async function keysOf(app: Running, route: string): Promise<string[]> {
  const entries = (await app.admin(`/entries?route=${route}&limit=9999`)).json()
  if (!Array.isArray(entries)) throw new Error('/entries is no list.')
  return entries.map(({ key }) => String(key))
}

/** The number of origin queries of `app` for `route`. */
export async function queriesOf(app: Running, route: string): Promise<number> {
  const { text } = await app.admin('/metrics')
  const counts = text.matchAll(new RegExp(`^onramp_origin_queries_total\\{route="${route}",.*\\} (\\d+)$`, 'gm'))
  return [...counts].reduce((sum, [, count]) => sum + Number(count), 0)
}
