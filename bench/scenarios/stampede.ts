import { crowdOnce } from '../at-once.ts'
import { requestOf } from '../connection.ts'
import { after } from '../processes.ts'
import { median, percentileOf } from '../recording.ts'
import { type Context, duration, type Outcome, rounded, type Scenario } from '../scenario.ts'
import { searches } from '../shoppers.ts'
import type { Onramp, WrittenConfig } from '../stage.ts'

const readers = 500

export const stampede: Scenario = {
  name: 'stampede',
  question: `${readers} clients ask for the same answer at the same moment: with a cold cache, just after it became stale, or after a purge of everything. How many SQL statements does that cost?`,
  async run(context) {
    const outcome: Outcome = { claims: [], tables: [], charts: [], notes: [] }
    const rows: (string | number)[][] = []
    for (const count of [1, 4]) rows.push(...(await withProcesses(context, count, outcome)))
    outcome.tables.push({
      title: `${readers} readers at once, over all processes`,
      head: ['case', 'SQL per key, median', 'SQL per key, maximum', 'wait, median', 'wait, maximum', 'failed'],
      rows,
    })
    outcome.notes.push(
      'Redis runs in all cases; the readers are spread evenly over the processes. Stale answers are served at once, while one refresh runs in the background.',
    )
    return outcome
  },
}

async function withProcesses({ stage, isQuick, note, seed }: Context, count: number, outcome: Outcome) {
  const redis = await stage.redis()
  const all: Onramp[] = []
  for (let i = 0; i < count; i += 1) all.push(await stage.onramp({ redis, change: soonStale }))
  const paths = [...new Set(searches(stage.popularity, seed, 200))]
  const tries = isQuick ? 2 : 3
  const moments: Record<string, (path: string) => Promise<void>> = {
    cold: async () => {},
    stale: async (path) => {
      await fetch(`${all[0]?.url}${path}`)
      await Promise.all(all.map(({ url }) => fetch(url + path)))
      await after(freshMs * 1.05)
    },
    'purge of everything': async (path) => {
      await Promise.all(all.map(({ url }) => fetch(url + path)))
      await Promise.all(all.map((one) => one.purge({ all: true })))
    },
  }
  const rows: (string | number)[][] = []
  for (const [when, prepare] of Object.entries(moments)) {
    note(`${when}, ${count} process${count === 1 ? '' : 'es'}`)
    const statements: number[] = []
    const waits: number[] = []
    let failed = 0
    for (let i = 0; i < tries; i += 1) {
      const drawn = paths.pop() as string
      const path = when === 'stale' ? drawn.replace('/api/plans/search', soonStalePath) : drawn
      await prepare(path)
      await stage.resetStatements()
      const seen = await crowdOnce(
        all.map(({ url }) => new URL(url)),
        readers,
        (host) => requestOf(path, host),
      )
      await after(300) // for a refresh in the background
      statements.push(await stage.statements())
      waits.push(...seen.waits)
      failed += seen.failed
    }
    const sorted = waits.sort((a, b) => a - b)
    const label = `${when}, ${count} process${count === 1 ? '' : 'es'}`
    const most = Math.max(...statements)
    rows.push([
      label,
      median(statements),
      most,
      duration(percentileOf(sorted, 0.5)),
      duration(percentileOf(sorted, 1)),
      failed,
    ])
    outcome.claims.push({
      id: `${when.replaceAll(' ', '-')}-${count}`,
      measure: `SQL statements per key for ${readers} readers at once, ${label}`,
      measured: `${rounded(median(statements))} in the median, ${most} at most; ${failed} failed`,
      value: most,
      better: 'less',
    })
  }
  await Promise.all(all.map((one) => one.stop()))
  await redis.stop()
  return rows
}

/** Longer than it takes to answer all readers: otherwise the entry would become stale again in the middle. */
const freshMs = 2000
const soonStalePath = '/bench/soon-stale'

function soonStale(settings: WrittenConfig): void {
  const lifetime = { fresh: `${freshMs}ms`, stale: '1h' }
  settings.routes['soon-stale'] = { ...settings.routes['plan-search'], path: soonStalePath, lifetime }
}
