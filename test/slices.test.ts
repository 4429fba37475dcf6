import { describe, expect, test } from 'vitest'
import { Slices } from '../proxy/slices.ts'
import { ManualClock, settled } from './support.ts'

/** Requests that take as long as the test says, and turns that come when it says. */
function setup() {
  const clock = new ManualClock()
  const turns: (() => void)[] = []
  const slices = new Slices(clock, (run) => turns.push(run))
  const begun: string[] = []
  const come = (name: string, tookMs = 0) => {
    const begin = () => {
      begun.push(name)
      clock.pass(tookMs)
    }
    const now = clock.now()
    if (slices.mayBegin(now)) begin()
    else slices.wait(now, begin)
  }
  const turn = () => {
    for (const run of turns.splice(0)) run()
    return begun.splice(0)
  }
  return { clock, slices, come, turn, begun, turns }
}

describe('slices', () => {
  test('begin at once what comes within five milliseconds; the rest in the next turn', () => {
    const { come, turn, begun } = setup()
    for (const name of ['a', 'b', 'c', 'd']) come(name, 2)
    expect(begun.splice(0)).toEqual(['a', 'b', 'c'])
    expect(turn()).toEqual(['d'])
  })

  test('keep the order of coming: who comes while others wait, waits behind them', () => {
    const { come, turn, begun } = setup()
    come('long', 100)
    for (let i = 0; i < 8; i += 1) come(String(i), 1)
    expect(begun.splice(0)).toEqual(['long'])
    expect(turn()).toEqual(['0', '1', '2', '3', '4'])
    come('late')
    expect(begun).toEqual([])
    expect(turn()).toEqual(['5', '6', '7', 'late'])
  })

  test('begin at least one a turn, however long it takes', () => {
    const { come, turn } = setup()
    for (const name of ['a', 'b', 'c']) come(name, 1000)
    expect([turn(), turn(), turn()]).toEqual([['a', 'b'], ['c'], []])
  })

  test('ask for a turn only while there is something to do in it, and once', () => {
    const { come, turn, turns, begun } = setup()
    come('a', 5)
    come('b')
    come('c')
    expect(turns).toHaveLength(1)
    turn()
    expect(turns).toHaveLength(0)
    come('d')
    expect([begun, turns.length]).toEqual([['d'], 1])
    turn()
    expect(turns).toHaveLength(0)
  })

  test('say how long the next one has waited', () => {
    const { clock, slices, come, turn } = setup()
    expect(slices.waitedMs).toBe(0)
    come('a', 5)
    come('b', 5)
    clock.pass(20)
    come('c')
    clock.pass(30)
    expect(slices.waitedMs).toBe(50)
    turn()
    expect(slices.waitedMs).toBe(35) // c, which came 20 ms after b
    turn()
    expect(slices.waitedMs).toBe(0)
  })

  test('what has begun goes on at once where there is time left, else in its turn', async () => {
    const { slices, come, turn, begun } = setup()
    expect(slices.turn()).toBeUndefined()
    come('a', 5)
    come('b', 1)
    const goesOn = slices.turn()?.then(() => begun.push('goes on'))
    come('c')
    expect(turn()).toEqual(['a', 'b', 'c'])
    await goesOn
    expect(begun).toEqual(['goes on'])
  })

  test('forget nobody of many thousands', () => {
    const { come, turn } = setup()
    come('first', 5)
    const all = Array.from({ length: 10_000 }, (_none, i) => String(i))
    for (const name of all) come(name, 0.01)
    const begun: string[] = []
    for (let i = 0; i < 21; i += 1) begun.push(...turn())
    expect(begun).toEqual(['first', ...all])
  })
})

test('between two slices everything that is ready runs', async () => {
  const clock = new ManualClock()
  const slices = new Slices(clock)
  const seen: string[] = []
  slices.mayBegin(clock.now())
  clock.pass(5)
  for (const name of ['a', 'b'])
    slices.wait(clock.now(), () => {
      setImmediate(() => seen.push(`after ${name}`))
      seen.push(name)
      clock.pass(5)
    })
  while (seen.length < 4) await settled()
  expect(seen).toEqual(['a', 'after a', 'b', 'after b'])
})
