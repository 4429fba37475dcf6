import { openLoop } from '../open-loop.ts'
import { after } from '../processes.ts'
import { noSource, type Recording, sourcesOf } from '../recording.ts'
import { counted, duration, type Outcome, rounded, type Scenario } from '../scenario.ts'
import { search, shoppers } from '../shoppers.ts'

export const outage: Scenario = {
  name: 'outage',
  question:
    'PostgreSQL is killed under load and restarted, then Redis. How many requests fail, how long do clients wait, and when is all well again?',
  async run({ stage, isQuick, note, seed }) {
    const scale = 0.6
    const rate = isQuick ? 200 : 400
    const redis = await stage.redis()
    const onramp = await stage.onramp({
      redis,
      change: (settings) => {
        const route = settings.routes['plan-search'] as Record<string, unknown>
        // Shorter than the outage, so that entries become stale during it.
        route.lifetime = { fresh: '3s', stale: '2s', staleIfError: '1h' }
      },
    })
    const { next } = shoppers(stage.popularity, seed)
    const known = Array.from({ length: 150 }, () => search(next()))
    note('warm')
    for (const path of known) await fetch(onramp.url + path)
    const at = {
      databaseKilled: 5 * scale,
      databaseBack: 15 * scale,
      redisKilled: 30 * scale,
      redisBack: 38 * scale,
      end: 45 * scale,
    }
    let asked = 0
    let own = 0
    note(`${rate} requests per second; one in fifty asks for a key that is not cached`)
    const paths = () => {
      asked += 1
      if (asked % 50 !== 0) return known[asked % known.length] as string
      own += 1
      return `${search(next())}&offset=${own}`
    }
    const happened: { at: number; what: string }[] = []
    const began = performance.now()
    const until = (seconds: number) => after(Math.max(0, seconds * 1000 - (performance.now() - began)))
    const faults = async () => {
      const say = (what: string) => {
        happened.push({ at: (performance.now() - began) / 1000, what })
        note(what)
      }
      await until(at.databaseKilled)
      say('PostgreSQL killed')
      await stage.killDatabase()
      await until(at.databaseBack)
      await stage.startDatabase()
      say('PostgreSQL back')
      await until(at.redisKilled)
      say('Redis killed')
      await redis.stop()
      await until(at.redisBack)
      await stage.redis(Number(new URL(redis.url).port))
      say('Redis back')
    }
    const [recording] = await Promise.all([
      openLoop(onramp.url, { seconds: at.end, rate: () => rate, seed, path: paths, timeoutMs: 8000 }),
      faults(),
    ])
    await onramp.stop()
    return outcome(recording, happened)
  },
}

function outcome(recording: Recording, happened: { at: number; what: string }[]): Outcome {
  const moments = recording.overTime(0.5)
  const when = (what: string) => happened.find((one) => one.what === what)?.at ?? Number.NaN
  const phases: [name: string, from: number, to: number][] = [
    ['before', 0, when('PostgreSQL killed')],
    ['PostgreSQL gone', when('PostgreSQL killed'), when('PostgreSQL back')],
    ['PostgreSQL back', when('PostgreSQL back'), when('Redis killed')],
    ['Redis gone', when('Redis killed'), when('Redis back')],
    ['Redis back', when('Redis back'), recording.seconds],
  ]
  const sources = sourcesOf([recording])
  const rows = phases.map(([name, from, to]) => {
    const part = recording.between(from, to)
    const bySource = part.sources
    return [
      name,
      counted(part.count),
      counted(part.failed),
      duration(part.percentile(0.5)),
      duration(part.percentile(0.99)),
      duration(part.percentile(1)),
      ...sources.map((source) => counted(bySource[source] ?? 0)),
    ]
  })
  const gone = recording.between(when('PostgreSQL killed'), when('PostgreSQL back'))
  const without = recording.between(when('Redis killed'), when('Redis back'))
  const share = gone.failed / gone.count
  return {
    claims: [
      {
        id: 'postgres-gone-answered',
        measure: 'Requests answered while PostgreSQL is gone; 49 in 50 ask for cached entries',
        measured: `${rounded((1 - share) * 100)} %`,
        value: 1 - share,
        atLeast: 0.97,
        target: 'at least 97 %',
      },
      {
        id: 'redis-gone-failed',
        measure: 'Failed requests while Redis is gone',
        measured: `${counted(without.failed)} of ${counted(without.count)}`,
        value: without.failed,
        atMost: 0,
        target: 'none',
      },
      recovery(recording, when('PostgreSQL back'), 'PostgreSQL'),
      recovery(recording, when('Redis back'), 'Redis'),
    ],
    tables: [
      {
        title: 'Requests by phase; the last columns: sources of the answers',
        head: ['phase', 'requests', 'failed', 'p50', 'p99', 'maximum', ...sources.map(sourceName)],
        rows,
      },
    ],
    charts: [
      {
        title: 'Wait during the outages',
        kind: 'lines',
        x: 'seconds since the start',
        y: 'wait in ms (log scale)',
        isLog: true,
        series: [
          { name: 'p50', points: moments.map(({ at, p50 }) => [at, p50]) },
          { name: 'p99', points: moments.map(({ at, p99 }) => [at, p99]) },
        ],
        marks: happened.map(({ at, what }) => ({ x: at, label: what })),
      },
      {
        title: 'Sources of the answers',
        kind: 'stack',
        x: 'seconds since the start',
        y: 'answers per half second',
        series: sources.map((source) => ({
          name: sourceName(source),
          points: moments.map((moment) => [moment.at, moment.sources[source] ?? 0]),
        })),
        marks: happened.map(({ at, what }) => ({ x: at, label: what })),
      },
    ],
    notes: [
      'Killed means SIGKILL, to the server and its children. Entries are fresh for 3 s here, so that they become stale during the outage.',
      'One request in fifty asks for a key that is not cached. It can only fail while PostgreSQL is gone.',
    ],
  }
}

function sourceName(source: string): string {
  return source === noSource ? 'not named' : source
}

/** Seconds from the return of a server, at `from`, to the end of the last half second with a failure. Failures after 9 s do not count. */
function recovery(recording: Recording, from: number, name: string) {
  const moments = recording.between(from, from + 9).overTime(0.5)
  const last = moments.findLast(({ failed }) => failed > 0)
  const seconds = last === undefined ? 0 : last.at + 0.5 - from
  return {
    id: `${name.toLowerCase()}-recovery`,
    measure: `Time from the return of ${name} until no request fails, to the half second`,
    measured: duration(seconds * 1000),
    value: seconds,
  }
}
