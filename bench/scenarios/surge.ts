import { openLoop } from '../open-loop.ts'
import { after } from '../processes.ts'
import { random } from '../random.ts'
import { type Recording, sourcesOf } from '../recording.ts'
import { type Context, counted, duration, failures, type Outcome, percent, type Scenario } from '../scenario.ts'
import { freePort } from '../servers/programs.ts'
import { askOnce, type Shopper, shoppers } from '../shoppers.ts'
import type { Onramp } from '../stage.ts'

const everySeconds = 10
/** People per drawn household. With one each, it would take an hour until every key is asked for. */
const standsFor = 10
const coldProcess =
  'All connections move to a process whose code is not compiled yet and whose memory is empty. It reads thousands of answers per second from Redis.'

export const surge: Scenario = {
  name: 'surge',
  question:
    'The morning of 23 December: 32,500 people become 65,000, then 83,000, and each asks every ten seconds. How long do they wait with a cold cache, with a warm cache, and during a deploy?',
  async run(context) {
    const { stage, isQuick, note, seed } = context
    const scale = isQuick ? 0.25 : 1
    const seconds = isQuick ? 8 : 10
    const people = (at: number) =>
      scale * (at < seconds / 3 ? 32_500 * (1 + (3 * at) / seconds) : at < (2 * seconds) / 3 ? 65_000 : 83_000)
    const day = () => {
      // The same people in the same order for each run.
      const { next, page } = shoppers(stage.popularity, seed)
      const all: Shopper[] = Array.from({ length: (83_000 * scale) / standsFor }, next)
      const draw = random(seed)
      return () => page(all[Math.floor(draw() * all.length)] as Shopper)
    }
    const run = (url: string) =>
      openLoop(url, {
        seconds,
        rate: (at) => people(at) / everySeconds,
        path: day(),
        seed,
        connections: 2000,
        timeoutMs: 10_000,
      })

    const redis = await stage.redis()
    const port = await freePort()
    const start = (): Promise<Onramp> =>
      stage.onramp({
        redis,
        port,
        change: (settings) => {
          settings.listen = { ...settings.listen, reusePort: true }
          settings.limits = { maxRequests: 0 }
        },
      })
    const first = await start()
    note('cold cache')
    const cold = await run(first.url)
    note('filling the cache')
    await askOnce(first.url, Array.from({ length: (seconds * people(seconds)) / everySeconds }, day()))
    note('warm cache')
    const warm = await run(first.url)
    note('warm cache, and a deploy replaces the process')
    const deploy = async () => {
      await after((seconds / 2) * 1000 - 2500)
      const second = await start()
      await first.stop()
      return second
    }
    const [deployed, second] = await Promise.all([run(first.url), deploy()])
    await second.stop()
    await redis.stop()
    return outcome({ [names.cold]: cold, [names.warm]: warm, [names.deploy]: deployed }, context, people(seconds))
  },
}

const names = { cold: 'cold cache', warm: 'warm cache', deploy: 'warm cache, with a deploy' } as const

function outcome(
  runs: Record<(typeof names)[keyof typeof names], Recording>,
  { isQuick }: Context,
  people: number,
): Outcome {
  const result: Outcome = { claims: [], tables: [], charts: [], notes: [] }
  const sources = sourcesOf(Object.values(runs))
  result.tables.push({
    title: `Up to ${counted(people)} people; ${sources.join(', ')}: sources of the answers`,
    head: ['run', 'requests', 'p50', 'p99', 'maximum', 'failed', ...sources, 'load generator CPU'],
    rows: Object.entries(runs).map(([name, run]) => {
      const bySource = run.sources
      return [
        name,
        counted(run.count),
        duration(run.percentile(0.5)),
        duration(run.percentile(0.99)),
        duration(run.percentile(1)),
        counted(run.failed),
        ...sources.map((source) => percent((bySource[source] ?? 0) / run.count)),
        percent(run.generatorCpu),
      ]
    }),
  })
  for (const id of ['cold', 'warm', 'deploy'] as const) {
    const run = runs[names[id]]
    result.claims.push({
      id,
      measure: `Surge to ${counted(people)} people, ${names[id]}`,
      measured: `${failures(run.failed, run.count)}; p50 ${duration(run.percentile(0.5))}, p99 ${duration(run.percentile(0.99))}`,
      value: run.failed,
      better: 'less',
      ...(id !== 'cold' && { atMost: 0, target: '0 failed' }),
      ...(id === 'deploy' && { cause: coldProcess }),
    })
  }
  result.charts.push({
    title: 'Wait, 99th percentile',
    kind: 'lines',
    x: 'seconds since the start',
    y: 'wait in ms (log scale)',
    isLog: true,
    series: Object.entries(runs).map(([name, run]) => ({
      name,
      points: run.overTime(0.5).map(({ at, p99 }): [number, number] => [at, p99]),
    })),
  })
  result.notes.push(
    `Requests arrive at random, whether or not earlier ones were answered. A wait counts from the arrival; waits of failed requests are included.${isQuick ? ' This quick run has a quarter of the people.' : ''}`,
    `One household, drawn by the popularity of its county, stands for ${standsFor} people. Half of the pages are lists of plans.`,
    `With a cold cache, each answer costs one statement. onramp rejects (503) requests that PostgreSQL cannot answer in time: they count as failed, ${counted(runs[names.cold].failed)} in this run.`,
  )
  return result
}
