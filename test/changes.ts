import pg from 'pg'
import { afterAll, afterEach } from 'vitest'
import { until } from '../bench/until.ts'
import type { Changes, DatabaseFollowerOptions } from '../proxy/changes/changes.ts'
import { DatabaseFollower } from '../proxy/changes/database-follower.ts'
import { systemClock } from '../proxy/clock.ts'
import type { Observation } from '../proxy/observation.ts'
import type { FollowedTable } from '../proxy/tags.ts'

/** A follower, and a consumer that records its calls. */
export interface ObservedFollower {
  changes: Changes
  /** The reports, in order: `changed table:a row:…`, `missed …`. */
  said: string[]
  observed: Extract<Observation, { kind: 'changes' }>[]
  /** The moments of `caughtUp`: everything committed before them has been handed on. */
  caughtUp: number[]
  /** The arguments of `followed`, in order. */
  followed: boolean[]
  /** Resolves when `holds` is true of the reports; fails with all reports. */
  untilSaid(holds: (said: readonly string[]) => boolean): Promise<unknown>
  /** Resolves with the reports between the call and the report of everything that `work` has committed. */
  during(work: () => Promise<unknown>): Promise<string[]>
}

/** A clock that makes heartbeats, and tries to lead, ten times as frequent, because tests wait for them. */
const hasty = {
  now: systemClock.now,
  after: (ms: number, run: () => void) => systemClock.after(ms < 2000 ? ms / 10 : ms, run),
}

const hasSome = (list: readonly unknown[]) => list.length > 0

/** For one file of tests: closes what these functions have started after each test. */
export function followers() {
  const open: Changes[] = []
  const end = () => Promise.all(open.splice(0).map((changes) => changes.close()))
  afterEach(end)
  afterAll(end)
  return async (
    url: string,
    tables: readonly FollowedTable[],
    { functions = [], ...options }: Partial<DatabaseFollowerOptions> & { functions?: readonly string[] } = {},
  ): Promise<ObservedFollower> => {
    const [said, caughtUp, followed]: [string[], number[], boolean[]] = [[], [], []]
    const observed: ObservedFollower['observed'] = []
    const say = (text: string) => void said.push(text)
    const changes = new DatabaseFollower({
      url,
      mode: 'auto',
      fleet: undefined,
      clock: hasty,
      random: Math.random,
      observe: (fact) => {
        if (fact.kind === 'changes') observed.push(fact)
      },
      consumer: {
        changed: (tags) => say(`changed ${[...tags].sort().join(' ')}`),
        missed: (tags) => say(`missed ${[...tags].sort().join(' ')}`),
        caughtUp: (sinceMs) => void caughtUp.push(sinceMs),
        followed: (isFollowed) => void followed.push(isFollowed),
      },
      redefined: async () => {},
      ...options,
    })
    open.push(changes)
    await changes.follow({ tables, functions })
    await until(() => observed, hasSome) // under load this takes longer than `follow` waits
    return {
      changes,
      said,
      caughtUp,
      followed,
      observed,
      untilSaid: (holds) =>
        until(
          () => ({ said: [...said], state: changes.state, why: changes.why }),
          (seen) => holds(seen.said),
        ),
      async during(work) {
        const before = said.length
        await work()
        const committed = systemClock.now()
        await until(
          () => caughtUp.at(-1) ?? 0,
          (sinceMs) => sinceMs >= committed,
        )
        return said.slice(before)
      },
    }
  }
}

/** A database for one test, on the server of `superuserUrl`, and its address for a role. */
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
    async drop() {
      const superuser = new pg.Client({ connectionString: superuserUrl })
      await superuser.connect()
      try {
        // Not even by force while a slot is in use, and the server notices late that a process was killed.
        await until(async () => (await superuser.query(endSlots, [name])).rowCount, 0)
        await superuser.query(`drop database ${name} with (force)`)
      } finally {
        await superuser.end()
      }
    },
  }
}

/** Terminates the sessions that use a slot of the database. Returns one row for each. */
const endSlots = `select pg_terminate_backend(active_pid) from pg_replication_slots where database = $1 and active`
