import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { load } from '../load.ts'
import { openLoop } from '../open-loop.ts'
import type { Served } from '../processes.ts'
import { type Moment, Recording } from '../recording.ts'
import { sampled } from '../sampling.ts'
import {
  type Claim,
  type Context,
  counted,
  duration,
  type Outcome,
  percent,
  rounded,
  type Scenario,
} from '../scenario.ts'
import { askOnce, searches } from '../shoppers.ts'
import type { WrittenConfig } from '../stage.ts'

const connections = 16
const statements = {
  slow: { title: 'slow (first) statement', file: '../servers/plain-search.sql' },
  optimized: { title: 'optimized (shipped) statement', file: '../../config/marketplace/queries/plan-search.sql' },
}

export const story: Scenario = {
  name: 'story',
  question:
    'A thousand shoppers ask for the plans of their county, and ask again after each answer. How long do they wait without a cache, while it fills, and after?',
  async run(context) {
    const slow = await tell(context, 'slow', context.isQuick ? [8, 4] : [18, 6])
    const optimized = await tell(context, 'optimized', context.isQuick ? [4, 3] : [6, 4])
    return outcome(slow, optimized)
  },
}

interface Told {
  name: keyof typeof statements
  title: string
  people: number
  direct: Part
  takeover: Part
  warm: Part
  /** Open loops at half of the request rate that PostgreSQL can serve: nothing queues for long. */
  lightDirect: Recording
  lightWarm: Recording
  all: Moment[]
  statements: [x: number, y: number][]
  switchedAt: number
  distinct: number
}

/**
 * The mean wait of `people` in a closed loop without pauses, in milliseconds (Little's law). It counts people without any answer too, which
 * the mean of the answers leaves out.
 */
function waitOf(people: number, { perSecond }: Recording): number {
  return (people / perSecond) * 1000
}

/** A row of the table. */
type Loaded = Pick<Part, 'recording'> & Partial<Part>

interface Part {
  recording: Recording
  /** CPU of the handler or of onramp, as a share of one core. */
  serverCpu: number
  statementsPerSecond?: number
}

/** Loads the handler without a cache for some seconds, then onramp with a cold cache, with the same shoppers. */
async function tell(context: Context, name: keyof typeof statements, [alone, cached]: number[]): Promise<Told> {
  const { stage, note, seed } = context
  const { title, file } = statements[name]
  const people = context.isQuick ? 500 : 1000
  const paths = searches(stage.popularity, seed, people)
  const askOwn = (connection: number) => [paths[connection % people] as string]
  const sql = fileURLToPath(new URL(file, import.meta.url))

  note(`${title}: ${people} shoppers without onramp`)
  const direct = await stage.processes.node('./servers/direct.ts', [stage.databaseUrl, sql, String(connections)])
  const onramp = await stage.onramp({ change: (settings) => slowDatabase(settings, sql) })
  await load(direct.url, { connections: connections * 2, seconds: 2, paths: askOwn })
  await stage.resetStatements()
  const sampling = sampled(() => stage.statements())
  const loaded = async (served: Served, seconds: number) => {
    const cpu = served.cpuSeconds()
    const recording = await load(served.url, { connections: people, seconds, paths: askOwn })
    return { recording, serverCpu: (served.cpuSeconds() - cpu) / recording.seconds }
  }
  const { recording: before, serverCpu } = await loaded(direct, alone as number)
  await direct.stop()
  // The first answers of a closed loop come before its queue is full: they are left out.
  const settled = before.between(before.seconds / 2, before.seconds)
  const distinct = new Set(paths).size
  // Long enough to read each list once at the speed of PostgreSQL, and 30 % longer.
  const filling = Math.min(60, Math.max(cached as number, (1.3 * distinct) / settled.perSecond))
  note(`${title}: the same shoppers with onramp, cold cache`)
  const switchedAt = sampling.seconds()
  const takeover = await loaded(onramp, filling)
  // On a busy machine that was too short. The warm phase needs every list cached.
  await askOnce(onramp.url, paths)
  note(`${title}: the same shoppers with onramp, warm cache`)
  const warmAt = sampling.seconds()
  const warm = await loaded(onramp, cached as number)
  const samples = await sampling.stop()

  const all = new Recording()
  all.join(before)
  all.join(takeover.recording, switchedAt)
  all.join(warm.recording, warmAt)
  const lightly = (url: string) => {
    let next = 0
    return openLoop(url, {
      seconds: context.isQuick ? 4 : 5,
      rate: () => settled.perSecond / 2,
      path: () => paths[next++ % people] as string,
      seed,
    })
  }
  note(`${title}: half of that rate, with onramp and without it`)
  const lightWarm = await lightly(onramp.url)
  await onramp.stop()
  // A new handler: the statements that the closed loop left behind would delay the first answers.
  const again = await stage.processes.node('./servers/direct.ts', [stage.databaseUrl, sql, String(connections)])
  await load(again.url, { connections, seconds: 2, paths: askOwn })
  await fetch(again.url + (paths[0] as string))
  const lightDirect = await lightly(again.url)
  await again.stop()
  return {
    name,
    title,
    people,
    direct: { recording: settled, serverCpu, statementsPerSecond: samples.rate(before.seconds / 2, before.seconds) },
    takeover,
    warm: { ...warm, statementsPerSecond: samples.rate(warmAt + 1, warmAt + warm.recording.seconds) },
    lightDirect,
    lightWarm,
    all: all.overTime(0.5),
    statements: samples.perSecond(),
    switchedAt,
    distinct,
  }
}

