import { expect, test } from 'vitest'
import type { Clock } from '../proxy/clock.ts'
import { OverloadDetector } from '../proxy/overload/detector.ts'

/** A process whose timers fire exactly as late as the test decides. */
function setup() {
  let now = 0
  let waitedMs = 0
  let due: { at: number; run: () => void } | undefined
  const clock: Clock = {
    now: () => now,
    after(ms, run) {
      due = { at: now + ms, run }
      return () => {
        due = undefined
      }
    },
  }
  const detector = new OverloadDetector(clock, () => waitedMs)
  const turn = (lateMs: number, times = 1) => {
    for (let i = 0; i < times; i += 1) {
      now = (due?.at as number) + lateMs
      due?.run()
    }
    return detector.isOverloaded
  }
  const pass = (ms: number) => {
    now += ms
  }
  const wait = (ms: number) => {
    waitedMs = ms
  }
  return { detector, wait, turn, pass, isLooking: () => due !== undefined }
}

test('a process is overloaded when the samples more than 100 ms late outnumber the others by ten', () => {
  const { turn } = setup()
  expect([turn(101, 9), turn(101), turn(500, 20), turn(100)]).toEqual([false, true, true, false])
  expect([turn(101), turn(100, 3), turn(101, 2), turn(101)]).toEqual([true, false, false, true])
  expect([turn(0, 100), turn(101, 9), turn(101)]).toEqual([false, false, true])
})

test('a single pause, however long, is not overload', () => {
  const { turn } = setup()
  expect([turn(30_000), turn(0), turn(101, 4), turn(3), turn(101, 4)]).toEqual(Array(5).fill(false))
})

test('it is overloaded when a request has waited more than 100 ms to begin, even with punctual timers', () => {
  const { turn, wait, detector } = setup()
  wait(101)
  expect([turn(0, 9), turn(0), detector.isLate]).toEqual([false, true, false])
  wait(100)
  expect(turn(0)).toBe(false)
})

test('it is late as soon as a sample is more than 50 ms overdue, until five samples are punctual', () => {
  const { turn, detector, pass } = setup()
  const after = (lateMs: number, times = 1) => {
    turn(lateMs, times)
    return detector.isLate
  }
  expect([detector.isLate, after(50), after(51), after(50, 4), after(50)]).toEqual([false, false, true, true, false])
  pass(70)
  expect(detector.isLate).toBe(false)
  pass(1)
  expect(detector.isLate).toBe(true)
})

test('it stops sampling when told to', () => {
  const { detector, isLooking } = setup()
  detector.stop()
  expect(isLooking()).toBe(false)
})
