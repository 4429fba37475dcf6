import { Agent, get } from 'node:http'
import { setTimeout as after } from 'node:timers/promises'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { programs } from './program.ts'

/*
 * Overload of the database. Its capacity is known: a number of concurrent statements, each of a fixed duration. The
 * load is open: requests arrive whether or not earlier ones were answered, and each client gives up after `patienceMs`.
 */

const statementMs = 200
const atOnce = 4
const patienceMs = 2500
const capacity = (atOnce * 1000) / statementMs

const superuser = new pg.Client({ connectionString: inject('superuserUrl') })
beforeAll(async () => {
  await superuser.connect()
  await superuser.query(`create or replace function slow_read(seconds float8) returns int language plpgsql stable
    as 'begin perform pg_sleep(seconds); return 1; end'`)
})
afterAll(async () => {
  await superuser.query('drop function slow_read')
  await superuser.end()
})

const { configuration, ready } = programs('overload')

/** Starts the program with its default limits, or with practically none. */
async function start(isProtected: boolean): Promise<string> {
  const file = configuration(
    `overload-${isProtected}.yaml`,
    `
listen: { port: 0 }
admin: { port: 0 }
request: { timeout: ${isProtected ? '2s' : '10m'}, softTimeout: 100ms }
postgres: { url: "${inject('databaseUrl')}", connections: ${atOnce}, statementTimeout: 1s }
routes:
  slow:
    path: /slow/:n
    parameters: { n: { type: integer } }
    sql: select :n::int as n, slow_read(${statementMs / 1000})
    share: { limit: ${atOnce}, queue: ${isProtected ? 1000 : 100_000} }
    lifetime: { fresh: 10m, stale: 0s, staleIfError: 0s }
`,
  )
  return (await ready(['--config', file])).url
}

interface Outcome {
  status: number
  retryAfter: string | undefined
}

const agent = new Agent({ keepAlive: true })
afterAll(() => agent.destroy())

function ask(url: string): Promise<Outcome> {
  return new Promise((resolve) => {
    const request = get(url, { agent, timeout: patienceMs }, (response) => {
      response.resume().on('end', () => {
        resolve({ status: response.statusCode ?? 0, retryAfter: response.headers['retry-after'] })
      })
    })
    request.on('timeout', () => request.destroy())
    request.on('error', () => resolve({ status: 0, retryAfter: undefined })) // the client gave up
  })
}

/** Sends `perSecond` requests a second for `seconds`, to the URLs of `next`, whatever the outcomes. */
async function load(url: string, perSecond: number, seconds: number, next: () => number): Promise<Outcome[]> {
  const asked: Promise<Outcome>[] = []
  const began = performance.now()
  for (let elapsed = 0; elapsed < seconds * 1000; elapsed = performance.now() - began) {
    while (asked.length < (elapsed * perSecond) / 1000) asked.push(ask(`${url}/slow/${next()}`))
    await after(10)
  }
  return Promise.all(asked)
}

const answered = (outcomes: Outcome[]) => outcomes.filter(({ status }) => status === 200).length
const shareOf = (outcomes: Outcome[]) => answered(outcomes) / outcomes.length

let last = 0
const somethingNew = () => {
  last += 1
  return last
}

/** Three times the capacity for a while, then less than the capacity. Returns the answered requests per second. */
async function spike(url: string) {
  const seconds = 5
  await load(url, capacity * 0.7, 1, somethingNew) // opens connections and warms up the code
  const peak = await load(url, capacity, 2, somethingNew)
  const during = await load(url, capacity * 3, seconds, somethingNew)
  // Second by second, for a while: this machine may pause at times.
  const afterwards: number[] = []
  for (let second = 0; second < 4; second += 1)
    afterwards.push(shareOf(await load(url, capacity * 0.6, 1, somethingNew)))
  return {
    during,
    ofPeak: answered(during) / seconds / (answered(peak) / 2),
    inFirstSecond: afterwards[0] as number,
    recovered: Math.max(...afterwards),
  }
}

describe('a load of three times the capacity', () => {
  let within: Awaited<ReturnType<typeof spike>>
  let without: Awaited<ReturnType<typeof spike>>
  let hits: Outcome[]
  // Concurrently: the database only sleeps.
  beforeAll(async () => {
    const url = await start(true)
    const other = await start(false)
    await ask(`${url}/slow/0`)
    let isOver = false
    const hitting = (async () => {
      const outcomes: Outcome[] = []
      for (; !isOver; await after(50)) outcomes.push(await ask(`${url}/slow/0`))
      return outcomes
    })()
    ;[within, without] = await Promise.all([spike(url), spike(other)])
    isOver = true
    hits = await hitting
    const shown = (spike: typeof within) => `${spike.ofPeak.toFixed(2)}, after it ${spike.inFirstSecond.toFixed(2)}`
    process.stdout.write(
      `Of the peak, at three times the capacity: ${shown(within)}. Without limits: ${shown(without)}.\n`,
    )
  })

  test('is answered at full capacity, and a second later every request is', () => {
    expect(within.ofPeak).toBeGreaterThan(0.8)
    expect(within.recovered).toBeGreaterThan(0.95)
  })

  test('is rejected above that, with a Retry-After that differs between clients', () => {
    const refused = within.during.filter(({ status }) => status === 503)
    expect(refused.length).toBeGreaterThan(10)
    const told = new Set(refused.map(({ retryAfter }) => retryAfter))
    for (const seconds of told) expect(['1', '2', '3']).toContain(seconds)
    expect(told.size).toBeGreaterThan(1)
  })

  test('does not affect requests for cached entries', () => {
    expect(hits.length).toBeGreaterThan(10)
    expect(shareOf(hits)).toBe(1)
  })

  test('twin: with unlimited waiting, goodput collapses, and stays low after the spike', () => {
    expect(without.ofPeak).toBeLessThan(0.8)
    expect(without.inFirstSecond).toBeLessThan(0.5)
  })

  test('on a cold cache still warms it: answers are cached', async () => {
    const url = await start(true)
    const keys = capacity * 3
    let next = 0
    const cold = () => 1_000_000 + (next++ % keys)
    await load(url, capacity * 3, 5, cold)
    expect(shareOf(await load(url, capacity * 3, 1, cold))).toBeGreaterThan(0.95)
  })
})
