import { cpus, freemem } from 'node:os'
import { load } from '../load.ts'
import { type Context, duration, type Outcome, percent, rounded, type Scenario } from '../scenario.ts'
import { freePort } from '../servers/programs.ts'
import { searches } from '../shoppers.ts'
import { type Onramp, started } from '../stage.ts'

export const growth: Scenario = {
  name: 'growth',
  question: 'How do costs grow with the number of cached keys, of routes and of processes?',
  async run(context) {
    const outcome: Outcome = { claims: [], tables: [], charts: [], notes: [] }
    await withKeys(context, outcome)
    await withRoutes(context, outcome)
    await withProcesses(context, outcome)
    return outcome
  },
}

async function withKeys({ stage, isQuick, note }: Context, outcome: Outcome): Promise<void> {
  const counts = [1000, 10_000, 100_000, 1_000_000]
  // A key takes a little more than a kilobyte.
  if (!isQuick && freemem() > 14e9) counts.push(10_000_000)
  else outcome.notes.push('Ten million keys were left out: they need 12 GB of free memory, and time.')
  const rows: (string | number)[][] = []
  const points: [number, number][] = []
  for (const count of counts) {
    note(`${count.toLocaleString('en-US')} keys in memory`)
    const [command, ...args] = started('bench/servers/many-keys.ts')
    const held = await stage.processes.program(command, [...args, String(count)], {
      says: /(get.*)/,
      patienceMs: 240_000,
      environment: { NODE_OPTIONS: '--max-old-space-size=14000' },
    })
    const [, get, set, bytes] = /get (\S+) set (\S+) bytes (\S+)/.exec(held.printed()) as unknown as string[]
    rows.push([
      count.toLocaleString('en-US'),
      duration(Number(get) / 1e6),
      duration(Number(set) / 1e6),
      rounded(Number(bytes)),
    ])
    points.push([count, Number(get) / 1000])
    await held.stop()
  }
  outcome.tables.push({
    title: 'Keys in the memory tier, bodies of 100 bytes',
    head: ['keys', 'time to get one', 'time to set one', 'resident bytes per key'],
    rows,
  })
  outcome.charts.push({
    title: 'Time to get a key, by the number of keys',
    kind: 'lines',
    x: 'keys (log scale)',
    isXLog: true,
    y: 'µs per get',
    series: [{ name: 'get', points }],
  })
  const [first, last] = [points[0] as [number, number], points.at(-1) as [number, number]]
  outcome.claims.push({
    id: 'keys',
    measure: `Look-up in memory, ${counts.at(-1)?.toLocaleString('en-US')} keys compared with 1,000 keys`,
    measured: `${duration(last[1] / 1000)} and ${duration(first[1] / 1000)}: ${rounded(last[1] / first[1])} times`,
    value: last[1] / first[1],
    better: 'less',
  })
}

async function withRoutes({ stage, isQuick, note }: Context, outcome: Outcome): Promise<void> {
  const rows: (string | number)[][] = []
  const costs: number[] = []
  for (const count of [1, 50, 500]) {
    note(`${count} routes`)
    const began = performance.now()
    const onramp = await stage.onramp({
      change: (settings) => {
        settings.routes = {}
        for (let i = 0; i < count; i += 1) {
          settings.routes[`route-${i}`] = {
            path: `/api/section-${i}/:fips`,
            parameters: { fips: { type: 'string' } },
            sql: 'select * from counties where county_fips = :fips',
          }
        }
      },
    })
    const start = performance.now() - began
    const paths = () => [`/api/section-${count - 1}/51059`]
    await load(onramp.url, { connections: 16, seconds: 1, paths })
    const before = onramp.cpuSeconds()
    const seen = await load(onramp.url, { connections: 16, seconds: isQuick ? 1 : 2, paths })
    const cpuMs = ((onramp.cpuSeconds() - before) / seen.count) * 1000
    costs.push(cpuMs)
    rows.push([count, duration(start), duration(cpuMs), rounded(onramp.memoryBytes() / 1024 ** 2)])
    await onramp.stop()
  }
  outcome.tables.push({
    title: 'Number of routes',
    head: ['routes', 'time to start', 'CPU per hit', 'resident MiB'],
    rows,
  })
  const times = (costs.at(-1) as number) / (costs[0] as number)
  outcome.claims.push({
    id: 'routes',
    measure: 'CPU of a hit with 500 routes, compared with one route',
    measured: `${rounded(times)} times`,
    value: times,
    better: 'less',
  })
}

async function withProcesses({ stage, isQuick, note, seed }: Context, outcome: Outcome): Promise<void> {
  const rows: (string | number)[][] = []
  const paths = searches(stage.popularity, seed, 200)
  for (const count of [1, 2, 4]) {
    note(`${count} processes on one port`)
    const redis = await stage.redis()
    const port = await freePort()
    const all: Onramp[] = []
    const change = (settings: Parameters<NonNullable<Parameters<typeof stage.onramp>[0]>['change'] & object>[0]) => {
      settings.listen = { ...settings.listen, reusePort: true }
    }
    for (let i = 0; i < count; i += 1) all.push(await stage.onramp({ redis, port, change }))
    const { url } = all[0] as Onramp
    const cpu = () => all.reduce((sum, one) => sum + one.cpuSeconds(), 0)
    // Each process compiles its code by itself, and reads the entries from Redis.
    await load(url, { connections: 64, seconds: isQuick ? 1 : 2 * count, paths: () => paths })
    const before = cpu()
    const seen = await load(url, { connections: 64, seconds: isQuick ? 1 : 3, paths: () => paths })
    rows.push([
      count,
      rounded(seen.perSecond),
      duration(((cpu() - before) / seen.count) * 1000),
      duration(seen.percentile(0.99)),
      seen.failed,
      percent(seen.generatorCpu),
    ])
    await Promise.all(all.map((one) => one.stop()))
    await redis.stop()
  }
  outcome.tables.push({
    title: 'Processes on one port (listen.reusePort)',
    head: ['processes', 'hits/s', 'CPU per hit', 'p99', 'failed', 'load generator CPU'],
    rows,
  })
  outcome.notes.push(
    `Processes scale only to free cores. This machine has ${cpus().length}, and the load generator takes most of one. So more processes compete for the same cores: throughput falls and CPU per hit rises.`,
  )
}
