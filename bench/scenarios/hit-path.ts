import { fileURLToPath } from 'node:url'
import { Redis } from 'ioredis'
import { answersFile, type Kept, keep } from '../answers.ts'
import { load } from '../load.ts'
import { after, pinThis, type Served } from '../processes.ts'
import { random } from '../random.ts'
import { type Context, duration, type Outcome, percent, rounded, type Scenario, times } from '../scenario.ts'
import { search, shoppers } from '../shoppers.ts'
import type { WrittenConfig } from '../stage.ts'
import { type Compared, compare, interleaved, medianOf, type Rounds, spreadOf } from '../variants.ts'

type Encoding = 'plain' | 'br'
/** `rows` of the table of plans make about this much JSON. */
const sizes: { name: string; rows: number; encodings: Encoding[] }[] = [
  { name: '1 KB', rows: 2, encodings: ['plain'] }, // too small to be compressed
  { name: '16 KB', rows: 31, encodings: ['plain', 'br'] },
  { name: '128 KB', rows: 245, encodings: ['plain', 'br'] },
]
const connections = 32
const serverCore = 1

export const hitPath: Scenario = {
  name: 'hit-path',
  question:
    'What does an answer from memory, Redis or PostgreSQL cost, compared with a minimal server that sends the same bytes?',
  async run(context) {
    const outcome: Outcome = { claims: [], tables: [], charts: [], notes: [] }
    pinThis(0)
    await fromMemory(context, outcome)
    await fromRedis(context, outcome)
    pinThis(undefined)
    await fromOrigin(context, outcome)
    outcome.notes.push(
      'For memory and Redis, the servers have one core and the load generator has another. A ratio is the median of the ratios of the rounds, in which the variants take turns: it can differ from the ratio of the medians in the table. A round takes one second.',
      `The load: autocannon, ${connections} connections unless said otherwise, no pipelining. Where "load generator CPU" is near 100 %, the load generator is the limit: compare CPU per request, and look at its spread.`,
      'plain is not compressed, br is compressed with Brotli. "One at a time" is one connection.',
    )
    return outcome
  },
}

/** Adds a route whose answers have the requested number of rows. */
function withPlans(settings: WrittenConfig): void {
  settings.routes['bench-plans'] = {
    path: '/bench/plans/:rows/:from',
    parameters: { rows: { type: 'integer', max: 2000 }, from: { type: 'integer', max: 10_000 } },
    sql: 'select * from plans order by plan_id limit :rows offset :from',
    lifetime: { fresh: '1d' },
  }
  settings.limits = { maxRequests: 0 }
}

interface Cost {
  perSecond: number
  cpuMs: number
  p50: number
  p99: number
  failed: number
  generatorCpu: number
}

async function cost(
  served: Served,
  paths: (connection: number) => string[],
  seconds: number,
  headers = {},
  many = connections,
): Promise<Cost> {
  const before = served.cpuSeconds()
  const measured = await load(served.url, { connections: many, seconds, paths, headers })
  return {
    perSecond: measured.perSecond,
    cpuMs: ((served.cpuSeconds() - before) / measured.count) * 1000,
    p50: measured.percentile(0.5),
    p99: measured.percentile(0.99),
    failed: measured.failed,
    generatorCpu: measured.generatorCpu,
  }
}

const head = [
  'variant',
  'rounds',
  'requests/s',
  'spread',
  'CPU per request',
  'CPU spread',
  'p50',
  'p99',
  'failed',
  'load generator CPU',
]

function rowsOf<Name extends string>(what: string, rounds: Rounds<Name, Cost>): (string | number)[][] {
  return Object.entries<Cost[]>(rounds).map(([name, own]) => [
    `${what}, ${name}`,
    own.length,
    rounded(medianOf(own, (one) => one.perSecond)),
    percent(spreadOf(own, (one) => one.perSecond)),
    duration(medianOf(own, (one) => one.cpuMs)),
    percent(spreadOf(own, (one) => one.cpuMs)),
    duration(medianOf(own, (one) => one.p50)),
    duration(medianOf(own, (one) => one.p99)),
    own.reduce((sum, one) => sum + one.failed, 0),
    percent(medianOf(own, (one) => one.generatorCpu)),
  ])
}

