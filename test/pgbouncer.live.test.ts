import { spawn } from 'node:child_process'
import { chmodSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { findProgram, freePort } from '../bench/servers/programs.ts'
import { newFolder, recorded } from '../bench/servers/run-folder.ts'
import { until } from '../bench/until.ts'
import { systemClock } from '../proxy/clock.ts'
import type { Origin, Query } from '../proxy/origin/origin.ts'
import { PostgresOrigin, type PostgresSettings } from '../proxy/origin/postgres.ts'
import { checkServer } from '../proxy/origin/server-check.ts'
import { parseStatement } from '../proxy/statement.ts'
import { faultProxy } from './fault-proxy.ts'
import { startApp } from './live.ts'
import { recorder } from './support.ts'

/*
 * DATABASE_URL through PgBouncer in transaction mode, with two server connections for all clients; and the same without
 * it.
 */

const folder = newFolder('pgbouncer')
const superuser = new pg.Client({ connectionString: inject('superuserUrl') })
const serverConnections = 2
const urls = { directly: inject('databaseUrl'), 'through PgBouncer': '' }
const ways = ['directly', 'through PgBouncer'] as const
const stops: (() => void)[] = []

/** `url` with another host and port. */
function at(url: string, port: number): string {
  const moved = new URL(url)
  moved.hostname = '127.0.0.1'
  moved.port = String(port)
  return moved.href
}

async function startPgbouncer(): Promise<number> {
  const binary = findProgram('pgbouncer', 'pgbouncer')
  const { hostname, port: serverPort, username, password } = new URL(inject('databaseUrl'))
  const port = await freePort()
  const files = { ini: join(folder, `${port}.ini`), users: join(folder, 'users.txt') }
  writeFileSync(files.users, `"${decodeURIComponent(username)}" "${decodeURIComponent(password)}"\n`)
  writeFileSync(
    files.ini,
    `[databases]
* = host=${hostname} port=${serverPort || 5432}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = trust
auth_file = ${files.users}
pool_mode = transaction
default_pool_size = ${serverConnections}
max_client_conn = 200
`,
  )
  // It refuses to run as root, and drops root's rights only if told to.
  chmodSync(folder, 0o755)
  const asNobody = process.getuid?.() === 0 ? ['-u', 'nobody'] : []
  const server = recorded(spawn(binary, ['-q', ...asNobody, files.ini], { stdio: 'ignore' }))
  stops.push(() => server.kill('SIGKILL'))
  const answers = () =>
    new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1', () => resolve(true)).on('error', () => resolve(false))
      socket.on('connect', () => socket.destroy())
    })
  const state = async () =>
    server.exitCode !== null ? `ended with ${server.exitCode}` : (await answers()) && 'answers'
  expect(await until(state)).toBe('answers')
  return port
}

beforeAll(async () => {
  await superuser.connect()
  urls['through PgBouncer'] = at(inject('databaseUrl'), await startPgbouncer())
  await superuser.query(`
    create table if not exists pooled_writes (n int);
    create or replace function pooled_write() returns int language plpgsql as 'begin insert into pooled_writes values (1); return 1; end';
    grant all on pooled_writes to public`)
})
const origins: Origin[] = []
afterAll(async () => {
  await Promise.all(origins.map((origin) => origin.close()))
  for (const stop of stops) stop()
  await superuser.query('drop function if exists pooled_write; drop table if exists pooled_writes')
  await superuser.end()
})

function open(url: string, over: Partial<PostgresSettings> = {}): Origin {
  const settings = { connections: 20, statementTimeoutMs: 2000, maxRows: 1000, maxBytes: 100_000, ...over }
  const origin = new PostgresOrigin({ url, ...settings }, systemClock, recorder().observe)
  origins.push(origin)
  return origin
}

let version = 0
function query(sql: string): Query {
  version += 1
  return {
    route: 'r',
    version: `pooled${version}`,
    statement: parseStatement(sql),
    returns: 'rows',
    rows: {},
    share: { reserve: 0, queue: 10 },
  }
}

