import { expect, test } from 'vitest'
import type { Clock } from '../proxy/clock.ts'
import { busyness } from '../proxy/ops/busy.ts'

/** A process whose timers fire when the test says, as late as it says. */
function setup() {
  let now = 0
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
  const busy = busyness(clock)
  const turn = (lateMs: number, times = 1) => {
    for (let i = 0; i < times; i += 1) {
      now = (due?.at as number) + lateMs
      due?.run()
    }
    return busy.isBusy
  }
  return { busy, turn, isLooking: () => due !== undefined }
}

test('a process is busy when five turns in a row are more than 100 ms late, and no longer when one is not', () => {
  const { turn } = setup()
  expect([turn(101, 4), turn(101), turn(500, 10), turn(100)]).toEqual([false, true, true, false])
})

test('one pause, however long, does not make it busy', () => {
  const { turn } = setup()
  expect([turn(30_000), turn(0), turn(101, 4), turn(3), turn(101, 4)]).toEqual(Array(5).fill(false))
})

test('it can be told to look no more', () => {
  const { busy, isLooking } = setup()
  busy.stop()
  expect(isLooking()).toBe(false)
})
