import { spawn } from 'node:child_process'
import { once } from 'node:events'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, test } from 'vitest'
import { findProgram } from '../bench/servers/programs.ts'
import { recorded } from '../bench/servers/run-folder.ts'
import { until } from '../bench/until.ts'
import { checkCapabilities, psqlOf } from '../proxy/changes/capabilities.ts'
import { systemClock } from '../proxy/clock.ts'
import type { FollowedTable } from '../proxy/tags.ts'
import { followers, newDatabase } from './changes.ts'

/* The reports of PostgreSQL's changes, on a real server: none is lost, and none comes before the change can be read. */

const superuserUrl = () => inject('superuserUrl')
const follow = followers()
const plans: FollowedTable = { table: 'plans', columns: ['plan_id'] }
const rates: FollowedTable = { table: 'rates', columns: [] }

let database: Awaited<ReturnType<typeof newDatabase>>
let writer: pg.Client

beforeAll(async () => {
  database = await newDatabase(
    superuserUrl(),
    'changes',
    `alter database changes set logical_decoding_work_mem = '64kB';
     create table plans (plan_id text primary key, name text);
     create table rates (plan_id text, age int, premium numeric, primary key (plan_id, age));
     create table others (id int primary key);
     create table keyless (a int);
     grant select on all tables in schema public to onramp`,
  )
})
afterAll(() => database.drop())
beforeEach(async () => {
  writer = new pg.Client({ connectionString: database.url })
  await writer.connect()
  return () => writer.end()
})

const slots = async () =>
  (
    await writer.query<{ slot_name: string; active_pid: number }>(
      'select slot_name, active_pid from pg_replication_slots',
    )
  ).rows
const started = 'missed rows:plans table:plans table:rates'

