import { describe, expect, test } from 'vitest'
import type { Entry } from '../proxy/cache/entry.ts'
import { FailOpenTier } from '../proxy/cache/fail-open.ts'
import type { Key } from '../proxy/cache/key.ts'
import type { Tier } from '../proxy/cache/tier.ts'
import { entryOf, ManualClock, recorder, settled } from './support.ts'

const key = 'plans@0123456789ab' as Key
const entry = entryOf('1')
const limits = { deadlineMs: 100, failuresToOpen: 3, openMs: 1000, isLate: () => false }
/** Operations that begin less than this apart fail together, in milliseconds. */
const apartMs = Math.ceil(limits.deadlineMs / limits.failuresToOpen)

type Asked = PromiseWithResolvers<Entry | undefined> & { operation: 'get' | 'set' }

/** A tier that answers when told to, behind fail-open. */
function setup(clock = new ManualClock(), isLate = () => false) {
  const asked: Asked[] = []
  function ask(operation: Asked['operation']) {
    const answer = { operation, ...Promise.withResolvers<Entry | undefined>() }
    asked.push(answer)
    return answer.promise
  }
  const state = { isUsable: true }
  const tier: Tier = {
    name: 'redis',
    label: 'Redis',
    get isUsable() {
      return state.isUsable
    },
    get: () => ask('get'),
    set: () => ask('set').then(() => true),
  }
  const { observe, of } = recorder()
  const guarded = new FailOpenTier(tier, { ...limits, isLate }, clock, observe)
  const last = () => asked.at(-1) as Asked
  /** One get that fails in the tier. */
  async function fail() {
    const reading = guarded.get(key)
    last().reject(new Error('refused'))
    expect(await reading).toBeUndefined()
  }
  return {
    state,
    clock,
    asked,
    guarded,
    of,
    last,
    fail,
    async open() {
      for (let i = 0; i < limits.failuresToOpen; i += 1) await fail()
    },
    /** Whether a get reaches the tier at all; it is not answered. */
    async asks() {
      const before = asked.length
      const reading = guarded.get(key)
      if (asked.length > before) return true
      expect(await reading).toBeUndefined()
      return false
    },
  }
}

describe('while the tier answers', () => {
  test('its answers are passed on, its timers are cancelled, and nothing is observed', async () => {
    const { guarded, last, clock, of } = setup()
    const reading = guarded.get(key)
    last().resolve(entry)
    expect(await reading).toBe(entry)
    const writing = guarded.set(key, entry, 1)
    last().resolve(undefined)
    expect(await writing).toBe(true)
    expect(clock.timers).toBe(0)
    expect([of('tier-error'), of('tier-back'), of('tier-bypassed')]).toEqual([[], [], []])
  })

  test('a synchronous answer is passed on as well', async () => {
    const plain: Tier = { name: 'redis', label: 'Redis', get: () => entry, set: () => false }
    const guarded = new FailOpenTier(plain, limits, new ManualClock(), recorder().observe)
    expect(await guarded.get(key)).toBe(entry)
    expect(await guarded.set(key, entry, 1)).toBe(false)
    expect(guarded.name).toBe('redis')
  })
})

describe('the deadline', () => {
  test.each(['get', 'set'] as const)('of a %s ends at its bound, not before', async (operation) => {
    const { guarded, clock, of } = setup()
    let answer: unknown = 'waiting'
    void Promise.resolve(operation === 'get' ? guarded.get(key) : guarded.set(key, entry, 1)).then((given) => {
      answer = given
    })
    clock.pass(limits.deadlineMs - 1)
    await settled()
    expect(answer).toBe('waiting')
    clock.pass(1)
    await settled()
    expect(answer).toBe(operation === 'get' ? undefined : false)
    expect(of('tier-error')).toMatchObject([{ tier: 'redis', operation, reason: 'timeout' }])
  })

  test('once passed, makes a later answer or failure ignored', async () => {
    const { guarded, clock, asked, of } = setup()
    const readings = [guarded.get(key), guarded.get(key)]
    clock.pass(limits.deadlineMs)
    expect(await Promise.all(readings)).toEqual([undefined, undefined])
    asked[0]?.resolve(entry)
    asked[1]?.reject(new Error('too late'))
    await settled()
    expect(of('tier-error')).toHaveLength(2)
    expect(clock.timers).toBe(0)
  })
})

