import pg from 'pg'
import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { systemClock } from '../proxy/clock.ts'
import { readConfig } from '../proxy/config/load.ts'
import type { Config } from '../proxy/config/schema.ts'
import { prepare } from '../proxy/http/routes/prepare.ts'
import { PostgresOrigin } from '../proxy/origin/postgres.ts'
import { newDatabase } from './changes.ts'

/* The checks of row rules against real plans of PostgreSQL. */

let database: Awaited<ReturnType<typeof newDatabase>>
beforeAll(async () => {
  database = await newDatabase(
    inject('superuserUrl'),
    'rows',
    `create collation anycase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
     create table plans (id text primary key, n int, short char(3), u uuid, price numeric, word text collate anycase, v varchar(9));
     create table parts (id text, year int, primary key (id, year)) partition by list (year);
     create table parts_2014 partition of parts for values in (2014);
     create table parts_2015 partition of parts for values in (2015);
     create view seen as select * from plans where n > 0`,
  )
})
afterAll(() => database.drop())

const shipped = () => readConfig(new URL('../config/onramp.yaml', import.meta.url).pathname, {})

/** The faults, or else the warnings, for one route. */
async function said(sql: string, rows: Record<string, Record<string, string>>, url = database.url): Promise<string> {
  const origin = new PostgresOrigin(
    { url, connections: 1, statementTimeoutMs: 10_000, maxRows: 10, maxBytes: 1000 },
    systemClock,
    () => {},
  )
  const config = shipped()
  const [like] = config.routes
  const text = { type: 'string', minLength: 1, maxLength: 9, lowercase: false, default: undefined } as const
  const all: Config['routes'][number]['parameters'] = {
    id: text,
    n: { type: 'integer', min: 0, max: 9, default: undefined },
    ids: { type: 'list', items: text, minItems: 1, maxItems: 9, sorted: true, unique: true, default: undefined },
  }
  const parameters = Object.fromEntries(Object.entries(all).filter(([name]) => new RegExp(`:${name}\\b`).test(sql)))
  const route = { ...(like as Config['routes'][number]), name: 'one', path: '/one', sql, parameters, rows }
  try {
    const { inspection } = await prepare(
      { ...config, postgres: { ...config.postgres, privateTables: [] }, routes: [route] },
      origin,
    )
    return inspection.warnings.join(' ')
  } catch (error) {
    return (error as Error).message
  } finally {
    await origin.close()
  }
}

test.each([
  ['by key', 'select * from plans where id = :id::text', { plans: { id: 'id' } }],
  ['by whole number', 'select * from plans where n = :n::int', { plans: { n: 'n' } }],
  ['by varchar', 'select * from plans where v = :id', { plans: { v: 'id' } }],
  ['by one of a list', 'select * from plans where id = any (:ids::text[])', { plans: { id: 'ids' } }],
  ['among other conditions', 'select * from plans where id = :id::text and (n = 1 or n = 2)', { plans: { id: 'id' } }],
  [
    'by the join column of another table',
    'select 1 from parts join plans using (id) where parts.id = :id::text',
    { plans: { id: 'id' }, parts: { id: 'id' } },
  ],
  ['through a view', 'select * from seen where id = :id::text', { plans: { id: 'id' } }],
  ['in every partition', 'select * from parts where id = :id::text', { parts: { id: 'id' } }],
])('a statement that reads no other rows is accepted without a warning: %s', async (_how, sql, rows) => {
  expect(await said(sql, rows as never)).toBe('')
})

test.each([
  ['other rows too', 'select * from plans where id = :id::text or n = 1', { plans: { id: 'id' } }],
  [
    'all rows if the parameter is not given',
    'select * from plans where :id::text is null or id = :id::text',
    { plans: { id: 'id' } },
  ],
  [
    'the table once more',
    'select (select count(*) from plans) from plans where id = :id::text',
    { plans: { id: 'id' } },
  ],
  ['a part of the value', 'select * from plans where id = left(:id::text, 1)', { plans: { id: 'id' } }],
])('a statement that reads %s gets a warning', async (_what, sql, rows) => {
  expect(await said(sql, rows)).toMatch(
    /^Route one: rows says that only rows of plans with id = :id matter, but the plan does not show it/,
  )
})

test.each([
  [
    'a table it does not read',
    'select * from plans where id = :id::text',
    { plan: { id: 'id' } },
    'rows names plan, which its statement does not read',
  ],
  [
    'a column that is not there',
    'select * from plans where id = :id::text',
    { plans: { ids: 'id' } },
    'rows names the column ids, which plans does not have.',
  ],
  [
    'char(n)',
    'select * from plans where short = :id',
    { plans: { short: 'id' } },
    'its type is character, but the parameter holds texts.',
  ],
  [
    'uuid',
    'select * from plans where u = :id::text::uuid',
    { plans: { u: 'id' } },
    'its type is uuid, but the parameter holds texts.',
  ],
  [
    'numeric',
    'select * from plans where price = :n::int',
    { plans: { price: 'n' } },
    'its type is numeric, but the parameter holds integers.',
  ],
  [
    'whole numbers by texts',
    'select * from plans where n = :id::text::int',
    { plans: { n: 'id' } },
    'its type is integer, but the parameter holds texts.',
  ],
  [
    'texts by whole numbers',
    'select * from plans where id = :n::int::text',
    { plans: { id: 'n' } },
    'its type is text, but the parameter holds integers.',
  ],
  [
    'a collation',
    'select * from plans where word = :id::text',
    { plans: { word: 'id' } },
    'its type is text with a nondeterministic collation',
  ],
])('%s is rejected', async (_what, sql, rows, sentence) => {
  expect(await said(sql, rows as never)).toContain(sentence)
})

test('the row rules of the shipped routes hold, as far as the plans show', async () => {
  const config = shipped()
  expect(config.routes.filter(({ rows }) => Object.keys(rows).length > 0).length).toBeGreaterThan(1)
  const { connections, maxRows, maxBytes } = config.postgres
  const origin = new PostgresOrigin(
    { url: inject('databaseUrl'), connections, maxRows, maxBytes, statementTimeoutMs: 10_000 },
    systemClock,
    () => {},
  )
  expect((await prepare(config, origin)).inspection.warnings).toEqual([])
  await origin.close()
})

test('the rejected types have equal values with different texts', async () => {
  const client = new pg.Client({ connectionString: database.url })
  await client.connect()
  const { rows } = await client.query(
    `select 'a'::char(3) = 'a ' as padded, '1.0'::numeric = '1' as numeric, 'a' = 'A' collate anycase as folded,
       'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'::uuid = 'a0eebc999c0b4ef8bb6d6bb9bd380a11' as uuid`,
  )
  expect(rows[0]).toEqual({ padded: true, numeric: true, folded: true, uuid: true })
  await client.end()
})
