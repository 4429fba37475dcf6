import { openLoop } from '../open-loop.ts'
import { after } from '../processes.ts'
import { random } from '../random.ts'
import { noSource, Recording, sourcesOf } from '../recording.ts'
import { type Claim, counted, duration, failures, type Outcome, type Scenario } from '../scenario.ts'
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
        // Too small for all entries, so that Redis has a share of the answers.
        settings.memory = { maxBytes: '1MiB' }
      },
    })
    const { next } = shoppers(stage.popularity, seed)
    const known = Array.from({ length: isQuick ? 300 : 600 }, () => search(next()))
    note('warm')
    for (const path of known) await fetch(onramp.url + path)
    const at = {
      databaseKilled: 5 * scale,
      databaseBack: 15 * scale,
      redisKilled: 30 * scale,
      redisBack: 38 * scale,
      end: 45 * scale,
    }
    const draw = random(seed)
    let own = 0
    note(`${rate} requests per second; one in fifty asks for a key that is not cached`)
    const ask = (share: number, path: () => string) =>
      openLoop(onramp.url, { seconds: at.end, rate: () => rate * share, seed, path, timeoutMs: 8000 })
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
    const [cached, uncached] = await Promise.all([
      ask(0.98, () => known[Math.floor(draw() ** 2 * known.length)] as string),
      ask(0.02, () => `${search(next())}&offset=${++own}`),
      faults(),
    ])
    await onramp.stop()
    return outcome(cached, uncached, happened)
  },
}

function outcome(cached: Recording, uncached: Recording, happened: { at: number; what: string }[]): Outcome {
  const recording = new Recording()
  recording.join(cached)
  recording.join(uncached)
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
  const failedIn = (part: Recording, from: string, to: string) => {
    const { failed, count } = part.between(when(from), when(to))
    return { measured: failures(failed, count), value: failed }
  }
  const cachedGone = failedIn(cached, 'PostgreSQL killed', 'PostgreSQL back')
  return {
    claims: [
      {
        id: 'postgres-gone-cached',
        measure: 'Requests for cached entries while PostgreSQL is gone',
        ...cachedGone,
        atMost: 0,
        target: '0 failed',
      },
      {
        id: 'postgres-gone-uncached',
        measure: 'Requests for keys that are not cached, while PostgreSQL is gone',
        ...failedIn(uncached, 'PostgreSQL killed', 'PostgreSQL back'),
        better: 'less',
      },
      {
        id: 'redis-gone-failed',
        measure: 'Requests while Redis is gone',
        ...failedIn(recording, 'Redis killed', 'Redis back'),
        atMost: 0,
        target: '0 failed',
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
      'One request in fifty asks for a key that is not cached. Without PostgreSQL it fails.',
      'The memory tier has 1 MiB here, less than the entries need. So the popular entries are in memory, and the others in Redis.',
    ],
  }
}

function sourceName(source: string): string {
  return source === noSource ? 'not named' : source
}

/** Seconds from the return of a server, at `from`, to the end of the last half second with a failure. Failures after 9 s do not count. */
function recovery(recording: Recording, from: number, name: string): Claim {
  const moments = recording.between(from, from + 9).overTime(0.5)
  const last = moments.findLast(({ failed }) => failed > 0)
  const seconds = last === undefined ? 0 : last.at + 0.5 - from
  return {
    id: `${name.toLowerCase()}-recovery`,
    measure: `Last failed request after the return of ${name}`,
    measured: last === undefined ? 'none' : `up to ${duration(seconds * 1000)} after it`,
    value: seconds,
    better: 'less',
  }
}
