import { describe, expect, test } from 'vitest'
import { Problem, type ProblemCode } from '../proxy/errors.ts'
import { GuardedOrigin } from '../proxy/origin/guard.ts'
import type { Origin, Query } from '../proxy/origin/origin.ts'
import { gate, ManualClock, recorder, settled } from './support.ts'

function setup(slots = 10) {
  const clock = new ManualClock()
  const seen = recorder()
  const asked: string[] = []
  const database = { answer: async (_route: string) => ({ json: '[]', rows: 0 }) }
  const origin = {
    async query({ route }: Query) {
      asked.push(route)
      return database.answer(route)
    },
    connections: { total: 2, idle: 1, waiting: 3 },
  } as unknown as Origin
  const load = { isOverloaded: false }
  const guards = { slots, waitMs: 3000, statementMs: 2000, isOverloaded: () => load.isOverloaded }
  const guarded = new GuardedOrigin(origin, guards, clock, seen.observe)
  const ask = (route = 'plans', share: Partial<Query['share']> = {}) =>
    guarded.query({ route, share: { reserve: 0, queue: 100, ...share } } as Query, {}).then(
      () => 'answered',
      (error: Problem) => error.code,
    )
  const failing = (code: ProblemCode) => async (): Promise<never> => {
    throw new Problem(code, 'failed')
  }
  const shed = () => seen.of('shed').map((fact) => 'reason' in fact && fact.reason)
  return { clock, seen, asked, database, guarded, ask, failing, shed, load }
}

describe('a database that is down', () => {
  test('opens the circuit at the third failure; then no request waits for it, and none is sent', async () => {
    const { ask, asked, database, failing, shed, guarded } = setup()
    database.answer = failing('origin-unavailable')
    for (let i = 0; i < 50; i += 1) expect(await ask(`route-${i % 3}`)).toBe('origin-unavailable')
    expect([asked.length, shed().length, guarded.breakers[0]]).toEqual([3, 47, { name: 'origin', state: 'open' }])
  })

  test('gets one trial after half a second, and is in use again when the trial succeeds', async () => {
    const { ask, asked, clock, database, failing } = setup()
    database.answer = failing('origin-unavailable')
    for (let i = 0; i < 3; i += 1) await ask()
    clock.pass(500)
    const trying = gate()
    database.answer = async () => {
      await trying.opened
      return { json: '[]', rows: 0 }
    }
    const first = ask()
    await settled()
    expect([await ask(), await ask(), asked.length]).toEqual(['origin-unavailable', 'origin-unavailable', 4])
    trying.open()
    expect([await first, await ask(), asked.length]).toEqual(['answered', 'answered', 5])
  })

  test('statements that wait for a slot when the circuit opens are not sent either', async () => {
    const { ask, asked, database } = setup(5) // three at once
    const lost = gate()
    database.answer = async () => {
      await lost.opened
      throw new Problem('origin-unavailable', 'gone')
    }
    const all = Array.from({ length: 20 }, () => ask())
    await settled()
    lost.open()
    expect(new Set(await Promise.all(all))).toEqual(new Set(['origin-unavailable']))
    expect(asked).toHaveLength(3)
  })
})

describe('a statement without room in the queue', () => {
  test('is rejected beforehand with the same problem, counted once, and nothing is sent', async () => {
    const { guarded, ask, asked, database, load, shed, failing } = setup(1)
    const query = { route: 'plans', share: { reserve: 0, queue: 1, limit: 1 } } as Query
    const admitted = () => {
      try {
        guarded.admit(query)
        return 'admitted'
      } catch (error) {
        return (error as Problem).code
      }
    }
    expect([admitted(), asked]).toEqual(['admitted', []])
    const busy = gate()
    database.answer = async () => {
      await busy.opened
      return { json: '[]', rows: 0 }
    }
    const running = ask('plans', query.share)
    await settled()
    expect(admitted()).toBe('admitted') // one may wait
    const waiting = ask('plans', query.share)
    await settled()
    expect([admitted(), shed()]).toEqual(['shed', ['queue-full']])
    busy.open()
    expect([await running, await waiting, admitted()]).toEqual(['answered', 'answered', 'admitted'])
    load.isOverloaded = true
    expect([admitted(), shed()]).toEqual(['shed', ['queue-full', 'overloaded']])
    load.isOverloaded = false
    database.answer = failing('origin-unavailable')
    for (let i = 0; i < 3; i += 1) await ask()
    expect([admitted(), shed().at(-1)]).toEqual(['origin-unavailable', 'breaker-open'])
  })
})

