import { describe, expect, test } from 'vitest'
import { Scheduler } from '../proxy/overload/scheduler.ts'
import { ManualClock, settled } from './support.ts'

/** Work of a duration, and turns at a time, that the test decides. */
function setup() {
  const clock = new ManualClock()
  const turns: (() => void)[] = []
  const scheduler = new Scheduler(clock, (run) => turns.push(run))
  const begun: string[] = []
  const come = (name: string, tookMs = 0) => {
    const begin = () => {
      begun.push(name)
      clock.pass(tookMs)
    }
    const now = clock.now()
    if (scheduler.mayBegin(now)) begin()
    else scheduler.wait(now, begin)
  }
  /** The work that began in the next turn, or since the last one. */
  const turn = async () => {
    for (const run of turns.splice(0)) run()
    await settled()
    return begun.splice(0)
  }
  return { clock, scheduler, come, turn, begun, turns }
}

describe('scheduler', () => {
  test('begins work at once within 10 ms of the last turn, and other work in the next turn', async () => {
    const { come, turn, begun } = setup()
    come('first')
    expect([begun, await turn()]).toEqual([[], ['first']])
    for (const name of ['a', 'b', 'c', 'd']) come(name, 4)
    expect(begun.splice(0)).toEqual(['a', 'b', 'c'])
    expect(await turn()).toEqual(['d'])
  })

  test('keeps the order of arrival: new work waits behind waiting work', async () => {
    const { come, turn } = setup()
    for (let i = 0; i < 8; i += 1) come(String(i), 2)
    expect(await turn()).toEqual(['0', '1', '2', '3', '4'])
    come('late')
    expect(await turn()).toEqual(['5', '6', '7', 'late'])
  })

  test('begins at least one piece of work per turn, however long it takes', async () => {
    const { come, turn } = setup()
    for (const name of ['a', 'b']) come(name, 1000)
    expect([await turn(), await turn(), await turn()]).toEqual([['a'], ['b'], []])
  })

  test('requests a turn only while work waits, and only once', async () => {
    const { come, turn, turns } = setup()
    expect(turns).toEqual([])
    for (const name of ['a', 'b', 'c']) come(name, 5)
    expect(turns).toHaveLength(1)
    await turn()
    expect(turns).toHaveLength(1)
    await turn()
    come('d')
    expect(turns).toHaveLength(0)
  })

  test('reports how long the first waiting request has waited', async () => {
    const { clock, scheduler, come, turn } = setup()
    expect(scheduler.waitedMs).toBe(0)
    come('a', 10)
    clock.pass(20)
    come('b')
    clock.pass(30)
    expect(scheduler.waitedMs).toBe(50)
    await turn()
    expect(scheduler.waitedMs).toBe(40)
    await turn()
    expect(scheduler.waitedMs).toBe(0)
  })

  test('lets begun work continue at once within the time slice, otherwise in its turn', async () => {
    const { scheduler, come, turn, begun } = setup()
    const goOn = (name: string) => scheduler.turn()?.then(() => begun.push(name))
    come('a', 9)
    await turn()
    expect(goOn('at once')).toBeUndefined()
    come('b', 1)
    come('c')
    const [first, second] = [goOn('first'), goOn('second')]
    expect(begun.splice(0)).toEqual(['b'])
    expect(await turn()).toEqual(['first', 'second', 'c'])
    await Promise.all([first, second])
  })

  test('counts continuations within the slice of their work', async () => {
    const { clock, scheduler, come, turn } = setup()
    scheduler.wait(clock.now(), () => void Promise.resolve().then(() => clock.pass(10)))
    come('b')
    expect([await turn(), await turn()]).toEqual([[], ['b']])
  })

  test('loses none of many thousands of waiting requests', async () => {
    const { come, turn } = setup()
    const all = Array.from({ length: 10_000 }, (_none, i) => String(i))
    for (const name of all) come(name, 0.015625)
    const begun: string[] = []
    for (let i = 0; i < 16; i += 1) begun.push(...(await turn()))
    expect(begun).toEqual(all)
  })
})

test('everything ready runs between two turns of the scheduler', async () => {
  const clock = new ManualClock()
  const scheduler = new Scheduler(clock)
  const seen: string[] = []
  for (const name of ['a', 'b'])
    scheduler.wait(clock.now(), () => {
      setImmediate(() => seen.push(`after ${name}`))
      seen.push(name)
      clock.pass(10)
    })
  while (seen.length < 4) await settled()
  expect(seen).toEqual(['a', 'after a', 'b', 'after b'])
})