describe('by replication', () => {
  test('every kind of row change is reported; rolled-back changes and other tables are not', async () => {
    const { changes, said, during } = await follow(database.url, [plans, rates], { mode: 'replication' })
    expect([changes.state, changes.mode, changes.warnings]).toEqual(['leading', 'replication', []])
    expect(said).toEqual([started])
    const told = async (...statements: string[]) =>
      during(async () => {
        for (const statement of statements) await writer.query(statement)
      })
    expect(await told(`insert into plans values ('a', 'A'), ('b', 'B')`)).toEqual([
      'changed row:plans.plan_id=a row:plans.plan_id=b table:plans',
    ])
    expect(await told(`update plans set name = 'x' where plan_id = 'a'`)).toEqual([
      'changed row:plans.plan_id=a table:plans',
    ])
    expect(await told(`update plans set plan_id = 'c' where plan_id = 'a'`)).toEqual([
      'changed row:plans.plan_id=a row:plans.plan_id=c table:plans',
    ])
    expect(await told(`delete from plans where plan_id = 'c'`)).toEqual(['changed row:plans.plan_id=c table:plans'])
    expect(await told('begin', `insert into plans values ('r', 'R')`, 'rollback')).toEqual([])
    expect(
      await told(
        'begin',
        `insert into rates values ('s', 1, 1)`,
        'savepoint one',
        `insert into plans values ('gone', '')`,
        'rollback to one',
        `insert into plans values ('kept', '')`,
        'release one',
        'commit',
      ),
    ).toEqual(['changed row:plans.plan_id=kept table:plans table:rates'])
    expect(await told(`insert into others values (1)`, 'truncate others')).toEqual([])
    expect(await told('truncate rates')).toEqual(['changed table:rates'])
    expect(await told('truncate plans')).toEqual(['changed rows:plans table:plans'])
    expect(await told(`copy plans (plan_id) from program 'seq 3'`)).toEqual([
      'changed row:plans.plan_id=1 row:plans.plan_id=2 row:plans.plan_id=3 table:plans',
    ])
    expect(await told(`insert into plans select 'many' || n from generate_series(1, 201) n`)).toEqual([
      'changed rows:plans table:plans',
    ])
    // A transaction larger than the server's memory for decoding.
    expect(await told(`insert into rates select repeat('x', 100), n, 1 from generate_series(1, 5000) n`)).toEqual([
      'changed table:rates',
    ])
    await writer.query('truncate plans, rates')
  })

  test('odd values are reported unchanged', async () => {
    const { during } = await follow(database.url, [plans, rates])
    const odd = ['', ' a', 'ü=&{}', `'"\\`, 'a\nb', '🙂']
    expect(await during(() => writer.query('insert into plans select unnest($1::text[])', [odd]))).toEqual([
      `changed ${[...odd.map((value) => `row:plans.plan_id=${value}`), 'table:plans'].sort().join(' ')}`,
    ])
    await writer.query('truncate plans')
  })

  test('a writer sends its own tags inside its transaction', async () => {
    const { during } = await follow(database.url, [plans, rates])
    const emit = (tags: unknown, isTransactional = true) =>
      writer.query(`select pg_logical_emit_message($1, 'onramp', $2)`, [isTransactional, JSON.stringify({ tags })])
    expect(await during(() => emit(['county:51059', 'table:plans']))).toEqual([
      'changed county:51059 rows:plans table:plans',
    ])
    const rolledBack = await during(async () => {
      await writer.query('begin')
      await emit(['never'])
      await writer.query('rollback')
    })
    expect(rolledBack).toEqual([])
    for (const odd of [null, 7, [7]]) expect(await during(() => emit(odd))).toEqual([])
    expect(await during(() => emit(['at once'], false))).toEqual([])
  })

  test("a change of a table's definition is reported within a heartbeat, and a recreated table is followed again", async () => {
    await writer.query('create view seen as select * from plans; create materialized view kept as select * from plans')
    const { changes, during, said, untilSaid } = await follow(database.url, [
      plans,
      rates,
      { table: 'seen', columns: [] },
      { table: 'kept', columns: [] },
    ])
    expect(changes.warnings).toEqual([
      expect.stringContaining('public.kept are not noticed: it is a materialized view'),
    ])
    const statements: [string, string][] = [
      ['alter table rates add column note text', 'changed table:rates'],
      ['create or replace view seen as select *, 1 as one from plans', 'changed table:seen'],
      ['refresh materialized view kept', 'changed table:kept'],
    ]
    for (const [statement, tags] of statements) {
      const before = said.length
      await writer.query(statement)
      await untilSaid(() => said.slice(before).includes(tags))
    }
    const before = said.length
    await writer.query(
      'drop table rates; create table rates (plan_id text, age int, premium numeric, primary key (plan_id, age))',
    )
    await untilSaid(() => said.slice(before).some((text) => text.startsWith('missed')))
    expect(said[before]).toBe('changed table:rates')
    expect(await during(() => writer.query(`insert into rates values ('a', 1, 1)`))).toEqual(['changed table:rates'])
    await writer.query('drop view seen; drop materialized view kept; truncate rates')
  })

  test('a redefinition has the routes inspected, a refresh does not, and a failed inspection is repeated', async () => {
    await writer.query(`create view seen as select * from plans; create materialized view kept as select * from plans;
      create function told() returns int language sql stable as 'select 1'`)
    let asked = 0
    let failure: Error | undefined
    const redefined = async () => {
      asked += 1
      if (failure !== undefined) throw failure
    }
    const tables = ['seen', 'kept'].map((table) => ({ table, columns: [] }))
    const { said, untilSaid } = await follow(database.url, tables, { functions: ['told()'], redefined })
    expect(asked).toBe(1) // at the start: a definition may have changed since the routes were inspected
    const run = async (statement: string, tags: string) => {
      const before = said.length
      await writer.query(statement)
      await untilSaid(() => said.slice(before).includes(tags))
    }
    await run('refresh materialized view kept', 'changed table:kept')
    await run('create or replace view seen as select *, 1 as one from plans', 'changed table:seen')
    await until(() => asked, 2)
    failure = new Error('locked')
    await run(
      `create or replace function told() returns int language sql stable as 'select 2'`,
      'changed function:told()',
    )
    await until(
      () => asked,
      (times) => times > 4,
    )
    failure = undefined
    const failed = asked
    await until(() => asked, failed + 1)
    await run('refresh materialized view kept', 'changed table:kept')
    expect(asked).toBe(failed + 1)
    await writer.query('drop view seen; drop materialized view kept; drop function told')
  })

  test('partitions and children count as their table, also those created while following', async () => {
    await writer.query(`create table years (id int, year int, primary key (id, year)) partition by list (year);
      create table y2014 partition of years for values in (2014);
      create table parent (id int primary key); create table child (primary key (id)) inherits (parent)`)
    const { during, changes } = await follow(database.url, [
      { table: 'years', columns: ['id'] },
      { table: 'parent', columns: [] },
    ])
    expect(changes.warnings).toEqual([])
    expect(await during(() => writer.query('insert into years values (1, 2014)'))).toEqual([
      'changed row:years.id=1 table:years',
    ])
    expect(await during(() => writer.query('insert into child values (1)'))).toEqual(['changed table:parent'])
    expect(await during(() => writer.query('truncate y2014'))).toEqual(['changed rows:years table:years'])
    const made = await during(async () => {
      await writer.query('create table y2015 partition of years for values in (2015)')
      await writer.query('insert into years values (2, 2015)')
    })
    expect(made).toContain('changed rows:years table:years')
    await writer.query('drop table years, child, parent')
  })

  test('a table whose updates PostgreSQL would refuse once published is not published, and a warning says so', async () => {
    const { changes, during } = await follow(database.url, [rates, { table: 'keyless', columns: [] }])
    expect(changes.warnings).toEqual([
      'Changes of public.keyless (keyless) are not noticed yet: run onramp check --db --print-sql to get the missing SQL.',
    ])
    expect(changes.why).toMatch(/1 of 2 tables/)
    expect(await during(() => writer.query('insert into keyless values (1); update keyless set a = 2'))).toEqual([])
  })
})

