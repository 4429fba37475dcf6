import { expect, test } from 'vitest'
import { Readiness } from '../proxy/ops/readiness.ts'
import { ManualClock, recorder } from './support.ts'

function setup() {
  const clock = new ManualClock()
  const { observe, facts } = recorder()
  return { clock, facts, readiness: new Readiness(clock, observe) }
}

test('a process is ready from the end of its warm-up until it drains', () => {
  const { readiness } = setup()
  expect(readiness.why).toBe(
    'The process is reading the entries listed in warm; it is ready after that, within ten seconds.',
  )
  readiness.warmed()
  expect(readiness.why).toBeUndefined()
  readiness.drain('SIGTERM')
  expect(readiness.why).toBe('The process is draining: it finishes the requests under way and ends.')
})

test('a process whose warm-up ends while it drains is still draining', () => {
  const { readiness } = setup()
  readiness.drain('SIGTERM')
  readiness.warmed()
  expect(readiness.why).toBe('The process is draining: it finishes the requests under way and ends.')
})

test('the end of a drain is reported with its duration, and only after a drain was started', () => {
  const { readiness, clock, facts } = setup()
  readiness.drained()
  expect(facts).toEqual([])
  readiness.drain('SIGTERM')
  clock.pass(1500)
  readiness.drained()
  expect(facts).toEqual([
    { kind: 'draining', signal: 'SIGTERM' },
    { kind: 'drained', seconds: 1.5 },
  ])
})