/** Timeouts and concurrency for a statement that takes seconds under load. */
function slowDatabase(settings: WrittenConfig, sql: string): void {
  const route = settings.routes['plan-search'] as Record<string, unknown>
  route.sql = readFileSync(sql, 'utf8')
  route.share = { limit: connections }
  settings.request = { timeout: '60s' }
  settings.postgres = { ...settings.postgres, connections, statementTimeout: '20s' }
}

function outcome(slow: Told, optimized: Told): Outcome {
  const claims = [slow, optimized].flatMap((told) => claimsOf(told, told === slow))
  const row = (told: Told, variant: string, { recording, serverCpu, statementsPerSecond }: Loaded) => [
    `${told.title}: ${variant}`,
    serverCpu === undefined ? '–' : duration(waitOf(told.people, recording)),
    duration(recording.mean),
    duration(recording.percentile(0.5)),
    duration(recording.percentile(0.99)),
    rounded(recording.perSecond),
    statementsPerSecond === undefined ? '–' : rounded(statementsPerSecond),
    recording.failed,
    recording.unanswered,
    serverCpu === undefined ? '–' : percent(serverCpu),
    percent(recording.generatorCpu),
  ]
  return {
    claims,
    tables: [
      {
        title: 'Wait of a shopper, without onramp and with it',
        head: [
          'variant',
          'wait per shopper',
          'mean',
          'p50',
          'p99',
          'answers/s',
          'SQL/s',
          'failed',
          'no answer at all',
          'handler or onramp CPU',
          'load generator CPU',
        ],
        rows: [slow, optimized].flatMap((told) => [
          row(told, 'without onramp', told.direct),
          row(told, 'onramp, cache filling', told.takeover),
          row(told, 'onramp, warm cache', told.warm),
          row(told, 'half of that rate, without onramp', { recording: told.lightDirect }),
          row(told, 'half of that rate, onramp, warm cache', { recording: told.lightWarm }),
        ]),
      },
    ],
    charts: [slow, optimized].flatMap((told) => [
      {
        title: `Wait of a shopper: ${told.title}`,
        kind: 'lines' as const,
        x: 'seconds since the start',
        y: 'wait in ms (log scale)',
        isLog: true,
        series: [
          { name: 'p50', points: told.all.map(({ at, p50 }): [number, number] => [at, p50]) },
          { name: 'p99', points: told.all.map(({ at, p99 }): [number, number] => [at, p99]) },
        ],
        marks: [{ x: told.switchedAt, label: 'switch to onramp' }],
      },
      {
        title: `SQL statements per second: ${told.title}`,
        kind: 'lines' as const,
        x: 'seconds since the start',
        y: 'statements per second',
        series: [{ name: 'SQL', points: told.statements }],
        marks: [{ x: told.switchedAt, label: 'switch to onramp' }],
      },
    ]),
    notes: [
      'Slow statement: plan-search as first written, with a subquery for each price. Optimized statement: rewritten with LATERAL, as the example ships it.',
      `${slow.distinct} of the ${counted(slow.people)} lists of plans differ. Each of these costs one statement while the cache fills, and its readers wait for it. Some still wait when that phase ends. Then all of them are cached: no list is missed, as it would be with a limited memory (scenario hit-ratio).`,
      `The handler without onramp and onramp have ${connections} database connections each. Waits are queueing: no statement contains a delay.`,
      `Shoppers never pause. So the wait per shopper is ${counted(slow.people)} / (answers per second): a ratio of throughputs, which includes shoppers without any answer. Mean, p50 and p99 are of answers only.`,
      'The warm figure is therefore the combined speed of onramp and the load generator. The rows below it show the waits under light load: half of the request rate that PostgreSQL can serve.',
      'Here onramp runs with request.timeout 60s and postgres.statementTimeout 20s, which the slow statement needs. With its defaults onramp rejects (503) requests that it cannot answer within 3 s.',
    ],
  }
}