describe('a change is not reported before it can be read', () => {
  // Also after a test that hung: else nothing would commit any more.
  afterEach(async () => {
    const superuser = new pg.Client({ connectionString: database.url })
    await superuser.connect()
    await superuser.query('alter system reset synchronous_standby_names')
    await superuser.query('select pg_reload_conf()')
    await superuser.end()
  })

  /** A commit that is written and decoded, but waits for a standby that does not come, until `release`. */
  async function stuck(run: (release: () => Promise<void>) => Promise<void>) {
    const superuser = new pg.Client({ connectionString: database.url })
    const probe = new pg.Client({ connectionString: database.url })
    await Promise.all([superuser.connect(), probe.connect()])
    const setStandbys = async (names: string) => {
      await superuser.query(`alter system set synchronous_standby_names = '${names}'`)
      await superuser.query('select pg_reload_conf()')
    }
    const isWaiting = async ({ processID }: { processID?: number }) =>
      (await superuser.query(`select from pg_stat_activity where pid = $1 and wait_event = 'SyncRep'`, [processID]))
        .rowCount === 1
    try {
      await setStandbys('nobody')
      // A setting takes a while to reach all sessions: once one commit waits, every session has it.
      await until(async () => {
        let state = 'committing'
        const done = () => {
          state = 'done'
        }
        probe.query(`select pg_logical_emit_message(true, 'probe', '')`).then(done, done)
        return until(
          async () => ((await isWaiting(probe as { processID?: number })) ? 'waiting' : state),
          (seen) => seen !== 'committing',
        )
      }, 'waiting')
      await run(() => setStandbys(''))
    } finally {
      await setStandbys('')
      await Promise.all([superuser.end(), probe.end()])
    }
  }

  const isThere = async (client: pg.Client) =>
    (await client.query(`select from plans where plan_id = 'late'`)).rowCount === 1

  test('a commit that waits for a synchronous standby', async () => {
    const following = await follow(database.url, [plans, rates])
    await stuck(async (release) => {
      const committing = writer.query(`insert into plans values ('late', '')`)
      const reader = new pg.Client({ connectionString: database.url })
      await reader.connect()
      // Two heartbeats, which wait for no standby, come after it in the stream. They are delivered, it is not.
      const beats = following.caughtUp.length
      await until(
        () => following.caughtUp.length,
        (count) => count >= beats + 2,
      )
      expect(following.said).toEqual([started])
      expect(await isThere(reader)).toBe(false)
      await release()
      await committing
      await following.untilSaid((said) => said.includes('changed row:plans.plan_id=late table:plans'))
      expect(await isThere(reader)).toBe(true)
      await reader.end()
    })
    await writer.query('truncate plans')
  })

  test('twin: reported when decoded, a change cannot be read yet', async () => {
    const following = await follow(database.url, [plans, rates], { visible: async () => () => true })
    await stuck(async (release) => {
      const committing = writer.query(`insert into plans values ('late', '')`)
      const reader = new pg.Client({ connectionString: database.url })
      await reader.connect()
      await following.untilSaid((said) => said.includes('changed row:plans.plan_id=late table:plans'))
      expect(await isThere(reader)).toBe(false)
      await release()
      await committing
      await reader.end()
    })
    await writer.query('truncate plans')
  })
})

