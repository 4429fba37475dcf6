import { fileURLToPath } from 'node:url'
import { load } from '../load.ts'
import { after, type Served } from '../processes.ts'
import { type Context, duration, type Outcome, percent, rounded, type Scenario, times } from '../scenario.ts'
import { search, searches, shoppers } from '../shoppers.ts'
import type { WrittenConfig } from '../stage.ts'
import { compare, interleaved, medianOf, type Rounds, spreadOf } from '../variants.ts'

const connections = 8
const names = ['onramp', 'direct'] as const
const query = (name: string) => fileURLToPath(new URL(`../../config/marketplace/queries/${name}.sql`, import.meta.url))

export const unflattering: Scenario = {
  name: 'unflattering',
  question:
    'Where does onramp cost more than it saves? Every request for a different key, queries that cost next to nothing, and continuous purges.',
  async run(context) {
    const outcome: Outcome = { claims: [], tables: [], charts: [], notes: [] }
    const rows = [...(await everyKeyDifferent(context, outcome)), ...(await tinyQueries(context, outcome))]
    outcome.tables.push({
      title: 'onramp without cache hits, and a handler without a cache',
      head: ['variant', 'rounds', 'requests/s', 'spread', 'CPU per request', 'CPU spread', 'p50', 'p99', 'failed'],
      rows,
    })
    await purgeStorm(context, outcome)
    outcome.notes.push(
      `A round takes ${context.isQuick ? 'one second' : 'two seconds'}. More throughput is better, and less CPU per request.`,
      'CPU per request is that of onramp or of the handler, without PostgreSQL. With Redis, each miss also takes a lease and writes the entry to Redis: both are included.',
    )
    return outcome
  },
}

interface Cost {
  perSecond: number
  cpuMs: number
  p50: number
  p99: number
  failed: number
}

async function cost(served: Served, paths: (connection: number) => readonly string[], seconds: number): Promise<Cost> {
  const before = served.cpuSeconds()
  const seen = await load(served.url, { connections, seconds, paths })
  return {
    perSecond: seen.perSecond,
    cpuMs: ((served.cpuSeconds() - before) / seen.count) * 1000,
    p50: seen.percentile(0.5),
    p99: seen.percentile(0.99),
    failed: seen.failed,
  }
}

async function everyKeyDifferent({ stage, isQuick, note, seed }: Context, outcome: Outcome) {
  note('every key is different')
  const redis = await stage.redis()
  const servers = {
    onramp: await stage.onramp({ redis, change: (settings) => allConnections(settings, 'plan-search') }),
    direct: await stage.processes.node('./servers/direct.ts', [
      stage.databaseUrl,
      query('plan-search'),
      String(connections),
    ]),
  }
  const { next } = shoppers(stage.popularity, seed)
  const seconds = isQuick ? 1 : 2
  let drawn = 0
  const fresh = () => {
    drawn += 1
    return `${search(next())}&offset=${drawn % 10_000}&year=${2014 + Math.floor(drawn / 10_000)}`
  }
  const lists = () => Array.from({ length: connections }, () => Array.from({ length: 200 * seconds }, fresh))
  const measured = await interleaved(names, 3, (name) => {
    const own = lists()
    return cost(servers[name], (connection) => own[connection] as string[], seconds)
  })
  claim(outcome, 'every-key-different', 'Every key different, with Redis', measured)
  await Promise.all([servers.onramp.stop(), servers.direct.stop()])
  await redis.stop()
  return rowsOf('every key different', measured)
}

async function tinyQueries({ stage, isQuick, note }: Context, outcome: Outcome) {
  note('tiny queries, almost never cached')
  const redis = await stage.redis()
  const servers = {
    onramp: await stage.onramp({
      redis,
      change: (settings) => {
        allConnections(settings, 'county')
        const route = settings.routes.county as Record<string, unknown>
        route.lifetime = { fresh: '1ms', stale: '0s', staleIfError: '0s' }
      },
    }),
    direct: await stage.processes.node('./servers/direct.ts', [
      stage.databaseUrl,
      query('county'),
      String(connections),
      '/api/counties/:fips',
    ]),
  }
  const paths = stage.popularity.counties.map(({ fips }) => `/api/counties/${fips}`)
  const ask = (connection: number) => {
    const from = Math.floor((paths.length / connections) * connection)
    return [...paths.slice(from), ...paths.slice(0, from)]
  }
  for (const name of names) await cost(servers[name], ask, 0.5)
  const measured = await interleaved(names, 3, (name) => cost(servers[name], ask, isQuick ? 1 : 2))
  claim(outcome, 'tiny-query', 'Tiny queries that are never cached', measured)
  await Promise.all([servers.onramp.stop(), servers.direct.stop()])
  await redis.stop()
  return rowsOf('tiny query, never cached', measured)
}