async function running(text: string): Promise<number> {
  const { rows } = await superuser.query(
    `select count(*)::int as n from pg_stat_activity where state = 'active' and query like $1 and pid <> pg_backend_pid()`,
    [`%${text}%`],
  )
  return rows[0].n
}

/** The settings that another client finds on each of the pooler's server connections. */
async function leftBehind(url: string): Promise<unknown[]> {
  const clients = Array.from({ length: serverConnections }, () => new pg.Client({ connectionString: url }))
  await Promise.all(clients.map((client) => client.connect()))
  // In concurrent transactions, so that each has a server connection of its own.
  const found = await Promise.all(
    clients.map(async (client) => {
      await client.query('begin')
      const { rows } = await client.query(`select current_setting('statement_timeout') as timeout,
        current_setting('default_transaction_read_only') as read_only, (select count(*)::int from pg_prepared_statements) as statements`)
      return rows[0]
    }),
  )
  await Promise.all(clients.map((client) => client.query('commit').then(() => client.end())))
  return found
}
const nothingLeft = Array(serverConnections).fill({ timeout: '0', read_only: 'off', statements: 0 })

/**
 * PgBouncer 1.18 and 1.19 may crash on a canceled statement (pgbouncer#822, #847), so each of those has its own
 * instance.
 */
async function portToCancelOn(way: (typeof ways)[number]): Promise<number> {
  return way === 'directly' ? Number(new URL(urls[way]).port) : startPgbouncer()
}

/** As behind a pooler that drops the setting. */
const ignored = (sent: Buffer) =>
  Buffer.from(sent.toString('latin1').replaceAll('statement_timeout', 'onramp.ignored_no'), 'latin1')

