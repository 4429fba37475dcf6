import pg from 'pg'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { until } from '../bench/until.ts'
import { systemClock } from '../proxy/clock.ts'
import type { Origin, Query } from '../proxy/origin/origin.ts'
import { PostgresOrigin, type PostgresSettings } from '../proxy/origin/postgres.ts'
import { parseStatement } from '../proxy/statement.ts'
import { type FaultProxy, faultProxy } from './fault-proxy.ts'
import { recorder } from './support.ts'

const superuser = new pg.Client({ connectionString: inject('superuserUrl') })
beforeAll(() => superuser.connect())
afterAll(() => superuser.end())

const origins: Origin[] = []
afterAll(() => Promise.all(origins.map((origin) => origin.close())))

function open(over: Partial<PostgresSettings> = {}): Origin {
  const settings = { connections: 4, statementTimeoutMs: 2000, maxRows: 100, maxBytes: 10_000, ...over }
  const origin = new PostgresOrigin({ url: inject('databaseUrl'), ...settings }, systemClock, recorder().observe)
  origins.push(origin)
  return origin
}

let version = 0
function query(sql: string, returns: 'rows' | 'row' = 'rows'): Query {
  version += 1
  const share = { reserve: 0, queue: 10 }
  return { route: 'r', version: `test${version}`, statement: parseStatement(sql), returns, rows: {}, share }
}

/** The number of onramp's sessions that run a statement containing `text`. */
async function running(text: string): Promise<number> {
  const { rows } = await superuser.query(
    `select count(*)::int as n from pg_stat_activity where application_name = 'onramp' and state = 'active' and query like $1`,
    [`%${text}%`],
  )
  return rows[0].n
}

describe('an answer', () => {
  test('may have the maximum number of rows, and not one more', async () => {
    const origin = open()
    const most = await origin.query(query('select n from generate_series(1, 100) n order by n desc'), {})
    expect([most.rows, most.json.slice(0, 18)]).toEqual([100, '[{"n":100},{"n":99'])
    await expect(origin.query(query('select n from generate_series(1, 101) n'), {})).rejects.toMatchObject({
      code: 'origin-failed',
      message: 'The answer has more than 100 rows, the limit. Narrow the request.',
    })
  })

  test('of a million rows is stopped at the server, without time or memory here', async () => {
    const origin = open()
    const before = process.memoryUsage().rss
    const began = performance.now()
    const million = query(`select n, repeat('x', 1000) as x from generate_series(1, 1000000) n`)
    await expect(origin.query(million, {})).rejects.toMatchObject({ code: 'origin-failed' })
    expect(performance.now() - began).toBeLessThan(1000)
    expect(process.memoryUsage().rss - before).toBeLessThan(20 * 1024 ** 2)
  })

  test('may have the maximum number of bytes, and not one more; a larger one is not sent', async () => {
    const origin = open({ maxBytes: 2000 })
    const sized = (bytes: number) => query(`select repeat('x', ${bytes - '[{"x":""}]'.length}) as x`)
    expect((await origin.query(sized(2000), {})).json).toHaveLength(2000)
    await expect(origin.query(sized(2001), {})).rejects.toMatchObject({
      code: 'origin-failed',
      message: 'The answer has 2001 bytes; the limit is 2000. Narrow the request.',
    })
  })

  test('keeps the order, comments and unusual names of its statement', async () => {
    const origin = open()
    const odd = query('select 1 as "t", 2 as "t", null as "json" -- the end')
    expect((await origin.query(odd, {})).json).toBe('[{"t":1,"t":2,"json":null}]')
  })
})

describe('connections', () => {
  test('are opened ahead, up to the limit', async () => {
    const origin = open({ connections: 3 })
    await origin.warm(2)
    expect(origin.connections).toEqual({ total: 2, idle: 2, waiting: 0 })
  })

  test('survive a statement that fails or times out', async () => {
    const origin = open({ statementTimeoutMs: 500 })
    const pid = async () => (await origin.query(query('select pg_backend_pid() as pid'), {})).json
    const before = await pid()
    await expect(origin.query(query('select 1 / 0 as x'), {})).rejects.toMatchObject({ code: 'origin-failed' })
    await expect(origin.query(query('select pg_sleep(5)'), {})).rejects.toMatchObject({ code: 'origin-timeout' })
    expect(await pid()).toBe(before)
  })

  test('report the moment a statement is sent: after the wait for a connection', async () => {
    const origin = open({ connections: 1 })
    const order: string[] = []
    const first = origin.query(query('select pg_sleep(0.1)'), {}, () => order.push('first sent'))
    const second = origin.query(query('select 1 as n'), {}, () => order.push('second sent'))
    await first.then(() => order.push('first answered'))
    await second
    expect(order).toEqual(['first sent', 'first answered', 'second sent'])
  })
})

describe('a statement that the server does not stop by itself', () => {
  // As behind a pooler that drops the setting: the server gets no statement_timeout.
  const withoutTimeout = (first: Buffer) =>
    Buffer.from(first.toString('latin1').replace('statement_timeout', 'onramp.ignored_no'), 'latin1')
  const through = ({ port }: FaultProxy) => {
    const url = new URL(inject('databaseUrl'))
    url.port = String(port)
    return url.href
  }
  const target = { host: '127.0.0.1', port: Number(new URL(inject('databaseUrl')).port) }

  test('is canceled once its client has given up on it', async () => {
    const proxy = await faultProxy(target, withoutTimeout)
    const origin = open({ url: through(proxy), statementTimeoutMs: 200 })
    await expect(origin.query(query('select pg_sleep(31)'), {})).rejects.toMatchObject({ code: 'origin-timeout' })
    await until(() => running('pg_sleep(31)'), 0, 25_000) // it would end on its own after 31 s
    proxy.close()
  })

  test('twin: without the cancel request it runs on', async () => {
    const proxy = await faultProxy(target, (first) => {
      // A CancelRequest has the code 80877102 in place of a version.
      const isCancel = first.length === 16 && first.readInt32BE(4) === 80_877_102
      return isCancel ? Buffer.alloc(0) : withoutTimeout(first)
    })
    const origin = open({ url: through(proxy), statementTimeoutMs: 200 })
    await expect(origin.query(query('select pg_sleep(32)'), {})).rejects.toMatchObject({ code: 'origin-timeout' })
    await expect(until(() => running('pg_sleep(32)'), 0, 1000)).rejects.toThrow('last seen: 1')
    proxy.close()
    await superuser.query(
      `select pg_terminate_backend(pid) from pg_stat_activity where query like '%pg_sleep(32)%' and pid <> pg_backend_pid()`,
    )
  })
})
