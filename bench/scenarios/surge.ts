import { openLoop } from '../open-loop.ts'
import { after } from '../processes.ts'
import { random } from '../random.ts'
import { type Recording, sourcesOf } from '../recording.ts'
import { type Context, duration, type Outcome, percent, rounded, type Scenario } from '../scenario.ts'
import { freePort } from '../servers/programs.ts'
import { askOnce, type Shopper, shoppers } from '../shoppers.ts'
import type { Onramp } from '../stage.ts'

const everySeconds = 10
/** How many each household drawn stands for, of the people of the day: else an hour would go by until everything is asked for. */
const standsFor = 10

export const surge: Scenario = {
  name: 'surge',
  question:
    'The morning of 23 December: 32,500 people become 65,000 within the run, then 83,000, each asking every ten seconds. What do they wait when nothing is held, when all is, and with a deploy in the middle?',
  async run(context) {
    const { stage, isQuick, note, seed } = context
    const scale = isQuick ? 0.25 : 1
    const seconds = isQuick ? 8 : 10
    const people = (at: number) =>
      scale * (at < seconds / 3 ? 32_500 * (1 + (3 * at) / seconds) : at < (2 * seconds) / 3 ? 65_000 : 83_000)
    const day = () => {
      // The same people come each time, in the same order.
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
    note('nothing is held')
    const cold = await run(first.url)
    note('what is missing is filled')
    await askOnce(first.url, Array.from({ length: (seconds * people(seconds)) / everySeconds }, day()))
    note('all is held')
    const warm = await run(first.url)
    note('all is held, and the process is replaced in the middle')
    const deploy = async () => {
      await after((seconds / 2) * 1000 - 2500)
      const second = await start()
      await first.stop()
      return second
    }
    const [deployed, second] = await Promise.all([run(first.url), deploy()])
    await second.stop()
    await redis.stop()
    return outcome({ 'nothing held': cold, 'all held': warm, 'with a deploy': deployed }, context, people(seconds))
  },
}

function outcome(runs: Record<string, Recording>, { isQuick }: Context, people: number): Outcome {
  const many = (count: number) => Math.round(count).toLocaleString('en-US')
  const result: Outcome = { claims: [], tables: [], charts: [], notes: [] }
  const sources = sourcesOf(Object.values(runs))
  result.tables.push({
    title: `Up to ${many(people)} people`,
    head: ['run', 'requests', 'p50', 'p99', 'longest', 'failed', ...sources, 'load: CPU'],
    rows: Object.entries(runs).map(([name, run]) => {
      const bySource = run.sources
      return [
        name,
        many(run.count),
        duration(run.percentile(0.5)),
        duration(run.percentile(0.99)),
        duration(run.percentile(1)),
        many(run.failed),
        ...sources.map((source) => percent((bySource[source] ?? 0) / run.count)),
        percent(run.generatorCpu),
      ]
    }),
  })
  for (const [name, run] of Object.entries(runs)) {
    const isHeld = name !== 'nothing held'
    result.claims.push({
      what: `up to ${many(people)} people, ${name}`,
      measured: `p50 ${duration(run.percentile(0.5))}, p99 ${duration(run.percentile(0.99))}, ${many(run.failed)} of ${many(run.count)} failed`,
      value: run.failed,
      ...(isHeld && {
        atMost: 0,
        floor: 'none failed',
        cause:
          'all connections come to a process whose code the engine has not compiled yet, and whose memory is empty: it reads thousands of answers a second from Redis',
      }),
    })
  }
  result.charts.push({
    title: 'What people wait, 99th percentile',
    kind: 'lines',
    x: 'seconds',
    y: 'milliseconds',
    isLog: true,
    series: Object.entries(runs).map(([name, run]) => ({
      name,
      points: run.overTime(0.5).map(({ at, p99 }): [number, number] => [at, p99]),
    })),
  })
  result.notes.push(
    `Arrivals are at random and do not wait for answers; a wait counts from the moment somebody came. ${isQuick ? 'A quarter of the people, since this run is quick. ' : ''}One household drawn by popularity stands for ${standsFor} people; half of the pages are lists of plans.`,
    `When nothing is held PostgreSQL is asked for each answer once; what it cannot do in time is refused (503), which counts as failed: ${rounded(runs['nothing held']?.failed ?? 0)} here.`,
  )
  return result
}
