import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import pg from 'pg'
import { after, which } from '../processes.ts'
import { percent, rounded, type Scenario } from '../scenario.ts'
import type { Onramp, Stage, WrittenConfig } from '../stage.ts'
import { interleaved, medianOf, ratioOf, spreadOf } from '../variants.ts'

const tables = ['pgbench_accounts', 'pgbench_branches', 'pgbench_tellers']
const nobody = 'nobody'
const reader = 'pg_recvlogical'
type Name = typeof nobody | 'onramp, by table' | 'onramp, by row' | typeof reader
const run = promisify(execFile)

export const writes: Scenario = {
  name: 'writes',
  question: 'What does it cost those who write that onramp follows the database?',
  async run({ stage, isQuick, note }) {
    const pgbench = which('pgbench')
    if (pgbench === undefined) {
      const missing = 'pgbench is not installed, and so nothing was measured: apt-get install postgresql-contrib'
      return { claims: [], tables: [], charts: [], notes: [missing] }
    }
    const owner = new pg.Client(stage.ownerUrl)
    await owner.connect()
    await run(pgbench, ['-i', '-s', '10', '-q', stage.ownerUrl])
    await owner.query(`alter publication onramp add table ${tables.join(', ')}`)
    await owner.query(`grant select on ${tables.join(', ')} to onramp`)
    const write = async (seconds: number) => {
      const { stdout } = await run(pgbench, ['-n', '-c', '4', '-T', String(seconds), stage.ownerUrl])
      return Number(/^tps = ([\d.]+)/m.exec(stdout)?.[1])
    }
    await write(isQuick ? 2 : 4)
    const receive = which(reader)
    const names: Name[] = [nobody, 'onramp, by table', 'onramp, by row']
    if (receive !== undefined) names.push(reader)
    const measured = await interleaved(names, isQuick ? 1 : 4, async (name) => {
      note(`followed by ${name}`)
      const follower =
        name === reader && receive !== undefined
          ? await receiving(stage, receive)
          : await stage.onramp({ change: (settings) => reading(settings, name) })
      // A process that has just begun compiles what it runs.
      await write(1)
      const perSecond = await write(isQuick ? 2 : 4)
      await follower.stop()
      return { perSecond }
    })
    const slots = await slotsAfterKill(stage, owner)
    await owner.query(`drop table ${tables.join(', ')}, pgbench_history`)
    await owner.end()
    const share = (name: Name) => ratioOf(measured[name], measured[nobody], (one) => one.perSecond)
    const claim = (name: Name) => ({
      what: `transactions of pgbench while its changes are followed by ${name}, beside by nobody`,
      measured: `${rounded(share(name))} of them`,
      value: share(name),
    })
    return {
      claims: [
        {
          ...claim('onramp, by table'),
          atLeast: 0.85,
          floor: 'at least 0.85',
          cause:
            'the sender of the server and onramp take what they need from the cores that pgbench and its backends have',
        },
        claim('onramp, by row'),
        ...(receive === undefined ? [] : [claim(reader)]),
        {
          what: 'replication slots that hold WAL when onramp was killed',
          measured: String(slots),
          value: slots,
          atMost: 0,
          floor: 'none',
        },
      ],
      tables: [
        {
          title: 'pgbench, 4 clients, as it comes (TPC-B-like), scale 10',
          head: ['followed by', 'transactions/s', 'spread'],
          rows: names.map((name) => [
            name,
            rounded(medianOf(measured[name], (one) => one.perSecond)),
            percent(spreadOf(measured[name], (one) => one.perSecond)),
          ]),
        },
      ],
      charts: [],
      notes: [
        'pgbench, PostgreSQL and onramp share the cores, so what following takes is taken from the writers. By row, each row that a transaction changes is read from the stream; by table, the first of each table is enough.',
        'pg_recvlogical, a program of PostgreSQL itself, writes what the server sends to /dev/null and looks at none of it: what any follower takes at the least.',
      ],
    }
  },
}

/** The same changes, read through a slot of its own, which goes with it. */
async function receiving(stage: Stage, command: string): Promise<{ stop(): Promise<void> }> {
  const client = new pg.Client(stage.databaseUrl)
  await client.connect()
  const drop = async () => {
    // The server frees the slot when it has noticed that nobody reads any more.
    for (let tries = 0; tries < 100; tries += 1) {
      const { rows } = await client
        .query('select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = $1', [reader])
        .catch(() => ({ rows: [undefined] }))
      if (rows.length === 0) return
      await after(50)
    }
    throw new Error(`The replication slot ${reader} cannot be dropped, and keeps WAL.`)
  }
  await drop() // of a run that was cut off
  await client.query(`select pg_create_logical_replication_slot($1, 'pgoutput')`, [reader])
  const options = ['proto_version=1', 'publication_names=onramp', 'messages=true'].flatMap((option) => ['-o', option])
  const running = await stage.processes.program(
    command,
    ['-d', stage.databaseUrl, '--slot', reader, '--start', '-v', '-F', '0', '-f', '/dev/null', ...options],
    { says: /(streaming initiated)/ },
  )
  return {
    async stop() {
      await running.stop()
      await drop()
      await client.end()
    },
  }
}

/** Only routes that read what pgbench writes; `by row` tells its rows apart. */
function reading(settings: WrittenConfig, name: Name): void {
  settings.postgres = { ...settings.postgres, follow: name === nobody ? 'off' : 'replication' }
  const route = (table: string, column: string) => ({
    path: `/${table}/:id`,
    parameters: { id: { type: 'integer' } },
    sql: `select * from ${table} where ${column} = :id`,
    returns: 'row',
    lifetime: { fresh: '1d' },
    ...(name === 'onramp, by row' && { rows: { [table]: { [column]: 'id' } } }),
  })
  settings.routes = {
    accounts: route('pgbench_accounts', 'aid'),
    branches: route('pgbench_branches', 'bid'),
    tellers: route('pgbench_tellers', 'tid'),
  }
}

/** The slots there are a second after an onramp that follows was killed. */
async function slotsAfterKill(stage: Stage, owner: pg.Client): Promise<number> {
  const onramp: Onramp = await stage.onramp({ change: (settings) => reading(settings, 'onramp, by table') })
  const slots = async () => {
    const { rows } = await owner.query<{ count: number }>('select count(*)::int as count from pg_replication_slots')
    return rows[0]?.count ?? 0
  }
  if ((await slots()) === 0) throw new Error('Nobody follows the database: there is no slot.')
  onramp.signal('SIGKILL')
  await onramp.ended
  await after(1000)
  return slots()
}
