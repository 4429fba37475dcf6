import { setTimeout as pause } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Coherence, isFull, keepFaultResults } from '../../bench/fault-results.ts'
import { percentileOf } from '../../bench/recording.ts'
import { until } from '../../bench/until.ts'
import { RedisConnection } from '../../proxy/cache/redis.ts'
import { redisLog } from '../../proxy/coherence/log.ts'
import { programs, type Serving } from '../program.ts'
import { ask, Checker, type Found, rows } from './checker.ts'
import { type Stand, startStand } from './stand.ts'

/*
 * Four processes, one Redis and one PostgreSQL: writers increment rows, readers read them from every process, during each fault.
 */

/** The duration of each fault. */
const holdMs = isFull ? 40_000 : 2000
const { configuration, ready } = programs('coherence')
let stand: Stand
let nodes: Serving[] = []
/** Replaces a process that is killed. */
let spare: Serving
let checker: Checker
let redis: Redis
const results: Coherence[] = []

const settings = () => `
listen: { port: 0 }
admin: { port: 0 }
redis: { url: "redis://127.0.0.1:${stand.redis.port}", timeout: 250ms }
postgres: { url: "postgres://onramp@127.0.0.1:${stand.postgres.port}/marketplace", statementTimeout: 750ms, follow: replication }
routes:
  counter:
    path: /counters/:id
    parameters: { id: { type: integer } }
    sql: select id, n from counters where id = :id
    returns: row
    lifetime: { fresh: 1h, stale: 0s, staleIfError: 1d }
`

const start = () => ready(['--config', configuration('onramp.yaml', settings())])

beforeAll(async () => {
  stand = await startStand()
  await stand.postgres.sql(
    `create table counters (id int primary key, n bigint not null);
     insert into counters select i, 0 from generate_series(0, ${rows - 1}) i;
     grant select on counters to onramp;
     drop publication if exists onramp;
     create publication onramp for table counters`,
  )
  redis = stand.redis.client()
  nodes = [await start(), await start(), await start(), await start()]
  spare = await start()
  checker = new Checker(nodes, redis)
  checker.start(() => stand.postgres.superuser())
  await converged()
})
afterAll(async () => {
  keepFaultResults({ coherence: results })
  await checker.stop()
  redis.disconnect()
  await stand.stop()
})

/** Waits until every node is synchronized and answers with a version written after that. Resolves to the seconds that took. */
async function converged(): Promise<number> {
  const began = performance.now()
  const isSynchronized = async ({ adminUrl }: Serving) =>
    (await ask(`${adminUrl}/ready`)).body.includes('"state":"synchronized"')
  const all = nodes.map(() => true)
  await until(() => Promise.all(nodes.map(isSynchronized)), all)
  const client = await stand.postgres.superuser()
  const n = (await checker.write(client, 0)) ?? 0
  await client.end()
  const holds = async ({ url }: Serving) => {
    const { status, body } = await ask(`${url}/counters/0`)
    return status === 200 && (JSON.parse(body) as { n: number }).n >= n
  }
  await until(() => Promise.all(nodes.map(holds)), all)
  return (performance.now() - began) / 1000
}

const quantile = (values: number[], q: number) =>
  percentileOf(
    values.toSorted((a, b) => a - b),
    q,
  )

function keep(name: string, { reads, violations, staleMs, everywhereMs }: Found, convergedSeconds: number): void {
  const round = (ms: number) => Math.round(ms * 10) / 10
  results.push({
    name,
    reads,
    violations: violations.length,
    everywhereP50Ms: round(quantile(everywhereMs, 0.5)),
    everywhereP99Ms: round(quantile(everywhereMs, 0.99)),
    stalestMs: round(staleMs.reduce((most, ms) => Math.max(most, ms), 0)),
    convergedSeconds: Math.round(convergedSeconds * 100) / 100,
  })
}

const isLeading = async ({ adminUrl }: Serving) => (await ask(`${adminUrl}/ready`)).body.includes('"state":"leading"')

const dropSlot = () =>
  stand.postgres.sql('select pg_terminate_backend(active_pid) from pg_replication_slots where active_pid is not null')