async function fromMemory({ stage, isQuick, note }: Context, outcome: Outcome): Promise<void> {
  const onramp = await stage.onramp({ change: withPlans, core: serverCore })
  const all = sizes.flatMap(({ encodings, ...size }) => encodings.map((encoding) => ({ ...size, encoding })))
  const tried = isQuick ? all.filter((_one, i) => i === 0 || i === all.length - 1) : all
  const kept: Kept[] = []
  for (const { rows, encoding } of tried) kept.push(await keptIn(onramp.url, `/bench/plans/${rows}/0`, encoding))
  const bare = await stage.processes.node('./servers/bare.ts', [answersFile(kept)], { core: serverCore })
  const rows: (string | number)[][] = []
  const groups: { x: number; label: string }[] = []
  const bars = { onramp: [] as [number, number][], 'bare node:http': [] as [number, number][] }
  for (const { name, rows: count, encoding } of tried) {
    note(`from memory, ${name}, ${encoding}`)
    const hasTarget = count === sizes[0]?.rows && encoding === 'plain'
    const rounds = hasTarget ? (isQuick ? 3 : 6) : isQuick ? 2 : 3
    const headers = encoding === 'br' ? { 'Accept-Encoding': 'br' } : {}
    const ask = { onramp: [`/bench/plans/${count}/0`], 'bare node:http': [`/bench/plans/${count}/0-${encoding}`] }
    const servers = { onramp, 'bare node:http': bare }
    const names = ['onramp', 'bare node:http'] as const
    for (const one of names) await load(servers[one].url, { connections, seconds: 1, paths: () => ask[one], headers })
    const measured = await interleaved(names, rounds, (one) => cost(servers[one], () => ask[one], 1, headers))
    rows.push(...rowsOf(`${name}, ${encoding}`, measured))
    for (const one of names) bars[one].push([groups.length, medianOf(measured[one], ({ cpuMs }) => cpuMs * 1000)])
    groups.push({ x: groups.length, label: `${name} ${encoding}` })
    const share = compare(measured.onramp, measured['bare node:http'], (one) => one.perSecond)
    const cpu = compare(measured.onramp, measured['bare node:http'], (one) => one.cpuMs)
    const id = `memory-${name.replace(' ', '')}-${encoding}`
    const measure = `Hit in memory, ${name}, ${encoding}, compared with a bare node:http server`
    const cause = 'Half of the CPU time of a hit is the kernel sending it, a third is Node, a tenth is onramp.'
    outcome.claims.push(
      {
        id: `${id}-throughput`,
        measure,
        measured: times(share, ' its throughput'),
        better: 'more',
        ...share,
        ...(hasTarget && { atLeast: 0.85, target: 'at least 0.85 times', cause }),
      },
      // Where the load generator is the limit, throughput hides a difference that CPU shows.
      {
        id: `${id}-cpu`,
        measure,
        measured: times(cpu, ' its CPU per request'),
        better: 'less',
        ...cpu,
        ...(hasTarget && { atMost: 1.18, target: 'at most 1.18 times', cause }),
      },
    )
  }
  outcome.tables.push({ title: 'Hit in memory, and a bare node:http server with the same bytes', head, rows })
  outcome.charts.push({
    title: 'CPU of a hit in memory',
    kind: 'bars',
    x: '',
    y: 'µs of CPU per request',
    series: Object.entries(bars).map(([name, points]) => ({ name, points })),
    marks: groups,
  })
  await Promise.all([onramp.stop(), bare.stop()])
}

/** Fetches an answer until its compressed variant exists, which is built after the first answer. */
async function keptIn(url: string, path: string, encoding: Encoding): Promise<Kept> {
  const headers: Record<string, string> = encoding === 'br' ? { 'Accept-Encoding': 'br' } : {}
  for (let tries = 0; ; tries += 1) {
    const kept = await keep(url, path, headers, `${path}-${encoding}`)
    if (encoding === 'plain' || kept.headers['content-encoding'] === encoding) return kept
    if (tries === 100) throw new Error(`${path} is not compressed.`)
    await after(50)
  }
}

