import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { load } from '../load.ts'
import { openLoop } from '../open-loop.ts'
import { type Moment, Recording } from '../recording.ts'
import { sampled } from '../sampling.ts'
import { type Claim, type Context, duration, type Outcome, percent, rounded, type Scenario } from '../scenario.ts'
import { askOnce, searches } from '../shoppers.ts'
import type { WrittenConfig } from '../stage.ts'

const connections = 16
const statements = {
  plain: { title: 'the statement as first written', file: '../servers/plain-search.sql' },
  rewritten: { title: 'the statement rewritten (LATERAL)', file: '../../config/marketplace/queries/plan-search.sql' },
}

export const story: Scenario = {
  name: 'story',
  question:
    'A thousand shoppers look at the plans of their county, each asking again when answered: what do they wait without a cache, while onramp takes over, and after?',
  async run(context) {
    const plain = await tell(context, 'plain', context.isQuick ? [8, 4] : [18, 6])
    const rewritten = await tell(context, 'rewritten', context.isQuick ? [4, 3] : [6, 4])
    return outcome(plain, rewritten)
  },
}

interface Told {
  title: string
  people: number
  direct: Part
  takeover: Recording
  warm: Part
  /** The rate the database alone could serve, asked of onramp: arrivals at random, not a closed loop. */
  sameRate: Recording
  all: Moment[]
  statements: [x: number, y: number][]
  switchedAt: number
  distinct: number
}

/**
 * What each of `people` waits who ask again when answered, in milliseconds (Little's law). The mean of the answers is less where some of them
 * have none.
 */
function waitOf(people: number, { perSecond }: Recording): number {
  return (people / perSecond) * 1000
}

interface Part {
  recording: Recording
  statementsPerSecond: number
}

/** Direct for some seconds, then the same shoppers ask onramp, which is empty. */
async function tell(context: Context, name: keyof typeof statements, [alone, cached]: number[]): Promise<Told> {
  const { stage, note, seed } = context
  const { title, file } = statements[name]
  const people = context.isQuick ? 500 : 1000
  const paths = searches(stage.popularity, seed, people)
  const askOwn = (connection: number) => [paths[connection % people] as string]
  const sql = fileURLToPath(new URL(file, import.meta.url))

  note(`${title}: ${people} shoppers, straight to PostgreSQL`)
  const direct = await stage.processes.node('./servers/direct.ts', [stage.databaseUrl, sql, String(connections)])
  const onramp = await stage.onramp({ change: (settings) => slowDatabase(settings, sql) })
  await load(direct.url, { connections: connections * 2, seconds: 2, paths: askOwn })
  await stage.resetStatements()
  const sampling = sampled(() => stage.statements())
  const before = await load(direct.url, { connections: people, seconds: alone as number, paths: askOwn })
  await direct.stop()
  // The first answers of a closed loop come before its queue is full.
  const settled = before.between(before.seconds / 2, before.seconds)
  const distinct = new Set(paths).size
  // Each list has to be read once, at the speed of PostgreSQL; and a little longer.
  const filling = Math.min(60, Math.max(cached as number, (1.3 * distinct) / settled.perSecond))
  note(`${title}: the same shoppers, now through onramp`)
  const switchedAt = sampling.seconds()
  const takeover = await load(onramp.url, { connections: people, seconds: filling, paths: askOwn })
  // On a busy machine that was not enough, and the warm figures are to be of what is held.
  await askOnce(onramp.url, paths)
  note(`${title}: everything is held`)
  const warmAt = sampling.seconds()
  const warm = await load(onramp.url, { connections: people, seconds: cached as number, paths: askOwn })
  const samples = await sampling.stop()

  const all = new Recording()
  all.join(before)
  all.join(takeover, switchedAt)
  all.join(warm, warmAt)
  note(`${title}: onramp at the rate PostgreSQL alone could serve`)
  let next = 0
  const sameRate = await openLoop(onramp.url, {
    seconds: context.isQuick ? 4 : 5,
    rate: () => settled.perSecond,
    path: () => paths[next++ % people] as string,
    seed,
  })
  await onramp.stop()
  return {
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

/** As one would set it ahead of a database that takes eight seconds: it may. */
function slowDatabase(settings: WrittenConfig, sql: string): void {
  const route = settings.routes['plan-search'] as Record<string, unknown>
  route.sql = readFileSync(sql, 'utf8')
  route.share = { limit: connections }
  settings.request = { timeout: '60s' }
  settings.postgres = { ...settings.postgres, connections, statementTimeout: '20s' }
}

function outcome(plain: Told, rewritten: Told): Outcome {
  const claims = [plain, rewritten].flatMap((told) => claimsOf(told, told === plain))
  const row = (told: Told, what: string, recording: Recording, statementsPerSecond: number | undefined) => [
    `${told === plain ? 'as first written' : 'rewritten'}: ${what}`,
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
        title: 'What a shopper waits',
        head: [
          'statement',
          'a shopper waits',
          'mean',
          'p50',
          'p99',
          'answers/s',
          'SQL/s',
          'failed',
          'without any answer',
          'load: CPU',
        ],
        rows: [plain, rewritten].flatMap((told) => [
          row(told, 'direct', told.direct.recording, told.direct.statementsPerSecond),
          row(told, 'onramp, taking over', told.takeover, undefined),
          row(told, 'onramp, warm', told.warm.recording, told.warm.statementsPerSecond),
          row(told, "onramp, warm, at direct's rate", told.sameRate, undefined),
        ]),
      },
    ],
    charts: [plain, rewritten].flatMap((told) => [
      {
        title: `What a shopper waits: ${told.title}`,
        kind: 'lines' as const,
        x: 'seconds',
        y: 'milliseconds',
        isLog: true,
        series: [
          { name: 'p50', points: told.all.map(({ at, p50 }): [number, number] => [at, p50]) },
          { name: 'p99', points: told.all.map(({ at, p99 }): [number, number] => [at, p99]) },
        ],
        marks: [{ x: told.switchedAt, label: 'onramp takes over' }],
      },
      {
        title: `SQL a second: ${told.title}`,
        kind: 'lines' as const,
        x: 'seconds',
        y: 'statements a second',
        series: [{ name: 'SQL', points: told.statements }],
        marks: [{ x: told.switchedAt, label: 'onramp takes over' }],
      },
    ]),
    notes: [
      `${plain.distinct} of the ${plain.people} lists are different; each has to be read once, and while onramp takes over its readers wait for that: some still do when that part ends.`,
      `Direct and onramp have ${connections} connections each. Nothing sleeps: who waits, waits for the others. Without a pause between its questions a crowd of ${plain.people} waits ${plain.people} / (answers a second), which also counts who has no answer; mean, p50 and p99 are of answers. So the warm figure is the speed of onramp and load together; the row below it is what shoppers wait who come as often as before.`,
      'onramp runs with request.timeout 60s and postgres.statementTimeout 20s here, so that it takes what the slow statement needs; with its defaults it would refuse (503) who cannot be answered in 3 s.',
    ],
  }
}

