import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { Agent, get } from 'node:http'
import { connect, createServer } from 'node:net'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { freePort } from '../bench/servers/programs.ts'
import { recorded } from '../bench/servers/run-folder.ts'
import { until } from '../bench/until.ts'
import { sockets } from '../proxy/http/listener.ts'
import { programs } from './program.ts'

/* The program as people run it: process, arguments, environment, signals, exit codes. */

const shipped = new URL('../config/onramp.yaml', import.meta.url).pathname
const { configuration, ready, result } = programs('program')
let superuser: pg.Client
/** A second session: inside a transaction, pg_stat_activity does not change. */
let watcher: pg.Client

beforeAll(async () => {
  superuser = new pg.Client({ connectionString: inject('superuserUrl') })
  watcher = new pg.Client({ connectionString: inject('superuserUrl') })
  await Promise.all([superuser.connect(), watcher.connect()])
})
afterAll(() => Promise.all([superuser.end(), watcher.end()]))

describe('onramp', () => {
  test('prints its addresses, tiers, database without its password, routes, and three things to try', async () => {
    const withPassword = inject('superuserUrl')
    const program = await ready([], { DATABASE_URL: withPassword })
    expect(program.output()).toMatch(/14 routes/)
    expect(program.output()).toMatch(/tiers +memory\n/)
    expect(program.output().match(/^ {2}curl /gm)).toHaveLength(3)
    const password = new URL(withPassword).password
    if (password !== '') expect(program.output()).not.toContain(password)
    expect((await fetch(`${program.url}/api/states`)).status).toBe(200)
  })

  test('shares its port with another process only if listen.reusePort is true', async () => {
    const port = await freePort()
    const file = (name: string, reusePort: boolean) =>
      configuration(
        `${name}.yaml`,
        `
listen: { port: ${port}, reusePort: ${reusePort} }
admin: { port: 0 }
postgres: { url: "${inject('databaseUrl')}" }
routes:
  ${name}: { path: /name, sql: "select '${name}' as name" }
`,
      )
    await ready(['--config', file('one', true)])
    const { code, errors } = await result(['--config', file('alone', false)])
    expect([code, errors]).toEqual([1, expect.stringContaining('the address is in use')])
    await ready(['--config', file('two', true)])
    const answering = new Set<string>()
    // Each connection goes to a random process: 60 connections to the same one are practically impossible.
    for (let i = 0; i < 60 && answering.size < 2; i += 1) {
      answering.add(await (await fetch(`http://127.0.0.1:${port}/name`, { headers: { Connection: 'close' } })).text())
    }
    expect([...answering].sort()).toEqual(['[{"name":"one"}]', '[{"name":"two"}]'])
  })

  test.runIf(process.platform === 'linux')(
    'listens with several sockets, so that an overloaded process accepts more than one connection a turn, and no other process may',
    async () => {
      const port = await freePort()
      const file = configuration(
        'sockets.yaml',
        `
listen: { port: ${port} }
admin: { port: 0 }
limits: { maxConnections: 40 }
postgres: { url: "${inject('databaseUrl')}" }
routes:
  name: { path: /name, sql: "select 1 as name" }
`,
      )
      const program = await ready(['--config', file])
      const listening = () =>
        readFileSync('/proc/net/tcp', 'utf8')
          .split('\n')
          .filter((line) => new RegExp(`:${port.toString(16).padStart(4, '0')} \\S+ 0A `, 'i').test(line)).length
      expect(listening()).toBe(sockets)
      expect((await result(['--config', file])).errors).toContain('the address is in use')
      // All sockets have the same limit.
      const opened = Array.from({ length: 60 }, () => connect(port, '127.0.0.1'))
      const closed = new Set<number>()
      for (const [i, socket] of opened.entries()) {
        socket.on('error', () => {}) // closed at once
        socket.on('close', () => closed.add(i))
      }
      await until(() => closed.size, 20)
      for (const socket of opened) socket.destroy()
      const status = () =>
        fetch(program.url).then(
          (response) => response.status,
          () => 0,
        )
      await until(status, 404)
      program.child.kill('SIGTERM')
      await program.ended
      expect(listening()).toBe(0)
    },
  )

  test.each(['SIGTERM', 'SIGINT'] as const)(
    'ends on %s with code 0, after the request in flight is answered',
    async (signal) => {
      const file = configuration(
        'patient.yaml',
        `
listen: { port: 0 }
admin: { port: 0 }
postgres: { url: "${inject('databaseUrl')}", statementTimeout: 20s }
request: { timeout: 25s }
routes:
  held: { path: /held, sql: "select plan_id from plan_county limit 1" }
`,
      )
      const program = await ready(['--config', file])
      await superuser.query('begin')
      await superuser.query('lock table plan_county in access exclusive mode')
      const asking = fetch(`${program.url}/held`)
      await until(
        () => watcher.query(`select from pg_stat_activity where wait_event_type = 'Lock'`),
        ({ rows }) => rows.length > 0,
      )
      program.child.kill(signal)
      const refused = async () =>
        fetch(`${program.url}/nowhere`).then(
          () => false,
          () => true,
        )
      await until(refused)
      await superuser.query('commit')
      const answer = await asking
      expect([answer.status, Array.isArray(await answer.json())]).toEqual([200, true])
      expect(await program.ended).toBe(0)
      expect(program.errors()).toBe('')
    },
  )

  test('ends with npm, if run by npm', async () => {
    const env = { ...process.env, DATABASE_URL: inject('databaseUrl'), REDIS_URL: '', PORT: '0', ADMIN_PORT: '0' }
    const cwd = new URL('..', import.meta.url).pathname
    const child = recorded(spawn('npm', ['start'], { cwd, stdio: ['ignore', 'pipe', 'ignore'], env }))
    let output = ''
    child.stdout.on('data', (text) => {
      output += text
    })
    const saying = (text: string) => (said: string) => said.includes(text)
    await until(() => output, saying('\nTry:'))
    const url = /clients +(http:\S+)/.exec(output)?.[1]
    child.kill('SIGTERM')
    await until(() => output, saying('SIGTERM: finishing'))
    const serves = () =>
      fetch(`${url}/nowhere`).then(
        () => true,
        () => false,
      )
    await until(serves, false)
  })

  test('hands its clients over gradually: each gets its answers, and not all connections end at once', async () => {
    const program = await ready()
    const agents = Array.from({ length: 300 }, () => new Agent({ keepAlive: true, maxSockets: 1 }))
    const ask = (agent: Agent) =>
      new Promise<{ status: number | undefined; isLast: boolean }>((resolve, reject) => {
        const asked = get(`${program.url}/api/states`, { agent }, (response) => {
          response.resume()
          const { statusCode: status, headers } = response
          response.on('end', () => resolve({ status, isLast: headers.connection === 'close' }))
        })
        asked.on('error', reject)
      })
    const askAll = (some: Agent[]) => Promise.all(some.map(ask))
    await askAll(agents)
    program.child.kill('SIGTERM')
    await until(program.output, (said) => said.includes('SIGTERM: finishing'))
    // Ten connections are told at once, and ten more every 50 ms.
    const waves: number[] = []
    let open = agents
    while (open.length > 0) {
      const answers = await askAll(open)
      expect(answers.every(({ status }) => status === 200)).toBe(true)
      waves.push(answers.filter(({ isLast }) => isLast).length)
      open = open.filter((_agent, i) => !answers[i]?.isLast)
    }
    expect(waves[0]).toBeGreaterThan(0)
    expect(waves[0]).toBeLessThan(agents.length)
    expect(waves.length).toBeGreaterThan(2)
    expect(await program.ended).toBe(0)
    for (const agent of agents) agent.destroy()
  })

  test('continues when its output is no longer read', async () => {
    const program = await ready([], { LOG_LEVEL: 'debug' })
    program.child.stdout.destroy()
    program.child.stderr.destroy()
    for (let i = 0; i < 3; i += 1) expect((await fetch(`${program.url}/api/states`)).status).toBe(200)
    program.child.kill('SIGTERM')
    const code = await new Promise((resolve) => program.child.on('exit', resolve))
    expect(code).toBe(0)
  })

  test('shows how to send the token, but not the token', async () => {
    const program = await ready([], { ADMIN_TOKEN: 'very-secret', HOST: '0.0.0.0' })
    expect(program.output()).toContain('-H "Authorization: Bearer $ADMIN_TOKEN"')
    expect(program.output()).not.toContain('very-secret')
    expect(program.output()).toMatch(/clients +http:\/\/0\.0\.0\.0:/)
    expect(program.output()).toMatch(/curl -i 'http:\/\/127\.0\.0\.1:\d+\/api\/states'/)
  })

  test('reloads its configuration at run time: new lifetimes apply to cached entries, new routes exist, a fault keeps the old one', async () => {
    const text = (fresh: string, extra = '') => `
listen: { port: 0 }
admin: { port: 0 }
postgres: { url: "${inject('databaseUrl')}" }
routes:
  one: { path: /one, sql: "select county_fips from counties where county_fips = '51059'", lifetime: { fresh: ${fresh} } }
${extra}`
    const file = configuration('reload.yaml', text('1h'))
    const program = await ready(['--config', file])
    const get = async (path: string) => (await fetch(program.url + path)).headers.get('cache-status')
    const reload = async () => {
      const response = await fetch(`${program.adminUrl}/reload`, { method: 'POST' })
      return { status: response.status, body: await response.json() }
    }
    await get('/one')
    expect(await get('/one')).toMatch(/^onramp; hit; ttl=3\d\d\d; detail=memory$/)
    expect(program.output()).toMatch(/curl -i 'http:\S+\/one'\n.*\/routes\n.*\{"route":"one"\}/)
    configuration('reload.yaml', text('1m', '  two: { path: /two, sql: "select 2 as n" }'))
    expect(await reload()).toEqual({ status: 200, body: { changed: ['one', 'two'], needRestart: [] } })
    expect(await get('/one')).toMatch(/^onramp; hit; ttl=5\d; detail=memory$/)
    expect(await get('/two')).toContain('stored')
    configuration('reload.yaml', text('1 minute'))
    expect(await reload()).toMatchObject({
      status: 422,
      body: { errors: [expect.stringContaining('routes.one.lifetime.fresh')] },
    })
    configuration('reload.yaml', text('1m', '  two: { path: /two, sql: "select no_such_column" }'))
    expect(await reload()).toMatchObject({ status: 422, body: { errors: [expect.stringContaining('no_such_column')] } })
    expect(await get('/two')).toContain('detail=memory')
  })
})