describe('in a fleet', () => {
  test('one process leads and the others wait; when it is gone, another leads within seconds and reports missed changes', async () => {
    const fleet = 'one'
    const first = await follow(database.url, [plans, rates], { fleet })
    const second = await follow(database.url, [rates, plans], { fleet })
    expect([first.changes.state, second.changes.state]).toEqual(['leading', 'waiting'])
    expect(second.said).toEqual([])
    expect(await slots()).toHaveLength(1)
    await first.changes.close()
    expect(first.changes.state).toBe('off')
    await second.untilSaid((said) => said.includes(started))
    await until(() => second.changes.state, 'leading')
    expect(await second.during(() => writer.query(`insert into rates values ('a', 1, 1)`))).toEqual([
      'changed table:rates',
    ])
    await writer.query('truncate rates')
  })

  test('a process with other tables, or other columns that identify rows, has a leader of its own', async () => {
    const before = await follow(database.url, [plans, rates], { fleet: 'two' })
    const after = await follow(database.url, [rates, { table: 'plans', columns: [] }], { fleet: 'two' })
    expect([before.changes.state, after.changes.state]).toEqual(['leading', 'leading'])
    const elsewhere = await newDatabase(superuserUrl(), 'changes_too', 'create table plans (plan_id text primary key)')
    const other = await follow(elsewhere.url, [plans], { fleet: 'two' })
    expect(other.changes.state).toBe('leading')
    expect(await other.during(() => writer.query(`insert into plans values ('a')`))).toEqual([])
    expect(before.said).toContain('changed row:plans.plan_id=a table:plans')
    await other.changes.close()
    await elsewhere.drop()
    await writer.query('truncate plans')
  })

  test('a change of the followed tables takes effect without a restart', async () => {
    const { changes, during, untilSaid } = await follow(database.url, [rates])
    await changes.follow({ tables: [plans, rates], functions: [] })
    await untilSaid((said) => said.includes(started))
    expect(await during(() => writer.query(`insert into plans values ('a')`))).toEqual([
      'changed row:plans.plan_id=a table:plans',
    ])
    await writer.query('truncate plans')
  })
})

