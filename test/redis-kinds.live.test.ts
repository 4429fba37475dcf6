import { execFileSync, spawn } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { afterEach, expect, inject, test } from 'vitest'
import { findProgram, freePort } from '../bench/servers/programs.ts'
import { type RedisServer, startRedis } from '../bench/servers/redis.ts'
import { newFolder, recorded } from '../bench/servers/run-folder.ts'
import { until } from '../bench/until.ts'
import { type RedisClient, RedisConnection } from '../proxy/cache/redis.ts'
import { systemClock } from '../proxy/clock.ts'
import { LogFollower } from '../proxy/coherence/follower.ts'
import { Ledger } from '../proxy/coherence/ledger.ts'
import { redisLog } from '../proxy/coherence/log.ts'
import { type Running, startApp } from './live.ts'
import { recorder } from './support.ts'

const folder = newFolder('redis-kinds')
const stops: (() => unknown)[] = []
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop()
})

const path = '/api/states'

/** Three masters that share the slots, as `redis-cli --cluster create` makes them. */
async function startCluster(): Promise<{ url: string; nodes: RedisServer[] }> {
  const nodes: RedisServer[] = []
  for (let n = 0; n < 3; n += 1)
    nodes.push(await startRedis(['--cluster-enabled', 'yes', '--cluster-port', String(await freePort())]))
  for (const node of nodes) stops.push(() => node.stop())
  const hosts = nodes.map(({ url }) => url.slice('redis://'.length))
  const cli = findProgram('redis-cli', 'redis-tools')
  execFileSync(cli, ['--cluster', 'create', ...hosts, '--cluster-yes'], { stdio: 'ignore' })
  return { url: `redis+cluster://${hosts.join(',')}`, nodes }
}

/** A master, its replica, and one Sentinel that decides alone. */
async function startSentinel(): Promise<{ url: string; master: RedisServer }> {
  const master = await startRedis()
  const replica = await startRedis(['--replicaof', '127.0.0.1', new URL(master.url).port, '--dir', folder])
  stops.push(
    () => master.stop(),
    () => replica.stop(),
  )
  const port = await freePort()
  const file = join(folder, `sentinel-${port}.conf`)
  writeFileSync(
    file,
    [
      `port ${port}`,
      'bind 127.0.0.1',
      `sentinel monitor enrollment 127.0.0.1 ${new URL(master.url).port} 1`,
      'sentinel down-after-milliseconds enrollment 500',
      'sentinel failover-timeout enrollment 3000',
      '',
    ].join('\n'),
  )
  const binary = findProgram('redis-server', 'redis-server')
  const sentinel = recorded(spawn(binary, [file, '--sentinel'], { stdio: 'ignore' }))
  stops.push(() => sentinel.kill('SIGKILL'))
  return { url: `redis+sentinel://127.0.0.1:${port}/enrollment`, master }
}

async function start(redisUrl: string): Promise<Running> {
  const app = await startApp(inject('databaseUrl'), { REDIS_URL: redisUrl })
  stops.push(() => app.stop())
  return app
}

const stateOf = async (app: Running) =>
  ((await app.admin('/stats')).json() as { coherence: { state: string; position?: string; gaps: number } }).coherence

/** Two processes share an answer, and a purge of one reaches the other. */
async function shareAndPurge([one, other]: [Running, Running]): Promise<void> {
  for (const app of [one, other]) await until(async () => (await stateOf(app)).state, 'synchronized')
  // The first command to a node of a Cluster fails while its connection is opened, and an entry that is not written is filled
  // by each process: so everything is asked anew until it is shared.
  await until(
    async () => {
      const before = (await one.purge({ route: 'states' })).json() as { position: string }
      await until(async () => (await stateOf(other)).position, before.position)
      expect((await one.get(path)).cacheStatus).toContain('detail=origin')
      return other.get(path)
    },
    ({ cacheStatus }) => cacheStatus?.includes('detail=redis') === true,
  )
  const { position, scope } = (await one.purge({ route: 'states' })).json() as { position: string; scope: string }
  expect(scope).toBe('fleet')
  await until(async () => (await stateOf(other)).position, position)
  expect((await other.get(path)).cacheStatus).toContain('detail=origin')
}

test('a user with the rights that config/README.md lists, and no others', async () => {
  const readme = readFileSync(new URL('../config/README.md', import.meta.url), 'utf8')
  const [, rights = ''] = /^ACL SETUSER onramp on >… (.+)$/m.exec(readme) ?? []
  const redis = await startRedis()
  stops.push(() => redis.stop())
  const owner = new Redis(redis.url)
  await owner.call('ACL', 'SETUSER', 'onramp', 'on', '>secret', ...rights.split(' '))
  const url = redis.url.replace('redis://', 'redis://onramp:secret@')
  await shareAndPurge(await Promise.all([start(url), start(url)]))
  const refused = (await owner.call('ACL', 'LOG')) as string[][]
  expect(refused.map((entry) => entry[entry.indexOf('object') + 1])).toEqual([])
  owner.disconnect()
})

test('in a Cluster of three masters, tier, leases and log work, and all events are in one chain', async () => {
  const { url } = await startCluster()
  await shareAndPurge(await Promise.all([start(url), start(url)]))
})

test('in a Cluster that loses the node of the log, no request fails, and a purge says that it reached this process only', async () => {
  const { url, nodes } = await startCluster()
  const app = await start(url)
  await until(async () => (await stateOf(app)).state, 'synchronized')
  await Promise.all(nodes.map((node) => node.stop()))
  const purged = await app.purge({ all: true })
  expect([purged.status, (purged.json() as { scope: string }).scope]).toEqual([202, 'process'])
  for (let i = 0; i < 20; i += 1) expect((await app.get(path)).status).toBe(200)
})

test('with Sentinel, a failover is survived, and the log continues', async () => {
  const { url, master } = await startSentinel()
  const apps = (await Promise.all([start(url), start(url)])) as [Running, Running]
  await shareAndPurge(apps)
  await master.stop()
  const failed: number[] = []
  await until(async () => {
    for (const app of apps) {
      const { status } = await app.get(path)
      if (status !== 200) failed.push(status)
    }
    return ((await apps[0].purge({ tags: ['nothing'] })).json() as { scope: string }).scope
  }, 'fleet')
  expect(failed).toEqual([])
  await shareAndPurge(apps)
})

test('twin: two unrelated chains are not taken for one', async () => {
  const one = await startRedis()
  const other = await startRedis()
  stops.push(
    () => one.stop(),
    () => other.stop(),
  )
  const ledgers = await Promise.all(
    [one, other].map(async ({ url }) => {
      const seen = recorder()
      const connection = new RedisConnection(url, seen.observe)
      const client: RedisClient = connection.client
      await new Promise((resolve) => client.once('ready', resolve))
      const ledger = new Ledger()
      const parts = { ledger, clock: systemClock, observe: seen.observe }
      const follower = new LogFollower({ ...parts, log: redisLog(client, connection.waiting(), 'onramp:') })
      await follower.start()
      stops.push(() => {
        follower.close()
        connection.close()
      })
      return ledger
    }),
  )
  expect(ledgers[0]?.position.pos).toBe(ledgers[1]?.position.pos)
  expect(ledgers[0]?.holds(ledgers[1]?.position ?? { pos: 0, id: '' })).toBe(false)
})
