import type { Cluster, Redis } from 'ioredis'
import { describe, expect, test } from 'vitest'
import { RedisTime } from '../proxy/cache/redis-time.ts'
import { ManualClock, settled } from './support.ts'

/** A Redis whose clock is `aheadMs` ahead of ours, and whose reply takes time. */
function setup({ aheadMs = 5_000_000.25, thereMs = 3, backMs = 7, clock = new ManualClock(1000) } = {}) {
  const state = { asked: 0, aheadMs, failure: undefined as Error | undefined, isSilent: false, ready: () => {} }
  const client = {
    on: (_event: 'ready', ready: () => void) => {
      state.ready = ready
    },
    async time() {
      state.asked += 1
      if (state.isSilent) return new Promise(() => {})
      if (state.failure) throw state.failure
      clock.pass(thereMs)
      const now = clock.now() + state.aheadMs
      clock.pass(backMs)
      return [Math.floor(now / 1000), Math.round((now % 1000) * 1000)]
    },
  }
  return { clock, state, client, time: new RedisTime(client as unknown as Redis, clock) }
}

describe('the clock of Redis', () => {
  test('is known to within one round trip', async () => {
    const { time } = setup()
    const { least, most } = await time.ahead()
    expect(least).toBeCloseTo(5_000_000.25 - 7, 1)
    expect(most).toBeCloseTo(5_000_000.25 + 3, 1)
  })

  test('is asked for once a second, and a caller waits only while there is no reading', async () => {
    const { time, clock, state } = setup()
    await Promise.all([time.ahead(), time.ahead()])
    expect(state.asked).toBe(1)
    clock.pass(500)
    await time.ahead()
    expect(state.asked).toBe(1)
    clock.pass(501)
    state.isSilent = true
    await Promise.all([time.ahead(), time.ahead()])
    expect(state.asked).toBe(2)
  })

  test('is known less exactly the older the reading is', async () => {
    const { time, clock, state } = setup()
    const before = await time.ahead()
    state.isSilent = true
    clock.pass(60_000)
    const after = await time.ahead()
    expect(before.least - after.least).toBeCloseTo(60)
    expect(after.most - before.most).toBeCloseTo(60)
  })

  test('is asked for again after a reconnect, which may lead to another server', async () => {
    const { time, state } = setup()
    await time.ahead()
    state.aheadMs = 9_000_000
    state.ready()
    expect((await time.ahead()).least).toBeCloseTo(9_000_000 - 7, 1)
  })

  test('of a Cluster covers all its masters; a master that does not answer keeps its reading, one that is gone loses it', async () => {
    const clock = new ManualClock(1000)
    const [one, other] = [1000, 3000].map((aheadMs) => setup({ aheadMs, thereMs: 0, backMs: 0, clock }))
    let masters = [one?.client, other?.client]
    const time = new RedisTime({ on() {}, nodes: () => masters } as unknown as Cluster, clock)
    expect(await time.ahead()).toEqual({ least: 1000, most: 3000 })
    if (other) other.state.failure = new Error('gone')
    clock.pass(2000)
    await time.ahead()
    await settled()
    expect(await time.ahead()).toEqual({ least: 1000, most: 3002 })
    masters = [one?.client]
    clock.pass(2000)
    await time.ahead()
    await settled()
    expect(await time.ahead()).toEqual({ least: 1000, most: 1000 })
  })

  test('is unknown if no server gives it; it is asked for again, and earlier readings stay valid', async () => {
    const { time, clock, state } = setup()
    state.failure = new Error('gone')
    await expect(time.ahead()).rejects.toThrow('gone')
    state.failure = undefined
    const told = await time.ahead()
    state.failure = new Error('gone')
    clock.pass(1001)
    expect((await time.ahead()).least).toBeLessThan(told.least)
    await settled()
    expect(state.asked).toBe(3)
  })
})
