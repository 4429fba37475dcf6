import pg from 'pg'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { isFull, keepFaultResults } from '../bench/fault-results.ts'
import { systemClock } from '../proxy/clock.ts'
import { GuardedOrigin } from '../proxy/origin/guard.ts'
import type { Origin, Query } from '../proxy/origin/origin.ts'
import { PostgresOrigin } from '../proxy/origin/postgres.ts'
import { parseStatement } from '../proxy/statement.ts'

/* A statement of five seconds, requested fifty times a second, beside a quick statement. */

const connections = 10
const statementMs = 2000
const superuser = new pg.Client({ connectionString: inject('superuserUrl') })
beforeAll(() => superuser.connect())
afterAll(() => superuser.end())

const origins: Origin[] = []
afterAll(() => Promise.all(origins.map((origin) => origin.close())))

function bare(): Origin {
  const settings = { connections, statementTimeoutMs: statementMs, maxRows: 100, maxBytes: 10_000 }
  const origin = new PostgresOrigin({ url: inject('databaseUrl'), ...settings }, systemClock, () => {})
  origins.push(origin)
  return origin
}

function query(route: string, sql: string): Query {
  return {
    route,
    version: route,
    statement: parseStatement(sql),
    returns: 'rows',
    rows: {},
    share: { reserve: 0, queue: 1000 },
  }
}
const slow = query('slow', 'select pg_sleep(5)')
const quick = query('quick', 'select count(*) as n from plans')

/**
 * Runs the quick statement for `seconds`, one at a time. Returns each duration in milliseconds, and the number of
 * failures.
 */
async function quicks(origin: Origin, seconds: number): Promise<{ took: number[]; failed: number }> {
  const took: number[] = []
  let failed = 0
  const until = performance.now() + seconds * 1000
  while (performance.now() < until) {
    const began = performance.now()
    await origin.query(quick, {}).catch(() => {
      failed += 1
    })
    took.push(performance.now() - began)
  }
  return { took, failed }
}

/** The same, while the slow statement is requested 50 times a second. */
async function beside(origin: Origin, seconds: number) {
  const asked: Promise<unknown>[] = []
  const timer = setInterval(() => asked.push(origin.query(slow, {}).catch(() => {})), 20)
  try {
    return await quicks(origin, seconds)
  } finally {
    clearInterval(timer)
    await Promise.all(asked)
  }
}

const percentile = (times: number[], share: number) =>
  times.toSorted((a, b) => a - b)[Math.min(times.length - 1, Math.floor(times.length * share))] as number

/** Alternates between alone and beside it, so that other load on this machine affects both. */
async function compare(origin: Origin, rounds: number) {
  await origin.warm(4)
  await quicks(origin, 0.5)
  const [alone, together] = [[] as number[], [] as number[]]
  let failed = 0
  for (let round = 0; round < rounds; round += 1) {
    alone.push(...(await quicks(origin, 1)).took)
    const { took, failed: lost } = await beside(origin, 1)
    together.push(...took)
    failed += lost
  }
  const ratio = (share: number) => percentile(together, share) / percentile(alone, share)
  const asked = together.length
  return { median: ratio(0.5), p90: ratio(0.9), p99: ratio(0.99), answered: asked / alone.length, asked, failed }
}

describe('a quick statement beside one of five seconds', () => {
  test('takes as long as alone, and never fails', async () => {
    const guards = { slots: connections, waitMs: 1000, statementMs, isOverloaded: () => false }
    const { median, p90, p99, answered, asked, failed } = await compare(
      new GuardedOrigin(bare(), guards, systemClock, () => {}),
      isFull ? 20 : 3,
    )
    keepFaultResults({ beside: { asked, failed, p50Ratio: median, p99Ratio: p99 } })
    process.stdout.write(
      `Beside pg_sleep(5): median ${median.toFixed(2)}, p90 ${p90.toFixed(2)}, p99 ${p99.toFixed(2)}.\n`,
    )
    expect(failed).toBe(0)
    expect(answered).toBeGreaterThan(0.7)
    expect(median).toBeLessThan(1.5)
    expect(p90).toBeLessThan(2)
  }, 180_000)

  test('twin: without the bulkhead it waits for all earlier statements', async () => {
    const { answered } = await compare(bare(), 2)
    expect(answered).toBeLessThan(0.5)
  })
})