describe.each(ways)('%s', (way) => {
  test('the server passes the check, and concurrent requests each get their own answer', async () => {
    await checkServer(urls[way], 'it')
    const origin = open(urls[way])
    const own = query('select :n::int as n, :text::text as text from pg_sleep(0.001)')
    const asked = Array.from({ length: 200 }, (_, n) => ({ n, text: `it's ${n}` }))
    const answers = await Promise.all(asked.map((values) => origin.query(own, values)))
    expect(answers.map(({ json }) => JSON.parse(json)[0])).toEqual(asked)
  })

  test('a statement that fails leaves its connection usable', async () => {
    const origin = open(urls[way], { connections: 1 })
    for (let i = 0; i < 3; i += 1) {
      await expect(origin.query(query('select 1 / (1 - :n::int) as x'), { n: 1 })).rejects.toMatchObject({
        code: 'origin-failed',
      })
      expect((await origin.query(query('select 1 as x'), {})).json).toBe('[{"x":1}]')
    }
    expect(origin.connections.total).toBe(1)
  })

  test('nothing is written, not even by a function', async () => {
    const origin = open(urls[way])
    await expect(origin.query(query('select pooled_write()'), {})).rejects.toMatchObject({
      code: 'origin-failed',
      cause: { code: '25006' }, // read_only_sql_transaction
    })
    expect((await superuser.query('select * from pooled_writes')).rowCount).toBe(0)
  })

  test('the server itself ends a statement at its timeout', async () => {
    const origin = open(urls[way], { statementTimeoutMs: 1000, connections: 1 })
    await expect(origin.query(query('select pg_sleep(41)'), {})).rejects.toMatchObject({
      code: 'origin-timeout',
      cause: { code: '57014' },
    })
    expect(await running('pg_sleep(41)')).toBe(0)
    expect((await origin.query(query('select 1 as x'), {})).json).toBe('[{"x":1}]')
  })

  test('a statement that it does not end is canceled', async () => {
    const proxy = await faultProxy({ host: '127.0.0.1', port: await portToCancelOn(way) }, ignored)
    const origin = open(at(urls[way], proxy.port), { statementTimeoutMs: 1000 })
    await expect(origin.query(query('select pg_sleep(42)'), {})).rejects.toMatchObject({ code: 'origin-timeout' })
    await until(() => running('pg_sleep(42)'), 0, 30_000) // it would end on its own after 42 s
    proxy.close()
  })

  test('twin: without the cancel request it runs on', async () => {
    const without = (sent: Buffer) => {
      // A CancelRequest has the code 80877102 in place of a version.
      const isCancel = sent.length === 16 && sent.readInt32BE(4) === 80_877_102
      return isCancel ? Buffer.alloc(0) : ignored(sent)
    }
    const proxy = await faultProxy({ host: '127.0.0.1', port: await portToCancelOn(way) }, without)
    const origin = open(at(urls[way], proxy.port), { statementTimeoutMs: 1000 })
    await expect(origin.query(query('select pg_sleep(43)'), {})).rejects.toMatchObject({ code: 'origin-timeout' })
    await expect(until(() => running('pg_sleep(43)'), 0, 1500)).rejects.toThrow('last seen: 1')
    proxy.close()
    await superuser.query(
      `select pg_terminate_backend(pid) from pg_stat_activity where query like '%pg_sleep(43)%' and pid <> pg_backend_pid()`,
    )
  })

  test('private tables are rejected, and a statement can be inspected repeatedly', async () => {
    const origin = open(urls[way])
    for (let i = 0; i < 3; i += 1) {
      const { faults } = await origin.inspect(
        [query('select * from counties'), query('select * from plans')],
        ['plans'],
      )
      expect(faults).toEqual(['Route r: its statement reads plans, which is private.'])
    }
  })

  test('a statement costs one round trip', async () => {
    const proxy = await faultProxy({ host: '127.0.0.1', port: Number(new URL(urls[way]).port) })
    const origin = open(at(urls[way], proxy.port), { connections: 1 })
    const simple = query('select 1 as x')
    await origin.query(simple, {})
    const delayMs = 500
    proxy.set({ kind: 'latency', ms: delayMs })
    const began = performance.now()
    await origin.query(simple, {})
    const roundTrips = (performance.now() - began) / (2 * delayMs)
    expect(roundTrips).toBeGreaterThan(0.9)
    expect(roundTrips).toBeLessThan(1.8)
    proxy.close()
  })
})

describe('a pooler', () => {
  test('keeps no settings that the next client of its connections would find', async () => {
    const url = urls['through PgBouncer']
    const origin = open(url)
    await Promise.all(Array.from({ length: 10 }, () => origin.query(query('select 1 as x from pg_sleep(0.01)'), {})))
    await origin.inspect([query('select * from counties where county_fips = :fips')], [])
    expect(await leftBehind(url)).toEqual(nothingLeft)
  })

  test('twin: a client that sets up its session leaves the settings to others', async () => {
    const url = urls['through PgBouncer']
    const naive = new pg.Client({ connectionString: url })
    await naive.connect()
    await naive.query(`set statement_timeout = 2000`)
    const found = await leftBehind(url)
    await naive.query(`reset statement_timeout`)
    await naive.end()
    expect(found).not.toEqual(nothingLeft)
  })

  test('rejects a client that sends settings at connection, as this program once did', async () => {
    const refused = new pg.Client({ connectionString: urls['through PgBouncer'], statement_timeout: 2000 })
    await expect(refused.connect()).rejects.toThrow('unsupported startup parameter')
  })

  test('serves the example marketplace', async () => {
    const app = await startApp(urls['through PgBouncer'])
    const [county, plans] = await Promise.all([
      app.get('/api/counties/51059'),
      app.get('/api/plans/search?county=51059&ages=34,32,5&metal=Silver'),
    ])
    expect([county.status, plans.status]).toEqual([200, 200])
    expect(county.json()).toMatchObject({ county_fips: '51059' })
    await app.stop()
  })
})
