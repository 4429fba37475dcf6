import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Bulkhead, type Share } from '../proxy/origin/bulkhead.ts'
import { ManualClock, settled } from './support.ts'

function setup(slots: number, shares: Record<string, Partial<Share>> = {}) {
  const clock = new ManualClock(0)
  const shed: string[] = []
  const shareOf = (route: string) => ({ limit: slots, reserve: 0, queue: 100, ...shares[route] })
  const bulkhead = new Bulkhead(slots, clock, (route, reason) => shed.push(`${route} ${reason}`))
  const running: { route: string; leave: () => void }[] = []
  const started: string[] = []
  /** Requests a slot. The outcome shows in `running`, `started` and the returned promise. */
  const ask = (route: string, withinMs = 10_000) =>
    bulkhead.enter(route, shareOf(route), clock.now() + withinMs).then(
      (leave) => {
        started.push(route)
        running.push({ route, leave })
        return 'started'
      },
      (error) => error.code as string,
    )
  const end = (route: string) => {
    const index = running.findIndex((one) => one.route === route)
    running.splice(index, 1)[0]?.leave()
  }
  return { clock, shed, bulkhead, running, started, ask, end }
}

describe('a slot', () => {
  test('is granted at once while one is free, and never beyond the number of slots', async () => {
    const { ask, started, bulkhead } = setup(2)
    void ask('a')
    void ask('b')
    void ask('a')
    await settled()
    expect([started, bulkhead.running, bulkhead.waiting]).toEqual([['a', 'b'], 2, 1])
  })

  test('that is returned goes to the next waiting statement, first come first served within a route', async () => {
    const { ask, end, started, bulkhead } = setup(1)
    const [first, second, third] = [ask('a'), ask('a'), ask('a')]
    await first
    end('a')
    await second
    end('a')
    await third
    expect([started.length, bulkhead.running, bulkhead.waiting]).toEqual([3, 1, 0])
  })

  test('is not granted to a route above its limit, although slots are free', async () => {
    const { ask, started } = setup(10, { slow: { limit: 2 } })
    for (let i = 0; i < 5; i += 1) void ask('slow')
    void ask('other')
    await settled()
    expect(started).toEqual(['slow', 'slow', 'other'])
  })

  test('reserved for one route is not granted to another, and is free when that route needs it', async () => {
    const { ask, started } = setup(4, { dear: { reserve: 2 } })
    void ask('dear') // registers its lane
    for (let i = 0; i < 5; i += 1) void ask('greedy')
    await settled()
    expect(started).toEqual(['dear', 'greedy', 'greedy'])
    await ask('dear')
    expect(started).toEqual(['dear', 'greedy', 'greedy', 'dear'])
  })
})

describe('a spare slot', () => {
  test('exists while nothing waits, and one more slot stays free', async () => {
    const { ask, bulkhead } = setup(3)
    const has = () => bulkhead.hasSpare('a', { limit: 3, reserve: 0, queue: 1 })
    expect(has()).toBe(true)
    await ask('b')
    expect(has()).toBe(true)
    await ask('b')
    expect(has()).toBe(false)
  })

  test('is never one reserved for others, nor above the limit of its route', async () => {
    const { ask, bulkhead } = setup(4, { dear: { reserve: 2 }, a: { limit: 1 } })
    await ask('dear')
    const share = { limit: 1, reserve: 0, queue: 1 }
    expect(bulkhead.hasSpare('a', share)).toBe(true)
    await ask('a')
    expect([bulkhead.hasSpare('a', share), bulkhead.hasSpare('b', share)]).toEqual([false, false])
  })

  test('does not exist while a statement waits, although slots are free', async () => {
    const { ask, bulkhead } = setup(10, { slow: { limit: 1 } })
    await ask('slow')
    void ask('slow')
    expect(bulkhead.hasSpare('a', { limit: 10, reserve: 0, queue: 1 })).toBe(false)
  })
})

describe('a waiting statement', () => {
  test('is rejected exactly at its deadline, and takes no slot', async () => {
    const { ask, clock, shed, bulkhead, end } = setup(1)
    await ask('a')
    const late = ask('a', 100)
    clock.pass(99)
    expect(bulkhead.waiting).toBe(1)
    clock.pass(1)
    expect([await late, bulkhead.waiting, shed]).toEqual(['shed', 0, ['a too-late']])
    end('a')
    expect([await ask('a'), bulkhead.running]).toEqual(['started', 1])
  })

  test('has a place in a bounded queue: one too many is rejected at once', async () => {
    const { ask, shed } = setup(1, { a: { queue: 2 } })
    await ask('a')
    void ask('a')
    void ask('a')
    expect([await ask('a'), shed]).toEqual(['shed', ['a queue-full']])
  })

  test('is rejected on arrival if no slot will be free in time', async () => {
    const { ask, end, clock, shed } = setup(1)
    await ask('a')
    clock.pass(1000)
    end('a')
    await ask('a')
    void ask('a', 5000)
    expect([await ask('a', 1500), shed]).toEqual(['shed', ['a too-late']])
  })

  test('leaves no timer behind once it has started', async () => {
    const { ask, end, clock } = setup(1)
    await ask('a')
    const next = ask('a')
    end('a')
    await next
    expect(clock.timers).toBe(0)
  })
})

