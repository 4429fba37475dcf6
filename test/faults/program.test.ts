import { Agent, get } from 'node:http'
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Deploy, keepFaultResults, type SharedKeyCrowd } from '../../bench/fault-results.ts'
import { until } from '../../bench/until.ts'
import { programs, type Serving } from '../program.ts'
import { newId } from './load.ts'
import { sqlCount } from './look.ts'
import { type Stand, type StandOptions, startStand } from './stand.ts'

/*
 * Faults of the clients and of the program itself: clients that disconnect, a deploy, a thousand requests for one key.
 */

const { configuration, ready } = programs('program-faults')
let stand: Stand
beforeAll(async () => {
  stand = await startStand()
})
afterAll(() => stand.stop())

/** Long timeouts: speed is not tested here, and the machine may be slow. */
const start = (over: Partial<StandOptions> = {}) => {
  const patient = { statementTimeout: '10s', requestTimeout: '20s', ...over }
  return ready(['--config', configuration('onramp.yaml', stand.configuration(patient))])
}

async function flights(program: Serving): Promise<number> {
  return ((await (await fetch(`${program.adminUrl}/stats`)).json()) as { flights: number }).flights
}

/** Delays every statement by `seconds` until the returned function is called. */
async function slowStatements(seconds: number): Promise<() => Promise<void>> {
  await stand.postgres.sql(`insert into trouble values ('sleep', $1)`, [String(seconds)])
  return () => stand.postgres.sql('truncate trouble')
}

describe('a client that disconnects while its statement runs', () => {
  /** Five clients request new keys and disconnect. Resolves to whether each answer is cached afterwards, without a second statement. */
  async function leave(program: Serving, meanwhile: () => Promise<void>): Promise<boolean[]> {
    const wellAgain = await slowStatements(1)
    const before = await sqlCount(program)
    const paths = Array.from({ length: 5 }, () => `${program.url}/cold/${newId()}`)
    const clients = paths.map((path) => get(path).on('error', () => {}))
    await until(() => flights(program), clients.length)
    for (const client of clients) client.destroy()
    await until(async () => {
      await meanwhile()
      return flights(program)
    }, 0)
    await wellAgain()
    expect(await sqlCount(program)).toBe(before + clients.length)
    const answers = await Promise.all(paths.map((path) => fetch(path)))
    return answers.map(({ headers }) => headers.get('cache-status')?.includes('hit') === true)
  }

  test('does not stop its statement: the answer is cached for others', async () => {
    expect(await leave(await start(), async () => {})).toEqual([true, true, true, true, true])
  })

  test('twin: if its statement is ended too, no answer is cached', async () => {
    const end = `select pg_terminate_backend(pid) from pg_stat_activity where usename = 'onramp' and state = 'active'`
    expect(await leave(await start(), () => stand.postgres.sql(end))).not.toContain(true)
  })
})

describe('a deploy', () => {
  /**
   * Sends `signal` to a process with twenty open requests for new keys. All later requests go to a second process, as from a load
   * balancer.
   */
  async function deploy(signal: 'SIGTERM' | 'SIGKILL'): Promise<Deploy> {
    const [old, next] = await Promise.all([start(), start()])
    const wellAgain = await slowStatements(0.5)
    const agent = new Agent({ keepAlive: true })
    const all: Promise<boolean>[] = []
    const ask = ({ url }: Serving) =>
      all.push(isWhole(`${url}/${all.length % 2 === 0 ? 'cold' : 'other'}/${newId()}`, agent))
    for (let i = 0; i < 20; i += 1) ask(old)
    await until(() => flights(old), 20)
    old.child.kill(signal)
    const asking = setInterval(() => ask(next), 100)
    const exitCode = await old.ended
    clearInterval(asking)
    const broken = (await Promise.all(all)).filter((whole) => !whole).length
    await wellAgain()
    agent.destroy()
    return { sent: all.length, underWay: 20, broken, exitCode }
  }

  /** Resolves to whether the whole response arrives. */
  function isWhole(url: string, agent: Agent): Promise<boolean> {
    return new Promise((resolve) => {
      get(url, { agent }, (response) => {
        response.resume()
        response.on('close', () => resolve(response.complete))
      }).on('error', () => resolve(false))
    })
  }

  test('by SIGTERM under load breaks no response, and the process exits by itself', async () => {
    const result = await deploy('SIGTERM')
    expect(result).toMatchObject({ broken: 0, exitCode: 0 })
    keepFaultResults({ deploy: result })
  })

  test('twin: by SIGKILL breaks open requests', async () => {
    expect((await deploy('SIGKILL')).broken).toBeGreaterThan(0)
  })
})

describe('a thousand requests to four processes for one expired key', () => {
  const freshMs = 5000
  const crowds: SharedKeyCrowd[] = []
  afterAll(() => {
    if (crowds.length === 2) keepFaultResults({ crowds })
  })

  async function crowd(name: string, isRedisThere: boolean): Promise<SharedKeyCrowd> {
    // The deadline of Redis is long: a process that gave up on Redis would send a statement of its own, which is the other case.
    const started = await Promise.all(
      Array.from({ length: 4 }, () => start({ redisTimeout: '10s', crowdFresh: `${freshMs}ms` })),
    )
    const path = `/crowd/${newId()}`
    if (!isRedisThere) stand.redis.proxy.set({ kind: 'reset' })
    const wellAgain = await slowStatements(0.2)
    await Promise.all(started.map(({ url }) => fetch(url + path)))
    await pause(freshMs) // the lifetime of the entry: a request before its end would prove nothing
    const count = async () => (await Promise.all(started.map(sqlCount))).reduce((sum, one) => sum + one, 0)
    const before = await count()
    const began = performance.now()
    const agent = new Agent({ keepAlive: true })
    const answers = await Promise.all(
      Array.from({ length: 1000 }, async (_, i) => {
        const { url } = started[i % started.length] as Serving
        return new Promise<number>((resolve) => {
          get(url + path, { agent }, (response) => {
            response.resume()
            response.on('end', () => resolve(response.statusCode ?? 0))
          }).on('error', () => resolve(0))
        })
      }),
    )
    const lifetimes = Math.ceil((performance.now() - began) / (freshMs * 0.9))
    const statements = (await count()) - before
    agent.destroy()
    await wellAgain()
    stand.redis.proxy.set({ kind: 'none' })
    const failed = answers.filter((status) => status !== 200).length
    return { name, clients: answers.length, processes: started.length, failed, sql: statements, lifetimes }
  }

  test('need one statement for each lifetime of the entry', async () => {
    const result = await crowd('Redis available', true)
    const { failed, sql: statements, lifetimes } = result
    expect(failed).toBe(0)
    expect(statements).toBeGreaterThan(0)
    expect(statements).toBeLessThanOrEqual(lifetimes)
    crowds.push(result)
  })

  test('twin: need more than one while Redis is down, at most one for each process', async () => {
    const result = await crowd('Redis unavailable', false)
    const { failed, sql: statements, lifetimes } = result
    expect(failed).toBe(0)
    expect(statements).toBeGreaterThan(1)
    expect(statements).toBeLessThanOrEqual(4 * lifetimes)
    crowds.push(result)
  })
})
