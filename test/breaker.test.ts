import { describe, expect, test } from 'vitest'
import { Breaker, type BreakerLimits, type BreakerOutcome } from '../proxy/origin/breaker.ts'
import { ManualClock } from './support.ts'

const limits: BreakerLimits = {
  samples: 20,
  windowMs: 10_000,
  failedShare: 0.5,
  slowShare: 0.8,
  openMs: 1000,
  longestMs: 30_000,
  tryMs: 5000,
}

function setup(over: Partial<BreakerLimits> = {}) {
  const clock = new ManualClock()
  const states: string[] = []
  const breaker = new Breaker({ ...limits, ...over }, clock, (state) => states.push(state))
  const tell = (...outcomes: BreakerOutcome[]) => {
    for (const outcome of outcomes) {
      const term = breaker.enter()
      if (term === undefined) return false
      breaker.leave(term, outcome)
    }
    return true
  }
  const many = (outcome: BreakerOutcome, times: number) => tell(...Array.from({ length: times }, () => outcome))
  return { clock, breaker, states, tell, many }
}

describe('closed', () => {
  test('it opens at the twentieth outcome if half have failed, not at the nineteenth', () => {
    const { breaker, many } = setup()
    many('ok', 10)
    many('failed', 9)
    expect(breaker.state).toBe('closed')
    many('failed', 1)
    expect(breaker.state).toBe('open')
  })

  test('it stays closed if fewer than half have failed', () => {
    const { breaker, many } = setup()
    many('ok', 11)
    many('failed', 9)
    expect(breaker.state).toBe('closed')
  })

  test('it opens if four in five are slow', () => {
    const { breaker, many } = setup()
    many('ok', 5)
    many('slow', 15)
    expect(breaker.state).toBe('closed')
    many('slow', 5)
    expect(breaker.state).toBe('open')
  })

  test('a success does not open it when older successes leave the window of a past fault', () => {
    const { breaker, clock, many } = setup()
    many('ok', 12)
    clock.pass(1000)
    many('failed', 11)
    clock.pass(9000)
    expect(breaker.state).toBe('closed')
    many('ok', 9)
    expect(breaker.state).toBe('closed')
    many('failed', 1)
    expect(breaker.state).toBe('open')
  })

  test('it forgets outcomes older than its window', () => {
    const { breaker, clock, many } = setup()
    many('failed', 19)
    clock.pass(10_000)
    many('failed', 19)
    expect(breaker.state).toBe('closed')
  })

  test('ignored outcomes are not counted', () => {
    const { breaker, many } = setup()
    many('ignored', 100)
    many('failed', 19)
    expect(breaker.state).toBe('closed')
  })

  test('many earlier good outcomes do not hide a new failure', () => {
    const { breaker, many } = setup()
    many('ok', 10_000)
    many('failed', 50)
    expect(breaker.state).toBe('open')
  })
})

describe('open', () => {
  test('it lets no request through before its time, then one trial, and no other beside it', () => {
    const { breaker, clock, many } = setup()
    many('failed', 20)
    clock.pass(999)
    expect([breaker.enter(), breaker.waitMs]).toEqual([undefined, 1])
    clock.pass(1)
    expect(breaker.enter()).toBeDefined()
    expect([breaker.state, breaker.enter(), breaker.enter()]).toEqual(['half-open', undefined, undefined])
  })

  test('it closes when the trial succeeds', () => {
    const { breaker, clock, many, tell, states } = setup()
    many('failed', 20)
    clock.pass(1000)
    expect(tell('ok')).toBe(true)
    expect([breaker.state, states]).toEqual(['closed', ['open', 'half-open', 'closed']])
    many('failed', 19)
    expect(breaker.state).toBe('closed')
  })

  test('it stays open twice as long after each failed trial, up to a bound, and starts over once it has closed', () => {
    const { breaker, clock, many, tell } = setup()
    many('failed', 20)
    for (const ms of [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]) {
      expect(breaker.waitMs).toBe(ms)
      clock.pass(ms)
      tell('failed')
    }
    clock.pass(30_000)
    tell('ok')
    many('failed', 20)
    expect(breaker.waitMs).toBe(1000)
  })

  test('a slow trial counts as failed; an ignored one lets another start at once', () => {
    const { breaker, clock, many, tell } = setup()
    many('failed', 20)
    clock.pass(1000)
    tell('ignored')
    expect(tell('slow')).toBe(true)
    expect([breaker.state, breaker.waitMs]).toEqual(['open', 2000])
  })

  test('a trial without an outcome counts as failed, and another is let through', () => {
    const { breaker, clock, many, tell } = setup()
    many('failed', 20)
    clock.pass(1000)
    const lost = breaker.enter() as number
    clock.pass(5000)
    expect([breaker.state, breaker.waitMs]).toEqual(['open', 2000])
    breaker.leave(lost, 'ok')
    expect(breaker.state).toBe('open')
    clock.pass(2000)
    expect(tell('ok')).toBe(true)
    expect([breaker.state, clock.timers]).toEqual(['closed', 0])
  })

  test('outcomes of requests from before it opened change nothing', () => {
    const { breaker, clock, many } = setup()
    const before = breaker.enter() as number
    many('failed', 20)
    breaker.leave(before, 'ok')
    expect(breaker.state).toBe('open')
    clock.pass(1000)
    breaker.enter()
    breaker.leave(before, 'failed')
    expect(breaker.state).toBe('half-open')
  })
})