async function fromRedis({ stage, isQuick, note, seed }: Context, outcome: Outcome): Promise<void> {
  note('from Redis')
  const redis = await stage.redis()
  const onramp = await stage.onramp({
    redis,
    core: serverCore,
    change: (settings) => {
      withPlans(settings)
      settings.memory = { maxBytes: '1MiB' } // so small that nearly every hit comes from Redis
    },
  })
  const bare = await stage.processes.node('./servers/bare-redis.ts', [redis.url], { core: serverCore })
  const paths = Array.from({ length: 2000 }, (_none, i) => `/bench/plans/8/${i}`)
  const client = new Redis(redis.url)
  for (let i = 0; i < paths.length; i += 20) {
    const fill = async (path: string) => {
      const body = await (await fetch(onramp.url + path)).arrayBuffer()
      await client.set(path, Buffer.from(body))
    }
    await Promise.all(paths.slice(i, i + 20).map(fill))
  }
  client.disconnect()
  const next = random(seed)
  const orders = Array.from({ length: connections }, () =>
    paths
      .map((path) => [next(), path] as const)
      .sort((a, b) => a[0] - b[0])
      .map(([, path]) => path),
  )
  const ask = (connection: number) => orders[connection % connections] as string[]
  const rounds = isQuick ? 2 : 3
  const servers = { onramp, 'bare GET': bare }
  const names = ['onramp', 'bare GET'] as const
  for (const one of names) await load(servers[one].url, { connections, seconds: 1, paths: ask })
  const before = (await onramp.stats()).total
  const measured = await interleaved(names, rounds, (one) => cost(servers[one], ask, 1))
  const { total } = await onramp.stats()
  const fromThere =
    ((total.redis as number) - (before.redis as number)) / ((total.requests as number) - (before.requests as number))
  const alone = await interleaved(names, rounds, (one) => cost(servers[one], ask, 1, {}, 1))
  const rows = [...rowsOf('3 KB', measured), ...rowsOf('3 KB, one at a time', alone)]
  outcome.tables.push({ title: 'Hit in Redis, and a bare GET by ioredis', head, rows })
  claimTimes(outcome, 'redis', ['a hit in Redis', 'a bare ioredis GET behind node:http'], 1.5, {
    clients: connections,
    alone: compare(alone.onramp, alone['bare GET'], (one) => one.p50),
    together: compare(measured['bare GET'], measured.onramp, (one) => one.perSecond),
    cause: 'onramp checks the digest of the value, decides whether it may be served, and stores it in memory.',
    note: `; ${percent(fromThere)} of its answers came from Redis, the others from memory`,
  })
  await Promise.all([onramp.stop(), bare.stop()])
  await redis.stop()
}

interface Times {
  /** The ratio of the medians with one connection. */
  alone: Compared
  /** The ratio of the times per request at full load, with `clients` connections. */
  together: Compared
  clients: number
  cause: string
  note?: string
}

/** Claims the time of `ours` compared with `theirs`: the median with one request at a time, which has the target, and 1 / throughput. */
function claimTimes(
  { claims }: Outcome,
  id: string,
  [ours, theirs]: [ours: string, theirs: string],
  atMost: number,
  { alone, together, clients, cause, note = '' }: Times,
): void {
  claims.push(
    {
      id: `${id}-alone`,
      measure: `p50 of ${ours}, one at a time, compared with ${theirs}`,
      measured: times(alone),
      ...alone,
      atMost,
      target: `at most ${atMost} times`,
      cause,
    },
    {
      id: `${id}-together`,
      measure: `1 / throughput of ${ours}, ${clients} connections at full load, compared with ${theirs}`,
      measured: `${times(together)}${note}`,
      better: 'less',
      ...together,
    },
  )
}

async function fromOrigin({ stage, isQuick, note, seed }: Context, outcome: Outcome): Promise<void> {
  note('from PostgreSQL')
  const sql = fileURLToPath(new URL('../../config/marketplace/queries/plan-search.sql', import.meta.url))
  const few = 8
  const direct = await stage.processes.node('./servers/direct.ts', [stage.databaseUrl, sql, String(few)])
  const onramp = await stage.onramp({
    change: (settings) => {
      settings.postgres = { ...settings.postgres, connections: few }
      const route = settings.routes['plan-search'] as Record<string, unknown>
      route.share = { limit: few }
    },
  })
  const servers = { onramp, 'bare pg': direct }
  const names = ['onramp', 'bare pg'] as const
  const { next } = shoppers(stage.popularity, seed)
  const drawn = new Set<string>()
  const fresh = (): string => {
    const path = search(next())
    if (drawn.has(path)) return fresh()
    drawn.add(path)
    return path
  }
  const ask = (many: number) => (name: (typeof names)[number]) => {
    // More distinct keys than can be answered: each request is a miss.
    const lists = Array.from({ length: many }, () => Array.from({ length: 4000 / many }, fresh))
    return cost(servers[name], (connection) => lists[connection] as string[], 1, {}, many)
  }
  for (const name of isQuick ? names : [...names, ...names]) await ask(few)(name)
  const measured = await interleaved(names, isQuick ? 2 : 3, ask(few))
  const alone = await interleaved(names, isQuick ? 2 : 4, ask(1))
  outcome.tables.push({
    title: 'Miss, and a bare pg query behind Fastify',
    head,
    rows: [...rowsOf('plan-search', measured), ...rowsOf('plan-search, one at a time', alone)],
  })
  claimTimes(outcome, 'miss', ['a miss', 'a bare pg query behind Fastify'], 1.15, {
    clients: few,
    alone: compare(alone.onramp, alone['bare pg'], (one) => one.p50),
    together: compare(measured['bare pg'], measured.onramp, (one) => one.perSecond),
    cause:
      'Parameters, scheduling, circuit breakers, single-flight, validation, digest and storing take about 0.2 ms. The statement itself takes one or two.',
  })
  await Promise.all([onramp.stop(), direct.stop()])
}