function claimsOf(told: Told, hasTargets: boolean): Claim[] {
  const { recording: warm, serverCpu } = told.warm
  const [before, after] = [told.direct.recording, warm].map((one) => waitOf(told.people, one)) as [number, number]
  const shorter = before / after
  /** SQL statements per 1,000 answers. */
  const costs = ({ recording, statementsPerSecond = Number.NaN }: Part) =>
    (statementsPerSecond / recording.perSecond) * 1000
  const saved = 1 - costs(told.warm) / costs(told.direct)
  const [failed, all] = [told.takeover.recording, warm, told.lightWarm].reduce(
    ([failed, all], part) => [failed + part.failed, all + part.count],
    [0, 0],
  )
  const waits = (part: Recording) => `p50 ${duration(part.percentile(0.5))} and p99 ${duration(part.percentile(0.99))}`
  return [
    {
      id: `${told.name}-wait`,
      measure: `Wait per shopper (${counted(told.people)} / answers per second), ${told.title}`,
      measured: `${duration(before)} without onramp, ${duration(after)} with it: ${rounded(shorter)} times shorter`,
      value: shorter,
      better: 'more',
      ...(hasTargets && {
        atLeast: 200,
        target: 'at least 200 times shorter',
        cause: `It is a ratio of throughputs. In the warm phase onramp used ${percent(serverCpu)} of a core, the load generator ${percent(warm.generatorCpu)}.`,
      }),
    },
    {
      id: `${told.name}-light`,
      measure: `Wait under light load (half of the rate that PostgreSQL can serve), ${told.title}`,
      measured: `${waits(told.lightDirect)} without onramp, ${waits(told.lightWarm)} with it`,
      value: told.lightWarm.percentile(0.5),
      better: 'less',
    },
    {
      id: `${told.name}-sql-saved`,
      measure: `SQL statements saved by a warm cache, ${told.title}`,
      measured: `${percent(Math.floor(saved * 1000) / 1000)} (per 1,000 answers: ${rounded(costs(told.direct))} without onramp, ${rounded(costs(told.warm))} with it)`,
      value: saved,
      better: 'more',
      ...(hasTargets && { atLeast: 0.99, target: 'at least 99 %' }),
    },
    {
      id: `${told.name}-failed`,
      measure: `Failed requests while the cache fills and after, ${told.title}`,
      measured: `${counted(failed as number)} of ${counted(all as number)}; from the warm cache, ${warm.unanswered} shoppers got no answer`,
      value: (failed as number) + warm.unanswered,
      better: 'less',
      ...(hasTargets && {
        atMost: 0,
        target: '0',
        cause:
          'A process that has just started can be 100 ms late for a second when a thousand clients ask at once. It then rejects requests for keys that are not cached.',
      }),
    },
  ]
}