describe('a slow route beside a quick one', () => {
  /** Keeps `slots` in use for `ms`: both routes always have more work. Their statements take 1,000 ms and 10 ms. */
  async function contend(slots: number, ms: number, shares: Record<string, Partial<Share>> = {}) {
    const { ask, running, clock, started } = setup(slots, shares)
    const ends: { at: number; leave: () => void }[] = []
    for (let passed = 0; passed < ms; passed += 10) {
      for (const route of ['slow', 'quick']) for (let i = 0; i < 4; i += 1) void ask(route, 60_000)
      await settled()
      for (const { route, leave } of running.splice(0))
        ends.push({ at: clock.now() + (route === 'slow' ? 1000 : 10), leave })
      clock.pass(10)
      for (const due of ends.filter(({ at }) => at <= clock.now())) {
        ends.splice(ends.indexOf(due), 1)
        due.leave()
      }
    }
    return started
  }

  test('gets half of the database time, so the quick one runs about a hundred times as often', async () => {
    const started = await contend(1, 20_000)
    const quick = started.filter((route) => route === 'quick').length
    const slow = started.filter((route) => route === 'slow').length
    expect(slow).toBeGreaterThan(5)
    expect(quick / slow).toBeGreaterThan(60)
  })

  test('never gets the last slots, because of its limit', async () => {
    const started = await contend(4, 5000, { slow: { limit: 2 } })
    // Two slots for five seconds, ten milliseconds a time.
    expect(started.filter((route) => route === 'quick').length).toBeGreaterThan(900)
  })
})

test('a route that returns after a pause has no time to catch up on: it does not shut the others out', async () => {
  const { ask, end, clock, started } = setup(1)
  await ask('early')
  end('early')
  for (let i = 0; i < 50; i += 1) {
    await ask('busy')
    clock.pass(100)
    end('busy')
  }
  await ask('busy')
  for (let i = 0; i < 6; i += 1) for (const route of ['early', 'busy']) void ask(route)
  started.length = 0
  for (let i = 0; i < 8; i += 1) {
    const [current] = [started.at(-1) ?? 'busy']
    clock.pass(100)
    end(current)
    await settled()
  }
  expect(started.filter((route) => route === 'busy').length).toBeGreaterThanOrEqual(3)
})

test('property: whatever arrives and ends, slots, limits and reserves hold, and no statement waits that could run', async () => {
  const step = fc.oneof(
    fc.record({ do: fc.constant('ask' as const), route: fc.constantFrom('a', 'b', 'c') }),
    fc.record({ do: fc.constant('end' as const), route: fc.constantFrom('a', 'b', 'c') }),
    fc.record({ do: fc.constant('pass' as const), ms: fc.integer({ min: 1, max: 3000 }) }),
  )
  const share = fc.record({ limit: fc.integer({ min: 1, max: 4 }), reserve: fc.integer({ min: 0, max: 1 }) })
  const shares = fc.record({ a: share, b: share, c: share })
  await fc.assert(
    fc.asyncProperty(shares, fc.array(step, { maxLength: 60 }), async (given, steps) => {
      const slots = 4
      const { ask, end, clock, running, bulkhead } = setup(slots, given)
      const asked = { a: 0, b: 0, c: 0 }
      const settledOf = { a: 0, b: 0, c: 0 }
      for (const one of steps) {
        if (one.do === 'pass') clock.pass(one.ms)
        else if (one.do === 'end') end(one.route)
        else {
          asked[one.route as 'a'] += 1
          void ask(one.route, 5000).then(() => {
            settledOf[one.route as 'a'] += 1
          })
        }
        await settled()
        const count = (route: string) => running.filter((other) => other.route === route).length
        expect(bulkhead.running).toBe(running.length)
        expect(running.length).toBeLessThanOrEqual(slots)
        for (const route of ['a', 'b', 'c'] as const) {
          expect(count(route)).toBeLessThanOrEqual(given[route].limit)
          const waits = asked[route] > settledOf[route]
          const reserved = (['a', 'b', 'c'] as const)
            .filter((other) => other !== route && asked[other] > 0)
            .reduce((sum, other) => sum + Math.max(0, given[other].reserve - count(other)), 0)
          if (waits && count(route) < given[route].limit) expect(slots - running.length).toBeLessThanOrEqual(reserved)
        }
      }
    }),
    { numRuns: 150 },
  )
})