describe('a failure', () => {
  test('of a get is a miss, of a set is dropped; both are observed with their error', async () => {
    const { guarded, last, of } = setup()
    const error = new Error('refused')
    const reading = guarded.get(key)
    last().reject(error)
    expect(await reading).toBeUndefined()
    const writing = guarded.set(key, entry, 1)
    last().reject(error)
    expect(await writing).toBe(false)
    expect(of('tier-error')).toEqual([
      { kind: 'tier-error', tier: 'redis', operation: 'get', reason: 'error', error },
      { kind: 'tier-error', tier: 'redis', operation: 'set', reason: 'error', error },
    ])
  })

  test('that is thrown synchronously is a miss too', async () => {
    const fail = () => {
      throw new Error('closed')
    }
    const clock = new ManualClock()
    const { observe, of } = recorder()
    const guarded = new FailOpenTier({ name: 'redis', label: 'Redis', get: fail, set: fail }, limits, clock, observe)
    expect([await guarded.get(key), await guarded.set(key, entry, 1)]).toEqual([undefined, false])
    expect([of('tier-error').length, clock.timers]).toEqual([2, 0])
  })
})

describe('failures in a row', () => {
  test('open the circuit at the limit, and not before', async () => {
    const { fail, asks, of } = setup()
    for (let i = 1; i < limits.failuresToOpen; i += 1) await fail()
    expect(of('tier-bypassed')).toEqual([])
    await fail()
    expect(of('tier-bypassed')).toEqual([
      { kind: 'tier-bypassed', tier: 'redis', label: 'Redis', forMs: limits.openMs },
    ])
    expect(await asks()).toBe(false)
  })

  test('may be gets and sets alike, and then both are bypassed at once', async () => {
    const { guarded, clock, asked } = setup()
    const waiting: unknown[] = []
    for (const ask of [() => guarded.get(key), () => guarded.set(key, entry, 1), () => guarded.get(key)]) {
      waiting.push(ask())
      clock.pass(apartMs)
    }
    clock.pass(limits.deadlineMs)
    await Promise.all(waiting)
    expect(asked).toHaveLength(3)
    expect([await guarded.get(key), await guarded.set(key, entry, 1)]).toEqual([undefined, false])
    expect([asked.length, clock.timers]).toEqual([3, 0])
  })

  test('count as one if the operations began together and all timed out: the server paused', async () => {
    const { guarded, clock, asked, of } = setup()
    for (let i = 1; i <= limits.failuresToOpen; i += 1) {
      expect(of('tier-bypassed')).toEqual([])
      const waiting = Array.from({ length: 10 }, () => guarded.get(key))
      clock.pass(apartMs - 1)
      waiting.push(guarded.get(key))
      clock.pass(limits.deadlineMs)
      await Promise.all(waiting)
      expect(asked).toHaveLength(11 * i)
    }
    expect(of('tier-bypassed')).toHaveLength(1)
  })

  test('with a success between them are not in a row', async () => {
    const { guarded, last, fail, asks } = setup()
    await fail()
    await fail()
    const reading = guarded.get(key)
    last().resolve(undefined)
    await reading
    await fail()
    await fail()
    expect(await asks()).toBe(true)
  })

  test('beyond the limit, of operations under way, open the circuit once', async () => {
    const { guarded, asked, of } = setup()
    const waiting = Array.from({ length: 8 }, () => guarded.get(key))
    for (const { reject } of asked) reject(new Error('connection lost'))
    await Promise.all(waiting)
    expect(of('tier-error')).toHaveLength(8)
    expect(of('tier-bypassed')).toHaveLength(1)
  })

  test('are not undone by the answer to an operation that began before them', async () => {
    const { guarded, asked, open, asks, of, clock } = setup()
    const early = guarded.get(key)
    await open()
    asked[0]?.resolve(entry)
    expect(await early).toBe(entry)
    clock.pass(limits.openMs - 1)
    expect(await asks()).toBe(false)
    expect(of('tier-bypassed')).toHaveLength(1)
  })
})

