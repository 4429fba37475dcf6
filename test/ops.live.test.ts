import pg from 'pg'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { freePort } from '../bench/servers/programs.ts'
import { until } from '../bench/until.ts'
import type { Stats } from '../proxy/ops/stats.ts'
import { programs, type Serving } from './program.ts'

const { configuration, ready, result } = programs('ops')

const settings = { listen: { port: 0 }, admin: { port: `\${ADMIN_PORT}` }, postgres: { url: `\${DATABASE_URL}` } }
const n = { type: 'integer', min: 0, max: 1000 }
const lifetime = (fresh: string) => ({ fresh, stale: '1h', staleIfError: '1h' })
const routes = {
  still: {
    path: '/still/:n',
    parameters: { n },
    sql: 'select * from ops_still where n = :n',
    lifetime: lifetime('200ms'),
  },
  busy: {
    path: '/busy/:n',
    parameters: { n },
    sql: 'select * from ops_busy where n = :n',
    lifetime: lifetime('2s'),
  },
  audited: {
    path: '/audited/:n',
    parameters: { n },
    sql: 'select * from ops_audited where n = :n',
    lifetime: lifetime('1h'),
    audit: '100%',
  },
  trusted: {
    path: '/trusted/:n',
    parameters: { n },
    sql: 'select * from ops_audited where n = :n',
    lifetime: lifetime('1h'),
  },
  failing: { path: '/failing/:n', parameters: { n }, sql: 'select 1 / :n::int as n' },
}
const file = configuration('ops.yaml', JSON.stringify({ ...settings, routes }))

const owner = new pg.Client(inject('ownerUrl'))
/** Shared by all tests except those that end their program. */
let program: Serving
let environment: Record<string, string>

const tables = ['ops_still', 'ops_busy', 'ops_audited']

beforeAll(async () => {
  await owner.connect()
  for (const table of tables)
    await owner.query(
      `drop table if exists ${table}; create table ${table} as select n, 0 as version from generate_series(1, 20) n; grant select on ${table} to public`,
    )
  environment = { ADMIN_PORT: String(await freePort()) }
  program = await ready(['--config', file], environment)
})

afterAll(async () => {
  for (const table of tables) await owner.query(`drop table ${table}`)
  await owner.end()
})

const statsOf = async ({ adminUrl }: Serving): Promise<Stats> =>
  (await fetch(`${adminUrl}/stats`)).json() as Promise<Stats>

describe('onramp tune', () => {
  test('exits with 1 and says so when no onramp runs', async () => {
    const nowhere = { ADMIN_PORT: String(await freePort()) }
    const { code, output, errors } = await result(['tune', '--config', file], nowhere)
    expect([code, output]).toEqual([1, ''])
    expect(errors).toMatch(
      /^No onramp answers on http:\/\/127\.0\.0\.1:\d+ \(the admin listener\): connect ECONNREFUSED/,
    )
  })

  test('exits with 1 and says so when the admin port is unknown', async () => {
    const { code, errors } = await result(['tune', '--config', file], { ADMIN_PORT: '0' })
    expect([code, errors]).toEqual([1, expect.stringContaining('ADMIN_PORT')])
  })

  test('exits with 0 and says so before anything was measured', async () => {
    const { code, output } = await result(['tune', '--config', file], environment)
    expect([code, output]).toEqual([0, expect.stringMatching(/^No measurements in the \d+ s since the start/)])
  })

  test('distinguishes a table that never changes from one that changes every second', async () => {
    const changing = setInterval(() => void owner.query('update ops_busy set version = version + 1'), 1000)
    try {
      const kinds = async () => {
        for (const route of ['still', 'busy'])
          for (let i = 1; i <= 20; i += 1) await (await fetch(`${program.url}/${route}/${i}`)).text()
        const { advice } = await statsOf(program)
        const kindOf = (name: string) => advice.find(({ route }) => route === name)?.kind
        return [kindOf('still'), kindOf('busy')]
      }
      await until(kinds, ['lengthen', 'shorten'])
    } finally {
      clearInterval(changing)
    }
    const { code, output } = await result(['tune', '--config', file], environment)
    expect(code).toBe(0)
    const [, compared, saved] =
      /^ {2}still: 0 of ([\d,]+) refreshes changed the answer; raising fresh from 200ms to \S+ would save (\d+) % of its SQL\.$/m.exec(
        output,
      ) ?? []
    const [, changed, ofAll] =
      /^ {2}busy: ([\d,]+) of ([\d,]+) refreshes changed the answer; its answers are outdated /m.exec(output) ?? []
    const number = (text = '') => Number(text.replaceAll(',', ''))
    const { routes } = await statsOf(program)
    // Every statement after the first of each of the twenty keys was a refresh. The latest ones may not be counted yet.
    expect(number(compared)).toBeLessThanOrEqual((routes.still?.queries as number) - 20)
    expect(number(compared)).toBeGreaterThan(100)
    expect(Number(saved)).toBeGreaterThan(20)
    expect(number(changed)).toBeGreaterThan(number(ofAll) * 0.6)
    expect(output).toMatch(/^To do:\n/)
  })
})