describe('the server', () => {
  test.each(['the stream', 'the other session'])(
    'ends %s: following starts again, and missed changes are reported',
    async (which) => {
      const { said, untilSaid, observed, changes } = await follow(database.url, [plans, rates])
      const pid =
        which === 'the stream'
          ? (await slots())[0]?.active_pid
          : (
              await writer.query(
                `select pid from pg_stat_activity where application_name = 'onramp changes' and backend_type = 'client backend'`,
              )
            ).rows[0].pid
      await writer.query('select pg_terminate_backend($1)', [pid])
      await untilSaid(() => said.filter((text) => text === started).length === 2)
      await until(() => changes.state, 'leading')
      expect(observed.map(({ state }) => state)).toEqual(['leading', 'lost', 'leading'])
    },
  )

  test('ends the other session while the slot is made: no session holds that slot afterwards', async () => {
    const slow = new pg.Client({ connectionString: database.url })
    await slow.connect()
    await slow.query(`begin; insert into rates values ('slow', 1, 1)`) // making a slot waits for the end of this transaction
    const beginning = follow(database.url, [plans, rates])
    while ((await slots())[0]?.active_pid === undefined);
    await writer.query(
      `select pg_terminate_backend(pid) from pg_stat_activity
       where application_name = 'onramp changes' and backend_type = 'client backend'`,
    )
    const { changes, during } = await beginning
    await until(() => changes.state, 'waiting')
    await slow.query('rollback')
    await slow.end()
    await until(() => changes.state, 'leading')
    expect(await during(() => writer.query(`insert into plans values ('a')`))).toEqual([
      'changed row:plans.plan_id=a table:plans',
    ])
    await writer.query('truncate plans')
  })

  test('keeps nothing for a process that is gone, killed or ended', async () => {
    const closed = await follow(database.url, [plans])
    await closed.changes.close()
    await until(slots, []) // the server notices a moment later
    const script = `
      import { DatabaseFollower } from '${new URL('../proxy/changes/database-follower.ts', import.meta.url)}'
      import { systemClock } from '${new URL('../proxy/clock.ts', import.meta.url)}'
      const consumer = { changed() {}, missed() {}, caughtUp() {}, followed() {} }
      const changes = new DatabaseFollower({ url: process.env.URL, mode: 'auto', fleet: 'killed', consumer, clock: systemClock, random: Math.random, observe() {}, async redefined() {} })
      await changes.follow({ tables: [{ table: 'plans', columns: [] }], functions: [] })
      console.log(changes.state)
      setInterval(() => {}, 1000)`
    const env = { PATH: process.env.PATH, URL: database.url }
    const child = recorded(
      spawn(process.execPath, ['--input-type=module', '-e', script], { env, stdio: ['ignore', 'pipe', 'inherit'] }),
    )
    const [line] = await once(child.stdout, 'data')
    expect(String(line).trim()).toBe('leading')
    expect(await slots()).toHaveLength(1)
    child.kill('SIGKILL')
    await once(child, 'exit')
    await until(slots, [])
  })
})