describe('while the circuit is open', () => {
  test('the tier is asked again at the end of openMs, not before', async () => {
    const { open, asks, clock } = setup()
    await open()
    clock.pass(limits.openMs - 1)
    expect(await asks()).toBe(false)
    clock.pass(1)
    expect(await asks()).toBe(true)
  })

  test('one operation tries the tier while the others bypass it', async () => {
    const { guarded, open, asked, clock } = setup()
    await open()
    clock.pass(limits.openMs)
    const before = asked.length
    const trying = guarded.set(key, entry, 1)
    expect(await Promise.all([guarded.get(key), guarded.set(key, entry, 1)])).toEqual([undefined, false])
    expect(asked.length - before).toBe(1)
    asked.at(-1)?.resolve(undefined)
    expect(await trying).toBe(true)
  })

  test('a try that succeeds closes the circuit, and that is observed once', async () => {
    const { guarded, open, last, asks, clock, of } = setup()
    await open()
    clock.pass(limits.openMs)
    const trying = guarded.get(key)
    expect(of('tier-back')).toEqual([])
    last().resolve(entry)
    expect(await trying).toBe(entry)
    expect(of('tier-back')).toEqual([{ kind: 'tier-back', tier: 'redis', label: 'Redis' }])
    expect([await asks(), await asks()]).toEqual([true, true])
  })

  test('a tier that must not be asked is not tried, so the circuit stays open', async () => {
    const { state, guarded, open, asks, clock, of } = setup()
    await open()
    state.isUsable = false
    clock.pass(limits.openMs)
    expect([await asks(), await guarded.set(key, entry, 1000)]).toEqual([false, false])
    expect([guarded.isOpen, of('tier-back')]).toEqual([true, []])
    state.isUsable = true
    expect(await asks()).toBe(true)
  })

  test('after the circuit has closed, it takes all failures to open it again', async () => {
    const { guarded, open, fail, last, asks, clock } = setup()
    await open()
    clock.pass(limits.openMs)
    const trying = guarded.get(key)
    last().resolve(undefined)
    await trying
    await fail()
    await fail()
    expect(await asks()).toBe(true)
  })

  test('a try that fails keeps it open for another openMs', async () => {
    const { open, fail, asks, clock, of } = setup()
    await open()
    clock.pass(limits.openMs)
    await fail()
    clock.pass(limits.openMs - 1)
    expect(await asks()).toBe(false)
    clock.pass(1)
    expect(await asks()).toBe(true)
    expect(of('tier-back')).toEqual([])
  })

  test('a try that exceeds its deadline makes room for another', async () => {
    const { guarded, open, asks, clock } = setup()
    await open()
    clock.pass(limits.openMs)
    const trying = guarded.get(key)
    clock.pass(limits.deadlineMs)
    expect(await trying).toBeUndefined()
    clock.pass(limits.openMs)
    expect(await asks()).toBe(true)
  })
})

/** A clock whose timers fire late by the given time. */
class BusyClock extends ManualClock {
  lateMs = 0
  override after(ms: number, run: () => void): () => void {
    return super.after(ms + this.lateMs, run)
  }
}

describe('another operation on the same server', () => {
  test('runs while the server answers', async () => {
    const { guarded } = setup()
    expect(await guarded.guard(async () => 'done', 'not done')).toBe('done')
  })

  test('can be skipped after a failure, until something succeeds: no request pays two deadlines', async () => {
    const { guarded, fail, last } = setup()
    await fail()
    expect(guarded.isFailing).toBe(true)
    const reading = guarded.get(key)
    last().resolve(undefined)
    await reading
    expect(guarded.isFailing).toBe(false)
  })
})

