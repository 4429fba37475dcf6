import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { load } from '../load.ts'
import { openLoop } from '../open-loop.ts'
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
  slow: { title: 'slow statement', file: '../servers/plain-search.sql' },
  optimized: { title: 'optimized statement', file: '../../config/marketplace/queries/plan-search.sql' },
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
  takeover: Recording
  warm: Part
  /** onramp at the request rate that PostgreSQL alone could serve: an open loop. */
  sameRate: Recording
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

interface Part {
  recording: Recording
  statementsPerSecond: number
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
  const before = await load(direct.url, { connections: people, seconds: alone as number, paths: askOwn })
  await direct.stop()
  // The first answers of a closed loop come before its queue is full: they are left out.
  const settled = before.between(before.seconds / 2, before.seconds)
  const distinct = new Set(paths).size
  // Long enough to read each list once at the speed of PostgreSQL, and 30 % longer.
  const filling = Math.min(60, Math.max(cached as number, (1.3 * distinct) / settled.perSecond))
  note(`${title}: the same shoppers with onramp, cold cache`)
  const switchedAt = sampling.seconds()
  const takeover = await load(onramp.url, { connections: people, seconds: filling, paths: askOwn })
  // On a busy machine that was too short. The warm phase needs every list cached.
  await askOnce(onramp.url, paths)
  note(`${title}: the same shoppers with onramp, warm cache`)
  const warmAt = sampling.seconds()
  const warm = await load(onramp.url, { connections: people, seconds: cached as number, paths: askOwn })
  const samples = await sampling.stop()

  const all = new Recording()
  all.join(before)
  all.join(takeover, switchedAt)
  all.join(warm, warmAt)
  note(`${title}: onramp at the request rate that PostgreSQL alone can serve`)
  let next = 0
  const sameRate = await openLoop(onramp.url, {
    seconds: context.isQuick ? 4 : 5,
    rate: () => settled.perSecond,
    path: () => paths[next++ % people] as string,
    seed,
  })
  await onramp.stop()
  return {
    name,
    title,
    people,
    direct: { recording: settled, statementsPerSecond: samples.rate(before.seconds / 2, before.seconds) },
    takeover,
    warm: { recording: warm, statementsPerSecond: samples.rate(warmAt + 1, warmAt + warm.seconds) },
    sameRate,
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
  const row = (told: Told, variant: string, recording: Recording, statementsPerSecond: number | undefined) => [
    `${told.title}: ${variant}`,
    recording === told.sameRate ? '–' : duration(waitOf(told.people, recording)),
    duration(recording.mean),
    duration(recording.percentile(0.5)),
    duration(recording.percentile(0.99)),
    rounded(recording.perSecond),
    statementsPerSecond === undefined ? '–' : rounded(statementsPerSecond),
    recording.failed,
    recording.unanswered,
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
          'load generator CPU',
        ],
        rows: [slow, optimized].flatMap((told) => [
          row(told, 'without onramp', told.direct.recording, told.direct.statementsPerSecond),
          row(told, 'onramp, cache filling', told.takeover, undefined),
          row(told, 'onramp, warm cache', told.warm.recording, told.warm.statementsPerSecond),
          row(told, 'onramp, warm cache, at the rate without onramp', told.sameRate, undefined),
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
      `${slow.distinct} of the ${counted(slow.people)} lists of plans differ. Each of these costs one statement while the cache fills, and its readers wait for it. Some still wait when that phase ends.`,
      `The handler without onramp and onramp have ${connections} database connections each. Waits are queueing: no statement contains a delay.`,
      `Shoppers never pause. So the wait per shopper is ${counted(slow.people)} / (answers per second), which includes shoppers without any answer. Mean, p50 and p99 are of answers only.`,
      'The warm figure is therefore the combined speed of onramp and the load generator. The row below it is the wait if shoppers come as often as they could without onramp.',
      'Here onramp runs with request.timeout 60s and postgres.statementTimeout 20s, which the slow statement needs. With its defaults onramp rejects (503) requests that it cannot answer within 3 s.',
    ],
  }
}

function claimsOf(told: Told, hasTargets: boolean): Claim[] {
  const { recording: warm, statementsPerSecond } = told.warm
  const [before, after] = [told.direct.recording, warm].map((one) => waitOf(told.people, one)) as [number, number]
  const share = after / before
  const saved = 1 - statementsPerSecond / told.direct.statementsPerSecond
  const failed = told.takeover.failed + warm.failed + told.sameRate.failed
  return [
    {
      id: `${told.name}-wait`,
      measure: `Mean wait of ${counted(told.people)} shoppers, ${told.title}`,
      measured: `${duration(before)} without onramp, ${duration(after)} with it: 1/${rounded(1 / share)}`,
      value: share,
      ...(hasTargets && {
        atMost: 1 / 200,
        target: 'at most 1/200',
        cause:
          'Shoppers never pause, so their wait is their number / (answers per second). The load generator uses as much CPU as onramp.',
      }),
    },
    {
      id: `${told.name}-same-rate`,
      measure: `Wait with onramp at the request rate that PostgreSQL alone can serve, ${told.title}`,
      measured: `${duration(told.sameRate.mean)} mean, ${duration(told.sameRate.percentile(0.99))} p99`,
      value: told.sameRate.mean,
    },
    {
      id: `${told.name}-sql-saved`,
      measure: `SQL statements saved by a warm cache, ${told.title}`,
      measured: `${percent(saved)} (from ${rounded(told.direct.statementsPerSecond)} to ${rounded(statementsPerSecond)} per second)`,
      value: saved,
      ...(hasTargets && { atLeast: 0.99, target: 'at least 99 %' }),
    },
    {
      id: `${told.name}-failed`,
      measure: `Failed requests while the cache fills and after, ${told.title}`,
      measured: `${counted(failed)} failed, ${warm.unanswered} shoppers without any answer from the warm cache`,
      value: failed + warm.unanswered,
      ...(hasTargets && {
        atMost: 0,
        target: 'none',
        cause:
          'A process that has just started can be 100 ms late for a second when a thousand clients ask at once. It then rejects requests for keys that are not cached.',
      }),
    },
  ]
}
