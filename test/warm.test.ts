import { describe, expect, test } from 'vitest'
import type { Answer, Read } from '../proxy/cache/answer.ts'
import { warm } from '../proxy/cache/warm.ts'
import { gate, ManualClock, recorder, settled } from './support.ts'

function setup(count: number) {
  const clock = new ManualClock()
  const seen = recorder()
  const gates = Array.from({ length: count }, gate)
  const begun: number[] = []
  const reads = gates.map((_, n) => ({ key: String(n) }) as Read)
  const cache = {
    async read({ key }: Read) {
      begun.push(Number(key))
      await gates[Number(key)]?.opened
      if (key === '1') throw new Error('gone')
      return {} as Answer
    },
  }
  let isDone = false
  const warming = warm(reads, cache, 10_000, clock, seen.observe).then(() => {
    isDone = true
  })
  const open = async (...numbers: number[]) => {
    for (const n of numbers) gates[n]?.open()
    await settled()
  }
  return { clock, seen, begun, open, warming, isDone: () => isDone }
}

describe('the listed reads run at the start', () => {
  test('in order, four at a time, each as soon as one before it is done', async () => {
    const { begun, open } = setup(7)
    await settled()
    expect(begun).toEqual([0, 1, 2, 3])
    await open(2)
    expect(begun).toEqual([0, 1, 2, 3, 4])
    await open(0, 3)
    expect(begun).toEqual([0, 1, 2, 3, 4, 5, 6])
  })

  test('and are waited for; a failed read holds up nothing', async () => {
    const { clock, seen, open, warming, isDone } = setup(5)
    await open(0, 1, 2, 3)
    expect(isDone()).toBe(false)
    clock.pass(500)
    await open(4)
    await warming
    expect(seen.of('warmed')).toEqual([{ kind: 'warmed', entries: 4, failed: 1, seconds: 0.5 }])
    expect(clock.timers).toBe(0)
  })

  test('up to a limit: the remaining reads go on in the background', async () => {
    const { clock, begun, seen, open, isDone } = setup(5)
    await settled()
    clock.pass(9999)
    await settled()
    expect(isDone()).toBe(false)
    clock.pass(1)
    await settled()
    expect([isDone(), seen.of('warmed').length]).toEqual([true, 0])
    await open(0, 1, 2, 3, 4)
    expect([begun.length, seen.of('warmed').length]).toEqual([5, 1])
  })

  test('without any wait if none is listed', async () => {
    const { warming, seen } = setup(0)
    await warming
    expect(seen.facts).toEqual([])
  })
})