describe('a deadline whose timer fired late', () => {
  async function outlast(times: number, lateMs: number) {
    const clock = new BusyClock()
    const { guarded, asks, of } = setup(clock)
    clock.lateMs = lateMs
    for (let i = 0; i < times; i += 1) {
      const reading = guarded.get(key)
      clock.pass(limits.deadlineMs + lateMs)
      // An operation that is later than that gets a little more time, so that its answer can be read.
      clock.pass(50 + lateMs)
      expect(await reading).toBeUndefined()
      expect(clock.timers).toBe(0)
    }
    return { isAsked: await asks(), errors: of('tier-error').length, bypassed: of('tier-bypassed').length }
  }

  test('is a miss and is observed, but is not a failure of the tier', async () => {
    expect(await outlast(10, 1000)).toEqual({ isAsked: true, errors: 10, bypassed: 0 })
  })

  test('is a failure of the tier up to 50 ms late, and not beyond', async () => {
    expect(await outlast(limits.failuresToOpen, 50)).toMatchObject({ isAsked: false, bypassed: 1 })
    expect(await outlast(limits.failuresToOpen, 51)).toMatchObject({ isAsked: true, bypassed: 0 })
  })

  test('is no success either: failures before it and after it are in a row', async () => {
    const clock = new BusyClock()
    const { guarded, fail, asks } = setup(clock)
    await fail()
    await fail()
    clock.lateMs = 1000
    const reading = guarded.get(key)
    clock.pass(2000)
    clock.pass(1050)
    await reading
    await fail()
    expect(await asks()).toBe(false)
  })

  test('also excuses a failure from another timer of this process that ran before the answer was read', async () => {
    const clock = new BusyClock()
    const { guarded, last, asks, of } = setup(clock)
    clock.lateMs = 1000
    for (let i = 0; i < 10; i += 1) {
      const reading = guarded.get(key)
      clock.pass(limits.deadlineMs + 1000)
      last().reject(new Error('Command timed out'))
      expect(await reading).toBeUndefined()
    }
    expect([await asks(), of('tier-error').length, of('tier-bypassed').length]).toEqual([true, 10, 0])
  })

  test('is extended while the tier answers other operations and the process is late, for a second at most', async () => {
    let isLate = true
    const { guarded, asked, clock, of } = setup(new ManualClock(), () => isLate)
    const read = () => {
      let answer: unknown = 'waiting'
      void Promise.resolve(guarded.get(key)).then((given) => {
        answer = given
      })
      const own = asked.at(-1) as Asked
      return { own, told: () => settled().then(() => answer) }
    }
    const answersAnother = async () => {
      read().own.resolve(undefined)
      await settled()
    }
    const alone = read()
    clock.pass(149)
    expect(await alone.told()).toBe('waiting')
    clock.pass(1)
    expect(await alone.told()).toBeUndefined()

    const [patient, lucky] = [read(), read()]
    clock.pass(1)
    await answersAnother()
    clock.pass(998)
    expect([await patient.told(), await lucky.told()]).toEqual(['waiting', 'waiting'])
    lucky.own.resolve(entry)
    expect(await lucky.told()).toBe(entry)
    clock.pass(1)
    expect(await patient.told()).toBeUndefined()

    const calm = read()
    clock.pass(1)
    await answersAnother()
    clock.pass(199)
    isLate = false
    expect(await calm.told()).toBe('waiting')
    clock.pass(50)
    expect(await calm.told()).toBeUndefined()
    expect(of('tier-bypassed')).toEqual([])
    expect(of('tier-error')).toHaveLength(3)
  })

  test('leaves time to read an answer that has already arrived', async () => {
    const clock = new BusyClock()
    const { guarded, last, of } = setup(clock)
    clock.lateMs = 1000
    const reading = guarded.get(key)
    clock.pass(limits.deadlineMs + 1000)
    last().resolve(undefined)
    expect(await reading).toBeUndefined()
    expect([of('tier-error').length, clock.timers]).toEqual([0, 0])
  })
})