describe('a failing route', () => {
  test('has its circuit opened after twenty timeouts, and no other route has', async () => {
    const { ask, asked, database, failing, guarded } = setup()
    database.answer = (route) =>
      route === 'bad' ? failing('origin-timeout')() : Promise.resolve({ json: '[]', rows: 0 })
    for (let i = 0; i < 30; i += 1) await ask('bad')
    expect([asked.length, await ask('good')]).toEqual([20, 'answered'])
    expect(guarded.breakers).toContainEqual({ name: 'route:bad', state: 'open' })
    expect(guarded.breakers[0]).toEqual({ name: 'origin', state: 'closed' })
  })

  test('has its circuit opened when four in five statements within ten seconds are slow', async () => {
    const { ask, asked, clock, database } = setup()
    for (let round = 0; round < 4; round += 1) {
      const slow = gate()
      database.answer = () => slow.opened.then(() => ({ json: '[]', rows: 0 }))
      const six = Array.from({ length: 6 }, () => ask())
      await settled()
      clock.pass(1001)
      slow.open()
      expect(new Set(await Promise.all(six))).toEqual(new Set(['answered']))
    }
    expect([await ask(), asked.length]).toEqual(['origin-unavailable', 24])
  })

  test('does not count errors of the statement itself as failures', async () => {
    const { ask, asked, database, failing } = setup()
    database.answer = failing('origin-failed')
    for (let i = 0; i < 100; i += 1) expect(await ask()).toBe('origin-failed')
    expect(asked).toHaveLength(100)
  })
})

describe('an overloaded process', () => {
  test('sends no statements until the overload ends', async () => {
    const { ask, asked, load, shed } = setup()
    load.isOverloaded = true
    expect([await ask(), await ask(), asked.length, shed()]).toEqual(['shed', 'shed', 0, ['overloaded', 'overloaded']])
    load.isOverloaded = false
    expect(await ask()).toBe('answered')
  })
})

describe('background work', () => {
  const query = { route: 'plans', share: { reserve: 0, queue: 100 } } as unknown as Query

  test('may run while the database is idle, but not with a single connection', () => {
    expect(setup().guarded.isIdleFor(query)).toBe(true)
    expect(setup(1).guarded.isIdleFor(query)).toBe(false)
  })

  test('may not run while the circuit of the database, or of its route, is open', async () => {
    const { ask, database, failing, guarded, clock } = setup()
    database.answer = failing('origin-timeout')
    for (let i = 0; i < 20; i += 1) await ask('plans')
    const other = { ...query, route: 'counties' } as Query
    expect([guarded.isIdleFor(query), guarded.isIdleFor(other)]).toEqual([false, true])
    database.answer = failing('origin-unavailable')
    for (let i = 0; i < 25; i += 1) await ask('counties')
    expect(guarded.isIdleFor(other)).toBe(false)
    clock.pass(500)
    expect(guarded.isIdleFor(other)).toBe(false)
  })
})

describe('slots', () => {
  test('go to one route up to six in ten by default; waiting statements are counted', async () => {
    const { ask, asked, database, guarded } = setup()
    database.answer = () => new Promise(() => {})
    for (let i = 0; i < 20; i += 1) void ask()
    for (let i = 0; i < 4; i += 1) void ask('dear', { limit: 3 })
    await settled()
    expect([
      asked.filter((route) => route === 'plans').length,
      asked.filter((route) => route === 'dear').length,
    ]).toEqual([6, 3])
    expect(guarded.connections).toEqual({ total: 2, idle: 1, waiting: 3 + 14 + 1 })
  })

  test('are returned whatever the outcome of the statement', async () => {
    const { ask, asked, database, failing } = setup(1)
    for (const code of ['origin-failed', 'origin-timeout', 'origin-unavailable'] as const) {
      database.answer = failing(code)
      expect(await ask()).toBe(code)
    }
    database.answer = async () => ({ json: '[]', rows: 0 })
    expect([await ask(), asked.length]).toEqual(['answered', 4])
  })
})