describe('by notifications', () => {
  test('the output of print-sql, run through psql unchanged, is enough; writers without rights on it are followed too', async () => {
    const elsewhere = await newDatabase(
      superuserUrl(),
      'changes_notify',
      `create table plans (plan_id text primary key, "na'me" text);
       create table "Odd ""Name" (id int);
       create table years (id int, year int) partition by list (year);
       create table y2014 partition of years for values in (2014);
       grant select on all tables in schema public to onramp; grant insert on plans to onramp`,
    )
    const followed: FollowedTable[] = [
      plans,
      { table: '"Odd ""Name"', columns: [] },
      { table: 'years', columns: ['id'] },
    ]
    await expect(follow(elsewhere.readerUrl, followed, { mode: 'notify' })).rejects.toThrow(
      'postgres.follow is notify, but the tables have no onramp triggers; run onramp check --db --print-sql to get the missing SQL.',
    )
    const capabilities = await checkCapabilities(elsewhere.readerUrl, 'notify', { tables: followed, functions: [] })
    await psql(elsewhere.url, psqlOf(capabilities))
    // Run again, it changes nothing, and no SQL is missing.
    await psql(elsewhere.url, psqlOf(capabilities))
    expect((await checkCapabilities(elsewhere.readerUrl, 'notify', { tables: followed, functions: [] })).sql).toEqual(
      [],
    )

    const { changes, said, during } = await follow(elsewhere.readerUrl, followed, { mode: 'notify' })
    expect([changes.state, changes.mode, changes.warnings]).toEqual(['leading', 'notify', []])
    expect(said).toHaveLength(1)
    const owner = new pg.Client({ connectionString: elsewhere.url })
    const reader = new pg.Client({ connectionString: elsewhere.readerUrl })
    await Promise.all([owner.connect(), reader.connect()])
    const told = (client: pg.Client, statement: string) => during(() => client.query(statement))
    expect(await told(reader, `insert into plans values ('a'), ('"é'), (null::text || 'x')`).catch(String)).toMatch(
      /null/,
    )
    expect(await told(reader, `insert into plans values ('a'), ('"é')`)).toEqual([
      'changed row:plans.plan_id="é row:plans.plan_id=a table:plans',
    ])
    expect(await told(owner, `update plans set plan_id = 'b' where plan_id = 'a'`)).toEqual([
      'changed row:plans.plan_id=a row:plans.plan_id=b table:plans',
    ])
    expect(await told(owner, `insert into plans select 'many' || n from generate_series(1, 201) n`)).toEqual([
      'changed rows:plans table:plans',
    ])
    expect(await told(owner, `insert into plans select repeat(n::text, 300) from generate_series(1, 50) n`)).toEqual([
      'changed rows:plans table:plans',
    ])
    expect(await told(owner, 'begin; delete from plans; rollback')).toEqual([])
    expect(await told(owner, 'truncate plans')).toEqual(['changed rows:plans table:plans'])
    expect(await told(owner, 'insert into "Odd ""Name" values (1)')).toEqual(['changed table:"Odd ""Name"'])
    expect(await told(owner, 'insert into years values (1, 2014)')).toEqual(['changed row:years.id=1 table:years'])
    expect(await told(owner, 'insert into y2014 values (2, 2014)')).toEqual(['changed row:years.id=2 table:years'])
    expect(await told(owner, `select pg_notify('onramp', '{"tags":["mine","table:plans"]}')`)).toEqual([
      'changed mine rows:plans table:plans',
    ])
    await Promise.all([owner.end(), reader.end()])
    await changes.close()
    await elsewhere.drop()
  })

  test('in a fleet one process listens; when its session ends another does, and reports missed changes', async () => {
    await psql(
      database.url,
      psqlOf(await checkCapabilities(database.url, 'notify', { tables: [rates], functions: [] })),
    )
    const options = { fleet: 'listening', mode: 'notify' } as const
    const first = await follow(database.url, [rates], options)
    const second = await follow(database.url, [rates], options)
    expect([first.changes.state, second.changes.state]).toEqual(['leading', 'waiting'])
    await first.changes.close()
    await second.untilSaid((said) => said.includes('missed table:rates'))
    await until(() => second.changes.state, 'leading')
    expect(await second.during(() => writer.query(`insert into rates values ('n', 1, 1)`))).toEqual([
      'changed table:rates',
    ])
    await writer.query('drop schema onramp cascade; truncate rates')
  })
})

