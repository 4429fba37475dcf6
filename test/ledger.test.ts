import { expect, test } from 'vitest'
import { type Event, type Invalidation, isGood, Ledger } from '../proxy/coherence/ledger.ts'
import { everything } from '../proxy/tags.ts'
import { nextEvent } from './support.ts'

const tags = ['route:plan', 'table:plans']
const key = 'plan@1?plan_id=1'
const now = 1000
const start = { pos: 7, id: 'seven' }

/** A ledger that has joined the log at `start`. */
function joined(...bounds: number[]): Ledger {
  const ledger = new Ledger(...bounds)
  ledger.join(start)
  return ledger
}

/** An entry read now, with the ledger's current stamp. */
const entry = (ledger: Ledger) => ({ stamp: ledger.stamp(), tags, readAt: now })
const on = (...touched: string[]): Invalidation => ({ tags: touched, soft: false, cause: 'change' })
const softlyOn = (...touched: string[]): Invalidation => ({ ...on(...touched), soft: true })

/** Applies the next event of the log. */
const next = (ledger: Ledger, invalidation: Invalidation) => ledger.apply(nextEvent(ledger.position, invalidation), now)

/** The verdicts on an entry of this process, and on one that any process may have written. */
const verdicts = (ledger: Ledger, judged: ReturnType<typeof entry>, at = now) => [
  ledger.verdict(key, judged, at),
  ledger.verdictShared(key, judged, at),
]

test('an entry read after an event is current; one read before it is not', () => {
  const ledger = joined()
  const before = entry(ledger)
  expect(next(ledger, on('table:plans'))).toBe('applied')
  expect(verdicts(ledger, before)).toEqual(['invalid', 'invalid'])
  expect(verdicts(ledger, entry(ledger))).toEqual(['current', 'current'])
})

test('a tag, a key and everything each reach an entry; a tag that it does not carry does not', () => {
  for (const [tag, verdict] of [
    ['route:plan', 'invalid'],
    [key, 'invalid'],
    [everything, 'invalid'],
    ['table:rates', 'current'],
    [`${key}0`, 'current'],
  ] as const) {
    const ledger = joined()
    const before = entry(ledger)
    next(ledger, on(tag))
    expect([tag, ...verdicts(ledger, before)]).toEqual([tag, verdict, verdict])
  }
})

test('each of many events is remembered, not only the last', () => {
  const ledger = joined()
  const before = entry(ledger)
  next(ledger, on('table:plans'))
  for (let i = 0; i < 100; i += 1) next(ledger, on(`county:${i}`))
  expect(verdicts(ledger, before)).toEqual(['invalid', 'invalid'])
})

test('an invalidation that the log does not have holds for this process', () => {
  const ledger = joined()
  const before = entry(ledger)
  ledger.applyHere(on('table:plans'), now)
  expect(verdicts(ledger, before)).toEqual(['invalid', 'invalid'])
  // An entry of another process at the same position may be from before the invalidation, too.
  expect(verdicts(ledger, entry(ledger))).toEqual(['current', 'invalid'])
  expect(ledger.position).toEqual(start)
  next(ledger, on('table:rates'))
  expect(verdicts(ledger, entry(ledger))).toEqual(['current', 'current'])
})

test('the oldest tags are forgotten at the bound, and entries older than them can no longer be verified', () => {
  const ledger = joined(3)
  const oldest = entry(ledger)
  next(ledger, on('a'))
  const afterFirst = entry(ledger)
  for (const tag of ['b', 'c']) next(ledger, on(tag))
  expect(verdicts(ledger, oldest)).toEqual(['current', 'current'])
  next(ledger, on('d')) // the fourth tag: `a` is forgotten
  expect(verdicts(ledger, oldest)).toEqual(['invalid', 'invalid'])
  expect(verdicts(ledger, afterFirst)).toEqual(['current', 'current'])
})

test('a tag that is touched again becomes the newest, and is not the first to be forgotten', () => {
  const ledger = joined(2)
  for (const tag of ['table:plans', 'b', 'table:plans']) next(ledger, on(tag))
  const between = entry(ledger)
  next(ledger, on('c')) // `b` is forgotten
  expect(verdicts(ledger, between)).toEqual(['current', 'current'])
  expect(next(ledger, on('table:plans'))).toBe('applied')
  expect(verdicts(ledger, between)).toEqual(['invalid', 'invalid'])
})

