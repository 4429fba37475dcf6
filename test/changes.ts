import pg from 'pg'
import { afterAll, afterEach } from 'vitest'
import type { Changes, DatabaseFollowerOptions } from '../proxy/changes/changes.ts'
import { DatabaseFollower } from '../proxy/changes/database-follower.ts'
import { systemClock } from '../proxy/clock.ts'
import type { Observation } from '../proxy/observation.ts'
import type { FollowedTable } from '../proxy/tags.ts'

/** A follower with a consumer that remembers. */
export interface Following {
  changes: Changes
  /** What has been handed on, in order: `changed table:a row:…`, `missed …`. */
  said: string[]
  observed: Extract<Observation, { kind: 'changes' }>[]
  /** Moments before which everything has been handed on. */
  caughtUp: number[]
  /** Whether the database is to be followed, as it was told each time. */
  followed: boolean[]
  /** Resolves when something for which `holds` is said, now or later; rejects after `ms` with all that was. */
  until(holds: (said: readonly string[]) => boolean, ms?: number): Promise<void>
  /** Resolves with what is handed on between the call and the hand-on of everything `work` has committed. */
  during(work: () => Promise<unknown>): Promise<string[]>
}

/** Heartbeats, and tries to lead, come ten times as often: tests wait for them. */
const hasty = {
  now: systemClock.now,
  after: (ms: number, run: () => void) => systemClock.after(ms < 2000 ? ms / 10 : ms, run),
}

/** For one file of tests: what is started by these is ended after each test. */
export function followers() {
  const open: Changes[] = []
  const end = () => Promise.all(open.splice(0).map((changes) => changes.close()))
  afterEach(end)
  afterAll(end)
  return async (
    url: string,
    tables: readonly FollowedTable[],
    { functions = [], ...options }: Partial<DatabaseFollowerOptions> & { functions?: readonly string[] } = {},
  ): Promise<Following> => {
    const waiting = new Set<() => void>()
    const [said, caughtUp, followed]: [string[], number[], boolean[]] = [[], [], []]
    const observed: Following['observed'] = []
    const say = (text: string) => {
      said.push(text)
      for (const check of waiting) check()
    }
    const changes = new DatabaseFollower({
      url,
      mode: 'auto',
      fleet: undefined,
      clock: hasty,
      random: Math.random,
      observe: (fact) => {
        if (fact.kind === 'changes') observed.push(fact)
        for (const check of waiting) check()
      },
      consumer: {
        changed: (tags) => say(`changed ${[...tags].sort().join(' ')}`),
        missed: (tags) => say(`missed ${[...tags].sort().join(' ')}`),
        caughtUp: (sinceMs) => {
          caughtUp.push(sinceMs)
          for (const check of waiting) check()
        },
        followed: (isFollowed) => followed.push(isFollowed),
      },
      redefined: async () => {},
      ...options,
    })
    open.push(changes)
    await changes.follow({ tables, functions })
    const until = (holds: (said: readonly string[]) => boolean, ms = 15_000) =>
      new Promise<void>((resolve, reject) => {
        const check = () => {
          if (!holds(said)) return
          clearTimeout(timer)
          waiting.delete(check)
          resolve()
        }
        const timer = setTimeout(() => {
          waiting.delete(check)
          reject(new Error(`not within ${ms} ms; said: ${said.join(', ')}; ${changes.state}: ${changes.why}`))
        }, ms)
        waiting.add(check)
        check()
      })
    await until(() => observed.length > 0, 25_000) // a busy machine takes longer than `follow` waits
    return {
      changes,
      said,
      caughtUp,
      followed,
      observed,
      until,
      async during(work) {
        const before = said.length
        await work()
        const committed = systemClock.now()
        await until(() => (caughtUp.at(-1) ?? 0) >= committed)
        return said.slice(before)
      },
    }
  }
}

/** A database of a test's own, on the server of `superuserUrl`, and its address for a role. */
export async function newDatabase(superuserUrl: string, name: string, sql: string) {
  const run = async (url: string, ...statements: string[]) => {
    const client = new pg.Client({ connectionString: url })
    await client.connect()
    try {
      for (const statement of statements) await client.query(statement)
    } finally {
      await client.end()
    }
  }
  const urlOf = (url: string) => url.replace(/\/[^/]*$/, `/${name}`)
  const url = urlOf(superuserUrl)
  await run(superuserUrl, `drop database if exists ${name} with (force)`, `create database ${name}`)
  await run(url, sql)
  return {
    url,
    readerUrl: url.replace(/\/\/.*@/, '//onramp@'),
    drop: () => run(superuserUrl, `drop database ${name} with (force)`),
  }
}
