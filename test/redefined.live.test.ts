import pg from 'pg'
import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { type RedisServer, startRedis } from '../bench/servers/redis.ts'
import { until } from '../bench/until.ts'
import { newDatabase } from './changes.ts'
import { programs, type Serving } from './program.ts'

/* Two processes that share a Redis, while the objects their routes read are redefined. */

const { configuration, ready } = programs('redefined')
let database: Awaited<ReturnType<typeof newDatabase>>
let redis: RedisServer
let owner: pg.Client
let both: Serving[]

beforeAll(async () => {
  database = await newDatabase(
    inject('superuserUrl'),
    'redefined',
    `create table one (id int primary key, text text); insert into one values (1, 'one');
     create table two (id int primary key, text text); insert into two values (1, 'two');
     create table three (id int primary key, text text); insert into three values (1, 'three');
     create table four (id int primary key, text text); insert into four values (1, 'four');
     create table people (id int primary key, text text); insert into people values (1, 'a person');
     create materialized view kept as select text from three;
     create view seen as select text from one;
     create function told() returns text stable begin atomic select text from one; end;
     create function counted() returns int language plpgsql stable as 'begin return 1; end'`,
  )
  redis = await startRedis()
  owner = new pg.Client({ connectionString: database.url })
  await owner.connect()
  const file = configure()
  both = await Promise.all([ready(['--config', file]), ready(['--config', file])])
})
afterAll(async () => {
  await owner.end()
  for (const { child } of both) child.kill('SIGKILL')
  await redis.stop()
  await database.drop()
})

function configure(more = ''): string {
  return configuration(
    'redefined.yaml',
    `
listen: { port: 0 }
admin: { port: 0 }
redis: { url: "${redis.url}" }
postgres: { url: "${database.url}", follow: replication, privateTables: [people] }
routes:
  view: { path: /view, sql: "select text from seen" }
  function: { path: /function, sql: "select told() as text" }
  counted: { path: /counted, sql: "select counted()::text as text" }
  other: { path: /other, sql: "select text from three" }
  kept: { path: /kept, sql: "select text from kept" }
${more}`,
  )
}

/** The answers of both processes: the text, or else the status. */
const answers = (path: string) =>
  Promise.all(
    both.map(async ({ url }) => {
      const response = await fetch(url + path)
      return response.ok ? ((await response.json()) as { text: string }[])[0]?.text : response.status
    }),
  )

/** Waits until both answer `wanted`. */
const untilAnswered = (path: string, wanted: unknown) => until(() => answers(path), [wanted, wanted])

/** Waits until both processes know the objects that `route` reads. */
async function untilMadeOf(name: string, tables: string[]): Promise<void> {
  const known = ({ adminUrl }: Serving) =>
    fetch(`${adminUrl}/routes`)
      .then((response) => response.json() as Promise<{ name: string; tables: string[] }[]>)
      .then((routes) => routes.find((route) => route.name === name)?.tables)
  await until(() => Promise.all(both.map(known)), [tables, tables])
}

test.each([
  ['view', 'create or replace view seen as select text from two', ['seen', 'two']],
  ['function', 'create or replace function told() returns text stable begin atomic select text from two; end', ['two']],
])(
  'a %s that reads another table from now on: the answer changes, and so it does with that table',
  async (name, sql, tables) => {
    await untilAnswered(`/${name}`, 'one')
    await owner.query(sql)
    await untilAnswered(`/${name}`, 'two')
    await untilMadeOf(name, tables)
    await untilAnswered(`/${name}`, 'two')
    await owner.query(`update two set text = 'changed'`)
    await untilAnswered(`/${name}`, 'changed')
    await owner.query(`update two set text = 'two'`)
  },
)

test('redefining a function with an opaque body changes its answers', async () => {
  await untilAnswered('/counted', '1')
  await owner.query(`create or replace function counted() returns int language plpgsql stable as 'begin return 2; end'`)
  await untilAnswered('/counted', '2')
})

test('a route that now reads a private table is closed, the others are served; it reopens when it no longer does', async () => {
  await untilAnswered('/view', 'two')
  await owner.query('create or replace view seen as select text from people')
  await untilAnswered('/view', 503)
  await untilMadeOf('view', ['seen'])
  expect(await answers('/other')).toEqual(['three', 'three'])
  const problem = await (await fetch(`${both[0]?.url}/view`)).json()
  expect(problem).toMatchObject({
    detail:
      'Route closed: after a redefinition it reads a private table. The operator must change the route or the table.',
  })
  expect(both.map(({ errors, output }) => /reads people, which is private/.test(errors() + output()))).toEqual([
    true,
    true,
  ])
  await owner.query('create or replace view seen as select text from one')
  await untilAnswered('/view', 'one')
})

test('a refreshed materialized view changes its answers', async () => {
  await untilAnswered('/kept', 'three')
  await owner.query(`update three set text = 'four'`)
  await owner.query('refresh materialized view kept')
  await untilAnswered('/kept', 'four')
})

test('after a reload the current routes are inspected, not those of the start', async () => {
  configure('  more: { path: /more, sql: "select text from seen" }')
  for (const { adminUrl } of both) expect((await fetch(`${adminUrl}/reload`, { method: 'POST' })).status).toBe(200)
  await untilAnswered('/more', 'one')
  await owner.query('create or replace view seen as select text from two')
  await untilAnswered('/more', 'two')
  await untilMadeOf('more', ['seen', 'two'])
})

test('a redefinition during an inspection is inspected too', async () => {
  await owner.query('create or replace view seen as select text from one')
  await untilMadeOf('view', ['one', 'seen'])
  const one = both[0] as Serving
  const tables = () => fetch(`${one.adminUrl}/routes`).then((response) => response.text())
  const before = await tables()
  await owner.query('create or replace view seen as select text from three')
  await until(tables, (seen) => seen !== before)
  await owner.query('create or replace function told() returns text stable begin atomic select text from three; end')
  await untilMadeOf('view', ['seen', 'three'])
  await untilMadeOf('function', ['three'])
})

test('an inspection waits for a locked table', async () => {
  const other = new pg.Client({ connectionString: database.url })
  await other.connect()
  // The lock is requested before the view is visible, and granted as soon as it is.
  await owner.query('begin; lock table four in access exclusive mode')
  const locked = other.query('begin; lock table four in access exclusive mode')
  const isQueued = async () =>
    (await owner.query(`select from pg_locks where relation = 'four'::regclass and not granted`)).rowCount === 1
  await until(isQueued)
  await owner.query('create or replace view seen as select text from four')
  await owner.query('commit')
  await locked
  // An inspection of the routes waits for it, and times out.
  const waiting = async () => {
    const { rows } = await owner.query<{ pid: number }>(
      `select pid from pg_stat_activity where wait_event_type = 'Lock' and query ~ '^(prepare|explain)'`,
    )
    return rows.map(({ pid }) => pid)
  }
  const first = await until(waiting, (pids) => pids.length > 0)
  const isGone = async () =>
    (await owner.query('select from pg_stat_activity where pid = any ($1)', [first])).rowCount === 0
  await until(isGone)
  await other.query('rollback')
  await other.end()
  await untilMadeOf('view', ['four', 'seen'])
})
