import { expect, test } from 'vitest'
import { Readiness } from '../proxy/ops/readiness.ts'
import { ManualClock, recorder } from './support.ts'

function setup() {
  const clock = new ManualClock()
  const { observe, facts } = recorder()
  return { clock, facts, readiness: new Readiness(clock, observe) }
}

test('it is ready once it is warm, until it drains', () => {
  const { readiness } = setup()
  expect(readiness.why).toBe(
    'The process is reading the entries listed in warm; it is ready after that, within ten seconds.',
  )
  readiness.warmed()
  expect(readiness.why).toBeUndefined()
  readiness.drain('SIGTERM')
  expect(readiness.why).toBe('The process is draining: it finishes the requests under way and ends.')
})

test('it stays draining when it is warm only then', () => {
  const { readiness } = setup()
  readiness.drain('SIGTERM')
  readiness.warmed()
  expect(readiness.why).toBe('The process is draining: it finishes the requests under way and ends.')
})

test('the end is reported with how long it took, and only where it was asked for', () => {
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