describe('a failed start ends with one plain sentence and an exit code', () => {
  const sentence = (errors: string) => {
    expect(errors.trim().split('\n')).toHaveLength(1)
    return errors
  }

  test('a port in use: 1', async () => {
    const port = await freePort()
    const squatter = createServer().listen(port, '127.0.0.1')
    for (const variable of ['PORT', 'ADMIN_PORT']) {
      const { code, errors } = await result([], { [variable]: String(port) })
      expect([code, sentence(errors)]).toEqual([
        1,
        `onramp cannot listen on 127.0.0.1:${port}: the address is in use. Set ${variable} to another port.\n`,
      ])
    }
    squatter.close()
  })

  test('an unreachable database: 1, without its password', async () => {
    const { code, errors } = await result([], {
      DATABASE_URL: `postgres://me:hunter22@127.0.0.1:${await freePort()}/x`,
    })
    expect(code).toBe(1)
    expect(sentence(errors)).toMatch(/^The database at postgres:\/\/me@127\.0\.0\.1:\d+\/x cannot be reached: /)
    expect(errors).not.toContain('hunter22')
  })

  test('a database without the tables: 1, each route and table named', async () => {
    const { code, errors } = await result([], { DATABASE_URL: inject('superuserUrl').replace(/\/[^/]*$/, '/postgres') })
    expect(code).toBe(1)
    expect(errors).toContain('Route states: the database rejects its statement: relation "plans" does not exist')
  })

  test('a missing file: 1', async () => {
    const { code, errors } = await result(['--config', 'nowhere.yaml'])
    expect([code, sentence(errors)]).toEqual([
      1,
      expect.stringMatching(/^The configuration file nowhere\.yaml cannot be read: ENOENT/),
    ])
  })

  test.each([
    [['--confg', 'x'], 'did you mean --config?'],
    [['chekc'], 'did you mean check?'],
    [['serve', 'more'], 'Unexpected arguments after serve'],
    [['--db'], '--db is an option of check only'],
    [['--config'], "'--config <value>' argument missing"],
  ])('wrong usage %j: 2, with the usage text', async (args, words) => {
    const { code, errors, output } = await result(args)
    expect([code, output]).toEqual([2, ''])
    expect(errors).toContain(words)
    expect(errors).toContain('onramp [serve] [--config FILE]')
  })

  test('a non-loopback admin address without a token: 1', async () => {
    const file = configuration('open.yaml', 'admin: { host: 0.0.0.0 }\nroutes: {}\n')
    const { code, errors } = await result(['--config', file])
    expect([code, sentence(errors)]).toEqual([
      1,
      expect.stringContaining('admin.host: "0.0.0.0" is not a loopback address'),
    ])
  })
})

