import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import pg from 'pg'
import { after, which } from '../processes.ts'
import { type Claim, percent, rounded, type Scenario, times } from '../scenario.ts'
import type { Onramp, Stage, WrittenConfig } from '../stage.ts'
import { compare, interleaved, medianOf, spreadOf } from '../variants.ts'

const tables = ['pgbench_accounts', 'pgbench_branches', 'pgbench_tellers']
const nobody = 'no follower'
const reader = 'pg_recvlogical'
type Name = typeof nobody | 'onramp, by table' | 'onramp, by row' | typeof reader
const run = promisify(execFile)

export const writes: Scenario = {
  name: 'writes',
  question: 'How much slower are writers of the database while onramp follows its changes?',
  async run({ stage, isQuick, note }) {
    const pgbench = which('pgbench')
    if (pgbench === undefined) {
      const missing = 'Nothing was measured: pgbench is not installed (apt-get install postgresql-contrib).'
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
    const [rounds, seconds] = isQuick ? [1, 2] : [4, 4]
    const measured = await interleaved(names, rounds, async (name) => {
      note(`pgbench, follower: ${name}`)
      const follower =
        name === reader && receive !== undefined
          ? await receiving(stage, receive)
          : await stage.onramp({ change: (settings) => reading(settings, name) })
      // Warm-up: a process that has just started compiles its code.
      await write(1)
      const perSecond = await write(seconds)
      await follower.stop()
      return { perSecond }
    })
    const slots = await slotsAfterKill(stage, owner)
    await owner.query(`drop table ${tables.join(', ')}, pgbench_history`)
    await owner.end()
    const share = (name: Name) => compare(measured[name], measured[nobody], (one) => one.perSecond)
    const claim = (name: Name): Claim => ({
      id: name.replace(/,? /g, '-'),
      measure: `pgbench transactions per second while a follower reads the changes (${name}), compared with none`,
      measured: times(share(name)),
      better: 'more',
      ...share(name),
    })
    return {
      claims: [
        {
          ...claim('onramp, by table'),
          atLeast: 0.85,
          target: 'at least 0.85 times',
          cause: 'The WAL sender of PostgreSQL and onramp use the same cores as pgbench and its backends.',
        },
        claim('onramp, by row'),
        ...(receive === undefined ? [] : [claim(reader)]),
        {
          id: 'slots-after-kill',
          measure: 'Replication slots that still retain WAL one second after onramp is killed',
          measured: String(slots),
          value: slots,
          atMost: 0,
          target: '0',
        },
      ],
      tables: [
        {
          title: 'pgbench, 4 clients, its default script (TPC-B-like), scale 10',
          head: ['follower', 'transactions/s', 'spread'],
          rows: names.map((name) => [
            name,
            rounded(medianOf(measured[name], (one) => one.perSecond)),
            percent(spreadOf(measured[name], (one) => one.perSecond)),
          ]),
        },
      ],
      charts: [],
      notes: [
        `Rounds: ${rounds}, of ${seconds} seconds for each follower.`,
        'pgbench, PostgreSQL and onramp share the cores, so the follower slows down the writers. By row, onramp decodes each changed row of a transaction; by table, the first changed row of each table is enough.',
        'pg_recvlogical, a program of PostgreSQL, writes the stream to /dev/null and decodes nothing: the least cost of any follower.',
      ],
    }
  },
}

/** Starts pg_recvlogical on a replication slot of its own, which `stop` drops. */
async function receiving(stage: Stage, command: string): Promise<{ stop(): Promise<void> }> {
  const client = new pg.Client(stage.databaseUrl)
  await client.connect()
  const drop = async () => {
    // The server releases the slot only after it has noticed that its reader is gone.
    for (let tries = 0; tries < 100; tries += 1) {
      const { rows } = await client
        .query('select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = $1', [reader])
        .catch(() => ({ rows: [undefined] }))
      if (rows.length === 0) return
      await after(50)
    }
    throw new Error(`The replication slot ${reader} could not be dropped within 5 s. It retains WAL: drop it by hand.`)
  }
  await drop() // left by a run that was interrupted
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

/** Replaces the routes by three that read the tables of pgbench. With `by row`, changes of other rows do not concern them. */
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

/** The number of replication slots one second after SIGKILL of an onramp that follows the database. */
async function slotsAfterKill(stage: Stage, owner: pg.Client): Promise<number> {
  const onramp: Onramp = await stage.onramp({ change: (settings) => reading(settings, 'onramp, by table') })
  const slots = async () => {
    const { rows } = await owner.query<{ count: number }>('select count(*)::int as count from pg_replication_slots')
    return rows[0]?.count ?? 0
  }
  if ((await slots()) === 0) throw new Error('onramp does not follow the database: there is no replication slot.')
  onramp.signal('SIGKILL')
  await onramp.ended
  await after(1000)
  return slots()
}