test('positions are remembered up to the bound', () => {
  const ledger = joined(10, 3)
  const stamped = entry(ledger)
  for (const tag of ['a', 'b']) next(ledger, on(tag))
  expect(ledger.verdictShared(key, stamped, now)).toBe('current')
  next(ledger, on('c'))
  expect(ledger.holds(start)).toBe(false)
  expect(verdicts(ledger, stamped)).toEqual(['current', 'invalid'])
})

test('an event is applied once, and one that does not continue the chain is a gap', () => {
  const ledger = joined()
  const event = nextEvent(start, on('x'))
  expect([ledger.apply(event, now), ledger.apply(event, now)]).toEqual(['applied', 'known'])
  const skipped: Event = { ...nextEvent(nextEvent(event, on('y')), on('z')) }
  expect(ledger.apply(skipped, now)).toBe('gap')
  expect(ledger.isSynchronized).toBe(false)
  expect(ledger.apply(nextEvent(event, on('y')), now)).toBe('gap')
})

test('the same position with another id is a gap: the log has lost its tail', () => {
  const ledger = joined()
  next(ledger, on('x'))
  expect(ledger.apply({ ...nextEvent(start, on('y')), id: 'other' }, now)).toBe('gap')
})

test('after a loss nothing shared is trusted; after a new join no stamp before the barrier is', () => {
  const ledger = joined()
  const before = entry(ledger)
  ledger.lose()
  const meanwhile = entry(ledger)
  expect(verdicts(ledger, before)).toEqual(['current', 'invalid'])
  ledger.join({ pos: 9, id: 'barrier' })
  expect(verdicts(ledger, before)).toEqual(['missed', 'invalid'])
  expect(verdicts(ledger, meanwhile)).toEqual(['missed', 'invalid'])
  expect(isGood(ledger.verdict(key, meanwhile, now))).toBe(false)
  expect(verdicts(ledger, entry(ledger))).toEqual(['current', 'current'])
})

test('a gap does not hide known changes', () => {
  const ledger = joined()
  const before = entry(ledger)
  next(ledger, on('table:plans'))
  ledger.lose()
  ledger.join({ pos: 3, id: 'barrier' })
  expect(verdicts(ledger, before)).toEqual(['invalid', 'invalid'])
  const after = entry(ledger)
  expect(verdicts(ledger, after)).toEqual(['current', 'current'])
  next(ledger, on('table:rates'))
  expect(verdicts(ledger, after)).toEqual(['current', 'current'])
})

test('an entry of a process that has applied more cannot be judged yet', () => {
  const ledger = joined()
  const ahead = nextEvent(start, on('x'))
  const written = { stamp: { seq: 0, pos: ahead.pos, id: ahead.id }, tags, readAt: now }
  expect(ledger.verdictShared(key, written, now)).toBe('invalid')
  ledger.apply(ahead, now)
  expect(ledger.verdictShared(key, written, now)).toBe('current')
})

test('after `verifiedUntil` an entry that is not invalid is unverified', () => {
  const ledger = joined()
  const held = entry(ledger)
  ledger.verifiedUntil = now
  expect(verdicts(ledger, held, now)).toEqual(['current', 'current'])
  expect(verdicts(ledger, held, now + 1)).toEqual(['unverified', 'unverified'])
  next(ledger, on('table:plans'))
  expect(verdicts(ledger, held, now + 1)).toEqual(['invalid', 'invalid'])
})

test('a soft event makes older entries soft, and a later hard one still makes them invalid', () => {
  const ledger = joined()
  const before = { ...entry(ledger), readAt: now - 1 }
  next(ledger, softlyOn('table:plans'))
  expect(verdicts(ledger, before)).toEqual(['soft', 'soft'])
  expect(verdicts(ledger, entry(ledger))).toEqual(['current', 'current'])
  next(ledger, on('table:plans'))
  expect(verdicts(ledger, before)).toEqual(['invalid', 'invalid'])
})

test('too many soft tags become a soft event on everything', () => {
  const ledger = joined(2)
  const other = { ...entry(ledger), readAt: now - 1 }
  for (const tag of ['a', 'b', 'c']) next(ledger, softlyOn(tag))
  expect(ledger.verdict(key, other, now)).toBe('soft')
})