describe('onramp check', () => {
  test('accepts the shipped configuration, and with --db shows each parameter’s type and each route’s tables', async () => {
    const plain = await result(['check'], { DATABASE_URL: 'postgres://nobody@127.0.0.1:1/x' })
    expect([plain.code, plain.errors, plain.output]).toEqual([
      0,
      '',
      expect.stringMatching(/onramp\.yaml: 14 routes, no faults\.\n$/),
    ])
    const { code, output, errors } = await result(['check', '--db', '--config', shipped])
    expect([code, errors]).toEqual([0, ''])
    expect(output).toContain('plan-search')
    expect(output).toMatch(/:ages integer\[\]/)
    expect(output).toMatch(/reads +.*\bplan_county\b.*\brates\b/)
    expect(output).not.toContain('warning')
    expect(output).toContain('The database is followed by logical replication: ')
    const { output: sql } = await result(['check', '--db', '--print-sql', '--config', shipped])
    expect(sql).toMatch(/^-- Followed now: by logical replication: .*\n-- Nothing is missing\.\n$/)
  })

  test('reports six different faults at once', async () => {
    const file = configuration(
      'six.yaml',
      `
lisen: { port: 1 }
log: { level: chatty }
routes:
  a: { path: /a, sql: { file: nowhere.sql } }
  b: { path: "/b/:x", sql: "select 1" }
  c: { path: /a, sql: "select :y", lifetime: { fresh: soon } }
`,
    )
    const { code, errors } = await result(['check', '--config', file])
    expect(code).toBe(1)
    for (const words of [
      'lisen: is not a setting here; did you mean listen?',
      'log.level: "chatty" is not one of',
      'routes.a.sql: names a file that cannot be read',
      'routes.b.path: "/b/:x" names :x, which is not declared in parameters',
      'routes.c.path: "/a" is the path of route a already',
      'routes.c.sql: uses :y, which is not declared',
      'routes.c.lifetime.fresh: "soon" is not a duration',
    ]) {
      expect(errors).toContain(words)
    }
  })

  test('--db rejects statements that write, are volatile, lock, or read a private table, also through views and functions', async () => {
    await superuser.query(`
      create or replace view onramp_test_view as select application_id as id from applications;
      create or replace view onramp_test_view_of_view as select id from onramp_test_view;
      create or replace function onramp_test_sql() returns bigint stable begin atomic select count(*) from applications; end;
      create or replace function onramp_test_volatile() returns int language sql volatile as 'select 1';
      create or replace function onramp_test_opaque() returns int language plpgsql stable as 'begin return 1; end';
      create or replace view onramp_test_random as select random() as r;
      create materialized view onramp_test_kept as select application_id as id from applications;
      create materialized view onramp_test_drawn as select random() as r;
      create function onramp_test_step(bigint, int) returns bigint stable begin atomic select count(*) from applications; end;
      create aggregate onramp_test_sum (int) (sfunc = onramp_test_step, stype = bigint, initcond = 0);
      create view onramp_test_ruled as select county_fips from counties;
      create rule onramp_test_rule as on insert to onramp_test_ruled do instead insert into applications select from generate_series(1, 0)`)
    const file = configuration(
      'private.yaml',
      `
postgres: { url: "${inject('superuserUrl')}", privateTables: [applications] }
routes:
  direct: { path: /1, sql: "select application_id from applications" }
  view: { path: /2, sql: "select id from onramp_test_view_of_view" }
  function: { path: /3, sql: "select onramp_test_sql() as n" }
  volatile: { path: /4, sql: "select onramp_test_volatile() as n" }
  built-in: { path: /5, sql: "select r from onramp_test_random" }
  operator: { path: /6, sql: "select nextval('x') as n from counties" }
  writes: { path: /7, sql: "delete from counties returning county_fips" }
  writes-within: { path: /8, sql: "with gone as (delete from counties returning county_fips) select * from gone" }
  locks: { path: /9, sql: "select county_fips from counties for update" }
  two: { path: /10, sql: "select 1 as n; select 2 as n" }
  twice: { path: /11, sql: "select 1 as n, 2 as n" }
  fine: { path: /12, sql: "select now() as at, upper(county_name) as name from counties where county_fips = :fips", parameters: { fips: { type: string } } }
  opaque: { path: /13, sql: "select onramp_test_opaque() as n" }
  kept: { path: /14, sql: "select id from onramp_test_kept" }
  drawn: { path: /15, sql: "select r from onramp_test_drawn" }
  aggregate: { path: /16, sql: "select onramp_test_sum(1) as n" }
  xml: { path: /17, sql: "select table_to_xml('counties', true, false, '')::text as x" }
  statistics: { path: /18, sql: "select tablename from pg_stats" }
  sample: { path: /19, sql: "select county_fips from counties tablesample bernoulli (50)" }
  same-sample: { path: /20, sql: "select county_fips from counties tablesample bernoulli (50) repeatable (1)" }
  untyped: { path: /23, sql: "select county_fips from counties where state = :state and (:since is null or county_fips >= :state)", parameters: { state: { type: string }, since: { type: string, default: null } } }
  ruled: { path: /21, sql: "select county_fips from onramp_test_ruled" }
  escapes: { path: /22, sql: "select 1) t; commit; begin read write; create table onramp_test_escaped (n int); commit; begin; savepoint attempt; select count(*) from (select 1" }
`,
    )
    const { code, errors } = await result(['check', '--db', '--config', file])
    const said = (route: string) =>
      errors
        .split('\n')
        .filter((line) => line.startsWith(`Route ${route}:`))
        .join('\n')
    expect(code).toBe(1)
    for (const route of ['direct', 'view', 'function', 'kept', 'aggregate'])
      expect([route, said(route)]).toEqual([route, expect.stringContaining('reads applications, which is private')])
    expect(said('volatile')).toContain('onramp_test_volatile(), which is volatile')
    expect(said('built-in')).toContain('random(), which is volatile')
    for (const route of ['operator', 'writes', 'writes-within', 'two', 'escapes'])
      expect([route, said(route)]).toEqual([route, expect.stringContaining('the database rejects its statement')])
    expect(said('untyped')).toContain('data type of parameter :since; write its type after it, like ::integer.')
    expect(said('locks')).toContain('locks rows')
    expect(said('twice')).toContain('"n" specified more than once')
    expect(said('xml')).toContain('can read any table')
    expect(said('statistics')).toContain('reads pg_statistic, which is private')
    expect(said('sample')).toContain('a random sample')
    for (const route of ['fine', 'opaque', 'drawn', 'same-sample', 'ruled'])
      expect([route, said(route)]).toEqual([route, ''])
    expect((await superuser.query(`select to_regclass('onramp_test_escaped') as it`)).rows[0].it).toBeNull()
    await superuser.query(`
      drop view onramp_test_view_of_view, onramp_test_view, onramp_test_random, onramp_test_ruled;
      drop materialized view onramp_test_kept, onramp_test_drawn;
      drop aggregate onramp_test_sum (int);
      drop function onramp_test_step, onramp_test_sql, onramp_test_volatile, onramp_test_opaque`)
  })

  test('--db finds tables in the plan if the role may not create views, and warns of the missing checks', async () => {
    const database = new URL(inject('superuserUrl')).pathname.slice(1)
    await superuser.query(`
      create or replace view onramp_test_plan_view as select application_id as id from applications;
      create materialized view onramp_test_plan_kept as select application_id as id from applications;
      drop role if exists onramp_test_weak;
      create role onramp_test_weak login password 'weak-password';
      grant select on all tables in schema public to onramp_test_weak;
      revoke temporary on database ${database} from public`)
    try {
      const weakUrl = inject('superuserUrl').replace(/\/\/[^@]*@/, '//onramp_test_weak:weak-password@')
      const file = configuration(
        'weak.yaml',
        `
postgres: { url: "${weakUrl}", privateTables: [applications] }
routes:
  view: { path: /1, sql: "select id from onramp_test_plan_view where id = :id::int", parameters: { id: { type: integer } } }
  kept: { path: /3, sql: "select id from onramp_test_plan_kept" }
  fine: { path: /2, sql: "select county_name from counties" }
`,
      )
      const refused = await result(['check', '--db', '--config', file])
      expect([refused.code, refused.errors]).toEqual([
        1,
        'Route view: its statement reads applications, which is private.\nRoute kept: its statement reads applications, which is private.\n',
      ])
      configuration(
        'weak.yaml',
        `postgres: { url: "${weakUrl}" }\nroutes:\n  fine: { path: /2, sql: "select county_name from counties" }\n`,
      )
      const accepted = await result(['check', '--db', '--config', file])
      expect(accepted.output).toMatch(/reads +counties\nwarning: Volatile functions are not checked.*lacks TEMPORARY/)
      expect(accepted.code).toBe(0)
    } finally {
      await superuser.query(`
        grant temporary on database ${database} to public;
        drop owned by onramp_test_weak;
        drop role onramp_test_weak;
        drop view onramp_test_plan_view;
        drop materialized view onramp_test_plan_kept`)
    }
  })

  test('--db rejects a table that the role may not read', async () => {
    const file = configuration(
      'denied.yaml',
      `postgres: { url: "${inject('databaseUrl')}" }\nroutes:\n  a: { path: /a, sql: "select application_id from applications" }\n`,
    )
    const isSuperuser =
      (await superuser.query('select current_user as me')).rows[0].me === new URL(inject('databaseUrl')).username
    const { code, errors } = await result(['check', '--db', '--config', file])
    if (isSuperuser) expect(code).toBe(0)
    else
      expect([code, errors]).toEqual([
        1,
        'Route a: the database rejects its statement: permission denied for table applications.\n',
      ])
  })

  test('an address with options still gives read-only sessions', async () => {
    const url = `${inject('superuserUrl')}?options=-c%20search_path%3Dpublic&query_timeout=0`
    const file = configuration(
      'options.yaml',
      `
listen: { port: 0 }
admin: { port: 0 }
postgres: { url: "${url}" }
routes:
  a: { path: /a, sql: "select current_setting('transaction_read_only') as ro, current_setting('search_path') as path", returns: row }
`,
    )
    const program = await ready(['--config', file])
    expect(await (await fetch(`${program.url}/a`)).json()).toEqual({ ro: 'on', path: 'public' })
  })

  test('an address without a host, as for a Unix socket, is read as by PostgreSQL’s own tools', async () => {
    const { username, password, hostname, port, pathname } = new URL(inject('superuserUrl'))
    const url = `postgres://${username}:${password}@${pathname}?host=${hostname}&port=${port}`
    const { code, errors, output } = await result(['check', '--db'], { DATABASE_URL: url })
    expect([code, errors]).toEqual([0, ''])
    if (password !== '') expect(output).not.toContain(password)
  })

  test.each(['postgres://u:%zz@h/d', 'postgres://u:p/w@h/d'])(
    'an invalid address (%s) is rejected in a sentence',
    async (url) => {
      const { code, errors } = await result([], { DATABASE_URL: url })
      expect([code, errors.trim().split('\n').length]).toEqual([1, 1])
      expect(errors).not.toContain('    at ')
    },
  )

  test('--db rejects a private table that does not exist: a misspelled name would protect nothing', async () => {
    const file = configuration(
      'typo.yaml',
      `postgres: { url: "${inject('databaseUrl')}", privateTables: [aplications] }\nroutes: {}\n`,
    )
    const { code, errors } = await result(['check', '--db', '--config', file])
    expect([code, errors]).toEqual([
      1,
      'postgres.privateTables names aplications: the database has no relation of that name.\n',
    ])
  })
})