describe('an audited route', () => {
  test('reports the row that changed without a purge, and no row that changed with one', async () => {
    const get = async (path: string) => {
      const answer = await fetch(program.url + path)
      return { body: await answer.text(), cacheStatus: answer.headers.get('cache-status') }
    }
    const audits = async () => (await statsOf(program)).routes.audited?.audit
    const before = await get('/audited/1')
    const hit = await get('/audited/1')
    expect(hit.cacheStatus).toContain('hit')
    await until(async () => (await audits())?.match, 1)

    await owner.query('update ops_audited set version = 1 where n = 1')
    const stale = await get('/audited/1')
    expect([stale.body, stale.cacheStatus]).toEqual([before.body, expect.stringContaining('hit')])
    await until(async () => (await audits())?.mismatch, 1)
    expect(await audits()).toMatchObject({ match: 1, mismatch: 1, overtaken: 0, failed: 0 })
    expect((await audits())?.worstStaleSeconds).toBeGreaterThan(0)
    const metrics = await (await fetch(`${program.adminUrl}/metrics`)).text()
    expect(metrics).toContain('onramp_audits_total{route="audited",outcome="mismatch"} 1')
    expect(program.output()).toMatch(/"event":"audit-mismatch","route":"audited","ageSeconds":[\d.]+,/)

    // The same change, followed by a purge.
    await owner.query('update ops_audited set version = 2 where n = 1')
    const headers = { 'Content-Type': 'application/json' }
    await fetch(`${program.adminUrl}/purge`, { method: 'POST', headers, body: '{"route":"audited"}' })
    expect((await get('/audited/1')).body).toContain('"version":2')
    const matches = (await audits())?.match ?? 0
    await get('/audited/1')
    await until(
      async () => (await audits())?.match ?? 0,
      (count) => count > matches,
    )
    expect((await audits())?.mismatch).toBe(1)
  })

  test('twin: a route without audits serves the same outdated row, and reports nothing', async () => {
    const get = async () => (await fetch(`${program.url}/trusted/2`)).text()
    const before = await get()
    await owner.query('update ops_audited set version = 7 where n = 2')
    for (let i = 0; i < 50; i += 1) expect(await get()).toBe(before)
    const { routes } = await statsOf(program)
    expect(routes.trusted).toMatchObject({ memory: 50, queries: 1 })
    expect(routes.trusted).not.toHaveProperty('audit')
  })
})

describe('the log', () => {
  test("has each failed request under its request id, the client's or its own, and the end with the signal", async () => {
    const program = await ready(['--config', file])
    const ask = async (id?: string) => {
      const answer = await fetch(`${program.url}/failing/0`, {
        headers: id === undefined ? {} : { 'X-Request-Id': id },
      })
      expect(answer.status).toBe(500)
      return answer.headers.get('x-request-id') as string
    }
    expect(await ask('order-17/a')).toBe('order-17/a')
    const own = [await ask(), await ask('no "quotes"'), await ask('x'.repeat(129))]
    for (const id of own) expect(id).toMatch(/^[\w]+-[\w]+$/)
    expect(new Set(own).size).toBe(3)
    program.child.kill('SIGTERM')
    expect(await program.ended).toBe(0)
    const lines = program
      .output()
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line))
    const ids = lines.filter(({ event }) => event === 'request-failed').map(({ requestId }) => requestId)
    expect(ids).toEqual(['order-17/a', ...own])
    expect(lines.find(({ event }) => event === 'draining')).toMatchObject({ signal: 'SIGTERM' })
    expect(lines.at(-1)).toMatchObject({ event: 'drained', durationSeconds: expect.any(Number) })
  })
})