async function purgeStorm({ stage, isQuick, note, seed }: Context, outcome: Outcome): Promise<void> {
  const redis = await stage.redis()
  const onramp = await stage.onramp({ redis })
  const paths = searches(stage.popularity, seed, 300)
  for (const path of new Set(paths)) await fetch(onramp.url + path)
  const seconds = isQuick ? 3 : 5
  const rows: (string | number)[][] = []
  let undisturbed = Number.NaN
  for (const each of [0, 10, 50]) {
    note(`${each} purges per second, of one county each`)
    await stage.resetStatements()
    let isOver = false
    const purging = (async () => {
      for (let i = 0; each > 0 && !isOver; i += 1) {
        const county = new URL(paths[(i * 7) % paths.length] as string, onramp.url).searchParams.get('county')
        await onramp.purge({ tags: [`county:${county}`] })
        await after(1000 / each)
      }
    })()
    const seen = await load(onramp.url, { connections, seconds, paths: (connection) => paths.slice(connection * 30) })
    isOver = true
    await purging
    const statements = await stage.statements()
    rows.push([
      each,
      rounded(seen.perSecond),
      rounded(statements / seconds),
      percent(1 - statements / seen.count),
      duration(seen.percentile(0.5)),
      duration(seen.percentile(0.99)),
      seen.failed,
    ])
    if (each === 0) undisturbed = seen.perSecond
    if (each === 50)
      outcome.claims.push({
        id: 'purge-storm',
        measure: '50 purges per second under load',
        measured: `${rounded(seen.perSecond)} requests/s, ${rounded(undisturbed)} without purges; ${rounded(statements / seconds)} SQL statements per second, p99 ${duration(seen.percentile(0.99))}, ${seen.failed} failed`,
        value: seen.failed,
      })
  }
  outcome.tables.push({
    title: 'Purges under load: 300 lists of plans, with Redis',
    head: ['purges/s', 'requests/s', 'SQL/s', 'hit ratio', 'p50', 'p99', 'failed'],
    rows,
  })
  await onramp.stop()
  await redis.stop()
}

function allConnections(settings: WrittenConfig, name: string): void {
  settings.postgres = { ...settings.postgres, connections }
  const route = settings.routes[name] as Record<string, unknown>
  route.share = { limit: connections }
}

function rowsOf(name: string, measured: Rounds<(typeof names)[number], Cost>): (string | number)[][] {
  return names.map((variant) => [
    `${name}, ${variant === 'direct' ? 'no cache' : variant}`,
    measured[variant].length,
    rounded(medianOf(measured[variant], (one) => one.perSecond)),
    percent(spreadOf(measured[variant], (one) => one.perSecond)),
    duration(medianOf(measured[variant], (one) => one.cpuMs)),
    percent(spreadOf(measured[variant], (one) => one.cpuMs)),
    duration(medianOf(measured[variant], (one) => one.p50)),
    duration(medianOf(measured[variant], (one) => one.p99)),
    measured[variant].reduce((sum, one) => sum + one.failed, 0),
  ])
}

function claim(
  outcome: Outcome,
  id: string,
  name: string,
  { onramp, direct }: Rounds<(typeof names)[number], Cost>,
): void {
  const share = compare(onramp, direct, (one) => one.perSecond)
  const cpu = compare(onramp, direct, (one) => one.cpuMs)
  outcome.claims.push({
    id,
    measure: `${name}, compared with a handler without a cache`,
    measured: `${times(share, ' its throughput')}, ${times(cpu, ' its CPU per request')}`,
    value: share.value,
  })
}