function claimsOf(told: Told, isFloor: boolean): Claim[] {
  const { recording: warm, statementsPerSecond } = told.warm
  const [before, after] = [told.direct.recording, warm].map((one) => waitOf(told.people, one)) as [number, number]
  const share = after / before
  const saved = 1 - statementsPerSecond / told.direct.statementsPerSecond
  const failed = told.takeover.failed + warm.failed + told.sameRate.failed
  return [
    {
      what: `mean wait of ${told.people.toLocaleString('en-US')} shoppers, ${told.title}`,
      measured: `${duration(before)} direct, ${duration(after)} through onramp: 1/${rounded(1 / share)}`,
      value: share,
      ...(isFloor && {
        atMost: 1 / 200,
        floor: 'at most 1/200',
        cause:
          'a crowd without a pause waits its number / (answers a second), and the load takes as much of the machine as onramp',
      }),
    },
    {
      what: 'the same at the rate direct could answer',
      measured: `${duration(told.sameRate.mean)} mean, ${duration(told.sameRate.percentile(0.99))} p99`,
      value: told.sameRate.mean,
    },
    {
      what: 'SQL a second saved when warm',
      measured: `${percent(saved)} (${rounded(told.direct.statementsPerSecond)} to ${rounded(statementsPerSecond)})`,
      value: saved,
      ...(isFloor && { atLeast: 0.99, floor: 'at least 99 %' }),
    },
    {
      what: 'failed while onramp took over, and after',
      measured: `${failed}, and ${warm.unanswered} had no answer at all when everything was held`,
      value: failed + warm.unanswered,
      ...(isFloor && {
        atMost: 0,
        floor: 'none',
        cause:
          'a process just begun that a thousand ask at once can be 100 ms late for a second: it then refuses what it does not hold',
      }),
    },
  ]
}
