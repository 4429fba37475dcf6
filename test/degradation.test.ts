import { describe, expect, test } from 'vitest'
import { type Observation, ObservationBus } from '../proxy/observation.ts'
import { DegradationMonitor } from '../proxy/ops/degradation.ts'
import { ManualClock, recorder } from './support.ts'

function setup() {
  const clock = new ManualClock()
  const { observe, facts } = recorder()
  const bus = new ObservationBus()
  const degradation = new DegradationMonitor(clock, bus.observe)
  bus.listen(observe)
  bus.listen(degradation.observe)
  const reported = () => facts.filter((fact) => fact.kind === 'degradation')
  const see = (...facts: Observation[]) => {
    for (const fact of facts) bus.observe(fact)
    return degradation.level
  }
  return {
    clock,
    facts,
    degradation,
    see,
    steps: () => reported().map(({ before, level }) => `${before} > ${level}`),
    reasons: () => reported().map(({ reason }) => reason),
  }
}

const redisLost: Observation = { kind: 'redis-connection', state: 'lost' }
const redisReady: Observation = { kind: 'redis-connection', state: 'ready' }
const bypassed: Observation = { kind: 'tier-bypassed', tier: 'redis', label: 'Redis', forMs: 1000 }
const back: Observation = { kind: 'tier-back', tier: 'redis', label: 'Redis' }
const origin = (state: 'open' | 'half-open' | 'closed'): Observation => ({ kind: 'breaker', name: 'origin', state })
const shed = (reason: 'queue-full' | 'breaker-open'): Observation => ({ kind: 'shed', route: 'plans', reason })

describe('the degradation', () => {
  test('is at its top until something is amiss', () => {
    const { see, steps } = setup()
    expect(see(redisReady, { kind: 'evicted', key: 'plan@1', bytes: 1000, readAt: 0 })).toBe('healthy')
    expect(steps()).toEqual([])
  })

  test('goes down for a Redis that is gone or passed by, and up when it is back', () => {
    const { see, steps, reasons } = setup()
    expect([see(redisLost), see(redisReady), see(bypassed), see(back)]).toEqual([
      'memory-only',
      'healthy',
      'memory-only',
      'healthy',
    ])
    expect(steps()).toHaveLength(4)
    expect(reasons()).toEqual(['Redis cannot be used', undefined, 'Redis cannot be used', undefined])
  })

  test('goes down for any tier that is bypassed, and up when every one of them is back', () => {
    const { see, reasons, degradation } = setup()
    const file = { tier: 'file', label: 'File' }
    expect([
      see(bypassed),
      see({ kind: 'tier-bypassed', ...file, forMs: 1000 }),
      see(back),
      see(redisLost, redisReady),
      see({ kind: 'tier-back', ...file }),
    ]).toEqual(['memory-only', 'memory-only', 'memory-only', 'memory-only', 'healthy'])
    expect(reasons()).toEqual(['Redis cannot be used', undefined])
    see({ kind: 'tier-bypassed', ...file, forMs: 1000 })
    expect(degradation.reason).toBe('File cannot be used')
    see(bypassed)
    expect(degradation.reason).toBe('File and Redis cannot be used')
  })

  test('is reported once, after the fact that changed it', () => {
    const { see, facts } = setup()
    see(bypassed, back)
    expect(facts.map(({ kind }) => kind)).toEqual(['tier-bypassed', 'degradation', 'tier-back', 'degradation'])
  })

  test('stays down while Redis is passed by, though there is a connection to it again', () => {
    const { see } = setup()
    expect([see(redisLost), see(bypassed), see(redisReady), see(back)]).toEqual([
      'memory-only',
      'memory-only',
      'memory-only',
      'healthy',
    ])
  })

  test('goes down for a database that is left alone, until a try has succeeded', () => {
    const { see } = setup()
    expect([see(origin('open')), see(origin('half-open')), see(origin('closed'))]).toEqual([
      'stale-only',
      'stale-only',
      'healthy',
    ])
    expect(see({ kind: 'breaker', name: 'route:plans', state: 'open' })).toBe('healthy')
  })

  test('stands on the worst level that anything calls for', () => {
    const { see, clock, degradation } = setup()
    expect([see(redisLost), see(origin('open')), see(shed('queue-full'))]).toEqual([
      'memory-only',
      'stale-only',
      'shedding',
    ])
    clock.pass(5000)
    expect(degradation.level).toBe('stale-only')
    expect(see(origin('closed'))).toBe('memory-only')
  })

  test('stays on the last for five seconds after the last refusal', () => {
    const { see, clock, degradation, steps } = setup()
    see(shed('queue-full'))
    clock.pass(4999)
    see(shed('queue-full'))
    clock.pass(4999)
    expect(degradation.level).toBe('shedding')
    clock.pass(1)
    expect([degradation.level, steps(), clock.timers]).toEqual([
      'healthy',
      ['healthy > shedding', 'shedding > healthy'],
      0,
    ])
  })

  test('takes a refusal because the database is left alone for what it is', () => {
    expect(setup().see(shed('breaker-open'))).toBe('healthy')
  })

  test('knows for how long', () => {
    const { see, clock, degradation } = setup()
    clock.pass(1000)
    see(redisLost)
    clock.pass(250)
    expect(degradation.forMs).toBe(250)
  })
})