/** The leader among the nodes. A spare that leads has to give that up: the readers do not ask it. */
async function leader(): Promise<Serving> {
  const found = await until(async () => {
    for (const node of nodes) if (await isLeading(node)) return node
    if (await isLeading(spare)) await dropSlot()
    return undefined
  })
  if (found === undefined) throw new Error('Nobody leads.')
  return found
}

interface Fault {
  name: string
  inject(): Promise<void>
  heal(): Promise<void>
}

const nothing = async () => {}
const log = ['{onramp:log}:head', '{onramp:log}:events'] as const

/** Restores the log of ten events ago, as a replica without the tail would have it. */
async function loseTail(): Promise<void> {
  const position = async () => Number(await redis.hget(log[0], 'pos'))
  const some = 10
  const [from, ...before] = [await position(), await redis.dumpBuffer(log[0]), await redis.dumpBuffer(log[1])]
  await until(position, (now) => now >= from + some)
  const restoring = redis.multi()
  for (const [i, key] of log.entries()) restoring.restore(key, 0, before[i] as Buffer, 'REPLACE')
  await restoring.exec()
}

const faults: Fault[] = [
  { name: 'no fault', inject: nothing, heal: nothing },
  { name: 'Redis killed', inject: () => stand.redis.kill(), heal: () => stand.redis.start() },
  { name: 'Redis frozen', inject: async () => stand.redis.freeze(), heal: async () => stand.redis.thaw() },
  { name: 'Redis flushed', inject: async () => void (await redis.flushall()), heal: nothing },
  { name: 'Redis loses the end of its log', inject: loseTail, heal: nothing },
  { name: 'PostgreSQL restarted', inject: () => stand.postgres.stop(), heal: () => stand.postgres.start() },
  {
    name: 'leader killed',
    async inject() {
      const killed = await leader()
      checker.leave(killed.url)
      killed.child.kill('SIGKILL')
      await killed.ended
      nodes = nodes.filter((node) => node !== killed)
    },
    async heal() {
      nodes.push(spare)
      checker.watch(spare.url, spare)
    },
  },
  {
    name: 'replication slot dropped',
    inject: dropSlot,
    heal: nothing,
  },
  {
    name: 'synchronous standby does not reply',
    async inject() {
      await stand.postgres.sql(`alter system set synchronous_standby_names = 'nobody'`)
      await stand.postgres.sql('select pg_reload_conf()')
    },
    async heal() {
      await stand.postgres.sql('alter system reset synchronous_standby_names')
      await stand.postgres.sql('select pg_reload_conf()')
    },
  },
]

test.each(faults)(
  '$name: no answer is older than the events its node has applied, and none goes back in version',
  async ({ name, inject, heal }) => {
    checker.take()
    await inject()
    await pause(holdMs) // the duration of the fault, which is what is tested
    await heal()
    const seconds = await converged()
    const found = checker.take()
    keep(name, found, seconds)
    expect(found.violations).toEqual([])
    expect(found.reads).toBeGreaterThan(100)
    // The promise is five seconds; a slow machine gets three times that.
    expect(seconds).toBeLessThan(15)
    if (name === 'no fault') expect(quantile(found.everywhereMs, 0.5)).toBeLessThan(250)
  },
)

test('twin: the checker detects an event that is logged before its transaction is visible', async () => {
  const connection = new RedisConnection(`redis://127.0.0.1:${stand.redis.port}`, () => {})
  await new Promise((resolve) => connection.client.once('ready', resolve))
  const published = redisLog(connection.client, connection.waiting(), 'onramp:')
  const client = await stand.postgres.superuser()
  checker.take()
  await client.query('begin')
  const changed = await client.query('update counters set n = n + 1 where id = 1 returning n::int')
  const { n } = changed.rows[0] as { n: number }
  await published.append({ tags: ['table:counters', `v:1:${n}`], soft: false, cause: 'change' })
  await until(() => checker.found.violations.length > 0)
  await client.query('commit')
  checker.committed(1, n)
  expect(checker.take().violations[0]).toMatch(`answered row 1 with ${n - 1}, though it had applied ${n}`)
  await client.end()
  published.close()
  connection.close()
})
