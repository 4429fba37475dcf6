import { describe, expect, test } from 'vitest'
import { Problem } from '../proxy/errors.ts'
import { type FactOf, type Observation, ObservationBus } from '../proxy/observation.ts'
import { DegradationMonitor } from '../proxy/ops/degradation.ts'
import { events } from '../proxy/ops/events.ts'
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

const refused = Object.assign(new Error('connect ECONNREFUSED 127.0.0.1:6379'), { code: 'ECONNREFUSED' })
const redisLost: Observation = { kind: 'redis-connection', state: 'lost', error: refused }
const redisReady: Observation = { kind: 'redis-connection', state: 'ready' }
const bypassed: Observation = { kind: 'tier-bypassed', tier: 'redis', label: 'Redis', forMs: 1000 }
const back: Observation = { kind: 'tier-back', tier: 'redis', label: 'Redis' }
const origin = (state: 'open' | 'half-open' | 'closed'): Observation => ({ kind: 'breaker', name: 'origin', state })
const timeout = (tier: string): Observation => ({
  kind: 'tier-error',
  tier,
  operation: 'get',
  reason: 'timeout',
  error: new Error('no reply within 100 ms'),
})
const shed = (reason: FactOf<'shed'>['reason']): Observation => ({ kind: 'shed', route: 'plans', reason })

describe('the degradation level', () => {
  test('is healthy until something fails', () => {
    const { see, steps } = setup()
    expect(see(redisReady, { kind: 'evicted', key: 'plan@1', bytes: 1000, readAt: 0 })).toBe('healthy')
    expect(steps()).toEqual([])
  })

  test('is memory-only while Redis is disconnected or bypassed, and gives the error', () => {
    const { see, steps, reasons } = setup()
    expect([see(redisLost), see(redisReady), see(timeout('redis'), bypassed), see(back)]).toEqual([
      'memory-only',
      'healthy',
      'memory-only',
      'healthy',
    ])
    expect(steps()).toHaveLength(4)
    expect(reasons()).toEqual([
      'Redis: connect ECONNREFUSED 127.0.0.1:6379',
      undefined,
      'Redis: no reply within 100 ms',
      undefined,
    ])
  })

  test('is memory-only while any tier is bypassed, and healthy when every tier is used again', () => {
    const { see, reasons, degradation } = setup()
    const file = { tier: 'file', label: 'File' }
    expect([
      see(timeout('redis'), bypassed),
      see({ kind: 'tier-bypassed', ...file, forMs: 1000 }),
      see(back),
      see(redisLost, redisReady),
      see({ kind: 'tier-back', ...file }),
    ]).toEqual(['memory-only', 'memory-only', 'memory-only', 'memory-only', 'healthy'])
    expect(reasons()).toEqual(['Redis: no reply within 100 ms', undefined])
    see({ kind: 'tier-bypassed', ...file, forMs: 1000 })
    expect(degradation.reason).toBe('File: not available')
    see(bypassed)
    expect(degradation.reason).toBe('File: not available; Redis: no reply within 100 ms')
  })

  test('is reported once, after the fact that changed it', () => {
    const { see, facts } = setup()
    see(bypassed, back)
    expect(facts.map(({ kind }) => kind)).toEqual(['tier-bypassed', 'degradation', 'tier-back', 'degradation'])
  })

  test('stays memory-only while Redis is bypassed, even after it has reconnected', () => {
    const { see } = setup()
    expect([see(redisLost), see(bypassed), see(redisReady), see(back)]).toEqual([
      'memory-only',
      'memory-only',
      'memory-only',
      'healthy',
    ])
  })

  test('is stale-only while the circuit breaker of the database is open or half-open', () => {
    const { see } = setup()
    expect([see(origin('open')), see(origin('half-open')), see(origin('closed'))]).toEqual([
      'stale-only',
      'stale-only',
      'healthy',
    ])
    expect(see({ kind: 'breaker', name: 'route:plans', state: 'open' })).toBe('healthy')
  })

  test('is the worst level that any condition causes', () => {
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

  test('stays shedding for five seconds after the last rejected request', () => {
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

  test('is not shedding when requests are rejected because a circuit breaker is open', () => {
    expect(setup().see(shed('breaker-open'))).toBe('healthy')
  })

  test('names every dependency that fails, with the code of its error, and the next step', () => {
    const { see, degradation } = setup()
    expect([degradation.reason, degradation.action]).toEqual([undefined, undefined])
    const error = Object.assign(new Error('too many clients already'), { code: '53300', severity: 'FATAL' })
    const failed: Observation = { kind: 'origin-query', route: 'plans', outcome: 'unavailable', seconds: 1, error }
    see(redisLost, { ...failed, error: new Problem('origin-unavailable', 'gone', { cause: error }) }, origin('open'))
    const outages = 'PostgreSQL: too many clients already (53300); Redis: connect ECONNREFUSED 127.0.0.1:6379'
    expect(degradation.reason).toBe(outages)
    expect(degradation.action).toBe(events['degraded-stale-only'].action)
    see(shed('too-late'))
    expect(degradation.reason).toBe(
      `PostgreSQL answers too slowly, or not at all: statements of the route plans wait past their deadline; ${outages}`,
    )
    expect(degradation.action).toMatch(/^Check that PostgreSQL answers\./)
  })

  test.each([
    ['overloaded', 'this process is overloaded: its event loop is late'],
    ['queue-full', 'PostgreSQL answers too slowly, or not at all: the queue of the route plans is full'],
    ['upstream-full', 'the upstream has upstream.maxRequests open requests'],
  ] as const)('%s is given as the cause of shedding', (reason, cause) => {
    const { see, degradation } = setup()
    see(shed(reason))
    expect(degradation.reason).toBe(cause)
  })

  test('gives the loss of the connection rather than what the operations of the tier met then', () => {
    const { see, degradation } = setup()
    see(redisLost, timeout('redis'), bypassed)
    expect(degradation.reason).toBe('Redis: connect ECONNREFUSED 127.0.0.1:6379')
    see(redisReady)
    expect(degradation.reason).toBe('Redis: no reply within 100 ms')
    see(redisLost)
    expect(degradation.reason).toBe('Redis: connect ECONNREFUSED 127.0.0.1:6379')
  })

  test('never quotes a value of the database', () => {
    const { see, degradation } = setup()
    const error = Object.assign(new Error('invalid input syntax for type integer: "secret"'), { code: '22P02' })
    see({ kind: 'origin-query', route: 'plans', outcome: 'failed', seconds: 1, error }, origin('open'))
    expect(degradation.reason).toBe('PostgreSQL: PostgreSQL rejected a value (data exception) (22P02)')
  })

  test('knows its duration', () => {
    const { see, clock, degradation } = setup()
    clock.pass(1000)
    see(redisLost)
    clock.pass(250)
    expect(degradation.forMs).toBe(250)
  })
})
