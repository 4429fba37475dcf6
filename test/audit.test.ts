import { describe, expect, test } from 'vitest'
import type { Answer, Loaded, Read } from '../proxy/cache/answer.ts'
import { Audit } from '../proxy/cache/audit.ts'
import type { Key } from '../proxy/cache/key.ts'
import { Ledger } from '../proxy/coherence/ledger.ts'
import { entryOf, gate, ManualClock, recorder, settled } from './support.ts'

const lifetime = { fresh: 60_000, stale: 600_000, staleIfError: 3_600_000, negative: 10_000 }

function setup({ random = () => 0, isIdle = () => true }: { random?: () => number; isIdle?: () => boolean } = {}) {
  const clock = new ManualClock()
  const seen = recorder()
  const ledger = new Ledger()
  const audit = new Audit({ ledger, clock, observe: seen.observe, random })
  const readAt = clock.now() - 5000
  const entry = entryOf('served', { tags: ['county:51059'], stamp: ledger.stamp(), readAt })
  const answer: Answer = { entry, source: 'memory', state: 'fresh', ttlMs: 1, ageMs: 5000 }
  const origin = { asked: 0, load: async (): Promise<Loaded> => ({ json: 'served', rows: 1 }) }
  const read = (route = 'plans'): Read => ({
    key: `${route}@1?county=51059` as Key,
    route,
    tags: () => entry.tags,
    lifetime,
    load() {
      origin.asked += 1
      return origin.load()
    },
  })
  const consider = (share = 0.5, over: Partial<Answer> = {}, route = 'plans') =>
    audit.consider(read(route), { ...answer, ...over }, share, isIdle)
  /** Lets this much time pass, and then all pending work run. */
  const pass = async (ms = 0) => {
    clock.pass(ms)
    await settled()
  }
  const outcomes = () => seen.of('audited').map((fact) => (fact.kind === 'audited' ? fact.outcome : ''))
  return { clock, seen, ledger, origin, consider, pass, outcomes }
}

describe('whether a hit is audited', () => {
  test('takes one random number, and none if the share is 0', async () => {
    let asked = 0
    const numbers = [0.001, 0.000_999]
    const { consider, pass, origin, clock } = setup({ random: () => numbers[asked++] as number })
    consider(0)
    expect([asked, clock.timers]).toEqual([0, 0])
    consider(0.001)
    expect([asked, clock.timers]).toEqual([1, 0])
    consider(0.001)
    expect([asked, clock.timers]).toEqual([2, 1])
    await pass()
    expect(origin.asked).toBe(1)
  })

  test('is decided before anything else is done: the request has its answer first', () => {
    const { consider, origin, seen } = setup()
    consider()
    expect([origin.asked, seen.facts]).toEqual([0, []])
  })

  test('is not asked for an answer of the origin', () => {
    const { consider, clock } = setup()
    consider(1, { source: 'origin', state: 'miss' })
    expect(clock.timers).toBe(0)
  })
})

describe('an audit', () => {
  test('with the same bytes is a match', async () => {
    const { consider, pass, outcomes, seen } = setup()
    consider()
    await pass()
    expect(outcomes()).toEqual(['match'])
    expect(seen.facts).toEqual([{ kind: 'audited', route: 'plans', outcome: 'match', ageSeconds: 5 }])
  })

  test('with other bytes, and no invalidation within two seconds, is a mismatch, with the age at that moment', async () => {
    const { consider, pass, outcomes, origin, seen } = setup()
    origin.load = async () => ({ json: 'another', rows: 1 })
    consider()
    await pass()
    await pass(1999)
    expect(outcomes()).toEqual([])
    await pass(1)
    expect(outcomes()).toEqual(['mismatch'])
    expect(seen.facts[0]).toMatchObject({ ageSeconds: 5 })
  })

  test.each([
    ['while its statement runs', 'during'],
    ['while it waits for word of the change', 'after'],
    ['before it began', 'before'],
  ])('of an entry that is invalidated %s was overtaken', async (_when, moment) => {
    const { consider, pass, outcomes, origin, ledger, clock } = setup()
    const invalidate = () => ledger.applyHere({ tags: ['county:51059'], soft: false, cause: 'change' }, clock.now())
    const answered = gate()
    origin.load = async () => {
      await answered.opened
      return { json: 'another', rows: 1 }
    }
    consider()
    if (moment === 'before') invalidate()
    await pass()
    if (moment === 'during') invalidate()
    answered.open()
    await settled()
    if (moment === 'after') invalidate()
    await pass(2000)
    expect(outcomes()).toEqual(['overtaken'])
  })

  test('twin: an invalidation of another entry does not excuse a mismatch', async () => {
    const { consider, pass, outcomes, origin, ledger, clock } = setup()
    origin.load = async () => ({ json: 'another', rows: 1 })
    consider()
    ledger.applyHere({ tags: ['county:51001'], soft: false, cause: 'change' }, clock.now())
    await pass()
    await pass(2000)
    expect(outcomes()).toEqual(['mismatch'])
  })

  test('with a failed statement counts as failed, and has no other effect', async () => {
    const { consider, pass, outcomes, origin } = setup()
    origin.load = async () => {
      throw new Error('gone')
    }
    consider()
    await pass()
    consider()
    await pass()
    expect(outcomes()).toEqual(['failed', 'failed'])
  })

  test('does not run while the database is busy', async () => {
    const { consider, pass, outcomes, origin } = setup({ isIdle: () => false })
    consider()
    await pass()
    expect([outcomes(), origin.asked]).toEqual([['skipped'], 0])
  })

  test('is the only one of its route until it is over; other routes have their own', async () => {
    const { consider, pass, outcomes, origin } = setup()
    const answered = gate()
    origin.load = async () => {
      await answered.opened
      return { json: 'another', rows: 1 }
    }
    consider()
    await pass()
    consider()
    consider(0.5, {}, 'states')
    await pass()
    expect([outcomes(), origin.asked]).toEqual([['skipped'], 2])
    answered.open()
    await settled()
    consider()
    await pass()
    expect(outcomes()).toEqual(['skipped', 'skipped'])
    await pass(2000)
    consider()
    await pass()
    expect(origin.asked).toBe(3)
  })
})
