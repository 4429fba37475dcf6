import { openLoop } from '../open-loop.ts'
import { after } from '../processes.ts'
import { type Moment, noSource, type Recording, sourcesOf } from '../recording.ts'
import { duration, type Outcome, rounded, type Scenario } from '../scenario.ts'
import { search, shoppers } from '../shoppers.ts'

export const outage: Scenario = {
  name: 'outage',
  question:
    'PostgreSQL is killed under load and comes back, then Redis: who gets an error, who waits, and how long until all is well?',
  async run({ stage, isQuick, note, seed }) {
    const scale = 0.6
    const rate = isQuick ? 200 : 400
    const redis = await stage.redis()
    const onramp = await stage.onramp({
      redis,
      change: (settings) => {
        const route = settings.routes['plan-search'] as Record<string, unknown>
        // So short that entries become stale during the outage, which is what it is about.
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
    note(`${rate} requests a second; one in fifty is for something nobody has asked before`)
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
    ['after it is back', when('PostgreSQL back'), when('Redis killed')],
    ['Redis gone', when('Redis killed'), when('Redis back')],
    ['after it is back', when('Redis back'), recording.seconds],
  ]
  const sources = sourcesOf([recording])
  const rows = phases.map(([name, from, to]) => {
    const part = recording.between(from, to)
    const bySource = part.sources
    const many = (count: number) => count.toLocaleString('en-US')
    return [
      name,
      many(part.count),
      many(part.failed),
      duration(part.percentile(0.5)),
      duration(part.percentile(0.99)),
      duration(part.percentile(1)),
      ...sources.map((source) => many(bySource[source] ?? 0)),
    ]
  })
  const gone = recording.between(when('PostgreSQL killed'), when('PostgreSQL back'))
  const without = recording.between(when('Redis killed'), when('Redis back'))
  const share = gone.failed / gone.count
  return {
    claims: [
      {
        what: 'requests answered while PostgreSQL is gone, of which 98 % are for what is held',
        measured: `${rounded((1 - share) * 100)} %`,
        value: 1 - share,
        atLeast: 0.97,
        floor: 'what is held: at least 97 %',
      },
      {
        what: 'failed while Redis is gone',
        measured: `${without.failed} of ${without.count}`,
        value: without.failed,
        atMost: 0,
        floor: 'none',
      },
      recovery(moments, when('PostgreSQL back'), 'PostgreSQL'),
      recovery(moments, when('Redis back'), 'Redis'),
    ],
    tables: [
      {
        title: 'By phase',
        head: [
          'phase',
          'requests',
          'failed',
          'p50',
          'p99',
          'longest',
          ...sources.map((source) => (source === noSource ? 'no source' : source)),
        ],
        rows,
      },
    ],
    charts: [
      {
        title: 'What people wait',
        kind: 'lines',
        x: 'seconds',
        y: 'milliseconds',
        isLog: true,
        series: [
          { name: 'p50', points: moments.map(({ at, p50 }) => [at, p50]) },
          { name: 'p99', points: moments.map(({ at, p99 }) => [at, p99]) },
        ],
        marks: happened.map(({ at, what }) => ({ x: at, label: what })),
      },
      {
        title: 'Where answers come from',
        kind: 'stack',
        x: 'seconds',
        y: 'answers in half a second',
        series: sources.map((source) => ({
          name: source === noSource ? 'error' : source,
          points: moments.map((moment) => [moment.at, moment.sources[source] ?? 0]),
        })),
        marks: happened.map(({ at, what }) => ({ x: at, label: what })),
      },
    ],
    notes: [
      'Killed is SIGKILL, to the server and its children. Entries are fresh for 3 s here, so that what is held becomes stale during the outage; one request in fifty is for something that is held nowhere, and can only fail while PostgreSQL is gone.',
    ],
  }
}

/** Seconds from `from` until no request fails any more. */
function recovery(moments: Moment[], from: number, what: string) {
  const last = moments.findLast(({ at, failed }) => at >= from && at < from + 9 && failed > 0)
  const seconds = last === undefined ? 0 : last.at + 0.5 - from
  return { what: `from ${what} back until nothing fails`, measured: duration(seconds * 1000), value: seconds }
}