describe('the rights of the role', () => {
  test('a role without rights gets the missing SQL; once run through psql, following starts without a restart', async () => {
    const elsewhere = await newDatabase(
      superuserUrl(),
      'changes_asked',
      `do $$ begin create role asks login; exception when duplicate_object then null; end $$;
       alter role asks noreplication;
       create table plans (id int, plan_id text not null, unique (plan_id, id));
       create table keyless (a int)`,
    )
    const url = elsewhere.url.replace(/\/\/.*@/, '//asks:asks@')
    await psql(elsewhere.url, `alter role asks password 'asks'; grant select on plans, keyless to asks;`)
    const tables = [plans, { table: 'keyless', columns: [] }]
    const { changes, observed, during, followed } = await follow(url, tables, { clock: impatient })
    expect([changes.state, changes.mode]).toEqual(['off', 'off'])
    expect(followed).toEqual([])
    expect(changes.why).toMatch(
      /^the role asks lacks REPLICATION; the tables have no onramp triggers; run onramp check --db/,
    )
    const capabilities = await checkCapabilities(url, 'auto', { tables, functions: [] })
    expect(capabilities.sql).toEqual([
      'ALTER ROLE asks REPLICATION',
      'ALTER TABLE public.keyless REPLICA IDENTITY FULL',
      'ALTER TABLE public.plans REPLICA IDENTITY FULL',
      'CREATE PUBLICATION onramp FOR TABLE public.keyless, public.plans',
    ])
    await psql(elsewhere.url, psqlOf(capabilities))
    await until(() => changes.state, 'leading')
    expect([changes.mode, changes.warnings]).toEqual(['replication', []])
    expect(observed.map(({ state }) => state)).toEqual(['off', 'leading'])
    expect(followed).toEqual([true])
    const owner = new pg.Client({ connectionString: elsewhere.url })
    await owner.connect()
    await during(() => owner.query(`insert into plans values (1, 'a')`))
    expect(await during(() => owner.query(`update plans set plan_id = 'b'`))).toEqual([
      'changed row:plans.plan_id=a row:plans.plan_id=b table:plans',
    ])
    await owner.end()
    await changes.close()
    expect(followed).toEqual([true, false])
    expect((await checkCapabilities(url, 'auto', { tables, functions: [] })).sql).toEqual([])
    await elsewhere.drop()
    await writer.query('drop role asks')
  })

  test('the advised replica identity is an existing index, if there is one', async () => {
    await writer.query('create table advised (id int primary key, code text not null, unique (code, id))')
    const { sql } = await checkCapabilities(database.url, 'replication', {
      tables: [{ table: 'advised', columns: ['code'] }],
      functions: [],
    })
    expect(sql).toContain('ALTER TABLE public.advised REPLICA IDENTITY USING INDEX advised_code_id_key')
    await psql(database.url, `${sql.join(';\n')};`)
    expect(
      (
        await checkCapabilities(database.url, 'replication', {
          tables: [{ table: 'advised', columns: ['code'] }],
          functions: [],
        })
      ).sql,
    ).toEqual([])
    await writer.query('drop table advised')
  })

  test('off is off, and an unreachable database is tried forever', async () => {
    const off = await follow(database.url, [plans], { mode: 'off' })
    expect([off.changes.state, off.changes.why]).toEqual(['off', 'postgres.follow is off'])
    const away = await follow('postgres://onramp@127.0.0.1:1/none', [plans], { mode: 'replication' })
    expect(away.changes.state).toBe('lost')
    expect(away.observed).toHaveLength(1)
    expect([off.followed, away.followed]).toEqual([[], [true]])
  })
})

const impatient = {
  now: systemClock.now,
  after: (ms: number, run: () => void) => systemClock.after(ms === 2000 ? ms : Math.min(ms, 100), run),
}

/** Runs a script as a person would. */
async function psql(url: string, script: string): Promise<void> {
  const program = findProgram('psql', 'postgresql-client')
  const child = recorded(spawn(program, ['-qX', '-v', 'ON_ERROR_STOP=1', url], { stdio: ['pipe', 'ignore', 'pipe'] }))
  let errors = ''
  child.stderr.on('data', (text) => (errors += text))
  child.stdin.end(script)
  const [code] = await once(child, 'close')
  expect([code, errors.replaceAll(/^NOTICE:.*\n/gm, '')]).toEqual([0, ''])
}
