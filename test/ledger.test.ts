import { expect, test } from 'vitest'
import { everything, Ledger } from '../proxy/coherence/ledger.ts'

const tags = ['route:plan', 'table:plans']
const key = 'plan@1?plan_id=1'
const now = 1000

/** An entry read now, as `ledger` stands. */
const entry = (ledger: Ledger) => ({ stamp: ledger.stamp(), tags, readAt: now })

test('what was read after an invalidation is current; what was read before it is not', () => {
  const ledger = new Ledger()
  const before = entry(ledger)
  ledger.apply({ tags: ['table:plans'], soft: false }, now)
  expect(ledger.verdict(key, before)).toBe('invalid')
  expect(ledger.verdict(key, entry(ledger))).toBe('current')
})

test('a tag, a key and everything each reach an entry; what it does not carry does not', () => {
  for (const [tag, verdict] of [
    ['route:plan', 'invalid'],
    [key, 'invalid'],
    [everything, 'invalid'],
    ['table:rates', 'current'],
    [`${key}0`, 'current'],
  ] as const) {
    const ledger = new Ledger()
    const before = entry(ledger)
    ledger.apply({ tags: [tag], soft: false }, now)
    expect([tag, ledger.verdict(key, before)]).toEqual([tag, verdict])
  }
})

test('of many invalidations each is remembered, not only the last', () => {
  const ledger = new Ledger()
  const before = entry(ledger)
  ledger.apply({ tags: ['table:plans'], soft: false }, now)
  for (let i = 0; i < 100; i += 1) ledger.apply({ tags: [`county:${i}`], soft: false }, now)
  expect(ledger.verdict(key, before)).toBe('invalid')
})

test('forgetting tags makes older entries unverifiable, never current', () => {
  const ledger = new Ledger(3)
  const touched = entry(ledger)
  ledger.apply({ tags: ['table:plans'], soft: false }, now)
  const untouched = entry(ledger)
  for (const tag of ['a', 'b']) ledger.apply({ tags: [tag], soft: false }, now)
  expect([ledger.verdict(key, touched), ledger.verdict(key, untouched)]).toEqual(['invalid', 'current'])
  ledger.apply({ tags: ['c'], soft: false }, now) // the fourth tag: all are forgotten
  expect([ledger.verdict(key, touched), ledger.verdict(key, untouched)]).toEqual(['invalid', 'invalid'])
  expect(ledger.verdict(key, entry(ledger))).toBe('current')
})

test('a soft invalidation makes older entries soft, and a later hard one still makes them invalid', () => {
  const ledger = new Ledger()
  const before = { ...entry(ledger), readAt: now - 1 }
  ledger.apply({ tags: ['table:plans'], soft: true }, now)
  expect(ledger.verdict(key, before)).toBe('soft')
  expect(ledger.verdict(key, entry(ledger))).toBe('current')
  ledger.apply({ tags: ['table:plans'], soft: false }, now)
  expect(ledger.verdict(key, before)).toBe('invalid')
})

test('too many soft tags become a soft invalidation of everything', () => {
  const ledger = new Ledger(2)
  const other = { ...entry(ledger), readAt: now - 1 }
  for (const tag of ['a', 'b', 'c']) ledger.apply({ tags: [tag], soft: true }, now)
  expect(ledger.verdict(key, other)).toBe('soft')
})

test('an entry of another process is believed only under the head there is now', () => {
  const ledger = new Ledger()
  const shared = (head: string | undefined) => ledger.verdictShared(key, { stamp: { seq: 0, head }, tags, readAt: now })
  expect([shared('h1'), shared(undefined)]).toEqual(['invalid', 'invalid'])
  ledger.head = 'h1'
  expect([shared('h1'), shared('h0'), shared(undefined)]).toEqual(['current', 'invalid', 'invalid'])
})
