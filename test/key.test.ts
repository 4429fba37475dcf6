import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Params, routeOf, type Scalar, spellKey } from '../proxy/cache/key.ts'

// fast-check's own unit of all characters takes a second to build.
const character = fc
  .oneof(fc.integer({ min: 0, max: 0x7f }), fc.integer({ min: 0, max: 0x10ffff }))
  .map((point) => String.fromCodePoint(point).toWellFormed())

const spell = (params: Params) => spellKey('plans', '0123456789ab', params)

// Characters of the key's own syntax, and characters outside ASCII.
const nasty = fc.constantFrom(
  '',
  '&',
  '=',
  ',',
  '%',
  '%2C',
  '%252C',
  '&q=',
  'a,b',
  '?',
  '@',
  '#',
  ' ',
  '+',
  'é',
  '\u{1f600}',
)
const text = fc.oneof(
  fc.string({ unit: character }),
  fc.array(nasty, { maxLength: 4 }).map((parts) => parts.join('')),
  fc.string({ unit: fc.constantFrom('a', '&', '=', ',', '%', '2', 'C', 'é'), maxLength: 5 }),
)
const whole = fc.integer({ min: -2_147_483_648, max: 2_147_483_647 })
const listOf = <T extends Scalar>(item: fc.Arbitrary<T>) => fc.array(item, { minLength: 1, maxLength: 4 })

// The parameters of one route. Its declaration fixes their names and types.
const types = {
  county: text,
  q: fc.option(text, { nil: null }),
  ids: listOf(text),
  ages: fc.option(listOf(fc.integer({ min: -12, max: 12 })), { nil: null }),
  limit: fc.oneof(whole, fc.integer({ min: -2, max: 12 })),
  offset: fc.option(whole, { nil: null }),
}
const params = fc.record(types) as fc.Arbitrary<Params>

test('property: two different parameter sets of a route never share a key', () => {
  fc.assert(
    fc.property(params, params, (one, other) => {
      fc.pre(JSON.stringify(one) !== JSON.stringify(other))
      expect(spell(one)).not.toBe(spell(other))
    }),
    { numRuns: 500 },
  )
})

test('property: two sets that differ in one parameter never share a key', () => {
  const names = Object.keys(types) as (keyof typeof types)[]
  const changed = fc
    .constantFrom(...names)
    .chain((name) =>
      fc.tuple(params, types[name]).map(([one, value]) => ({ one, other: { ...one, [name]: value } as Params })),
    )
  fc.assert(
    fc.property(changed, ({ one, other }) => {
      fc.pre(JSON.stringify(one) !== JSON.stringify(other))
      expect(spell(one)).not.toBe(spell(other))
    }),
    { numRuns: 500 },
  )
})

test('property: equal parameter sets have the same key', () => {
  fc.assert(fc.property(params, (one) => spell(one) === spell(structuredClone(one))))
})

test('property: a key is printable ASCII without spaces, and names its route', () => {
  fc.assert(
    fc.property(params, (one) => {
      expect(spell(one)).toMatch(/^[\x21-\x7e]+$/)
      expect(routeOf(spell(one))).toBe('plans')
    }),
  )
})

const pairs: [string, Params, Params][] = [
  ['a value with & and = and two values', { a: 'x&b=y', b: null }, { a: 'x', b: 'y' }],
  ['one item with a comma and two items', { a: ['x,y'] }, { a: ['x', 'y'] }],
  ['an item that is an escaped comma and two items', { a: ['x%2Cy'] }, { a: ['x', 'y'] }],
  ['an escaped value and what it escapes', { a: '%26' }, { a: '&' }],
  ['a doubly escaped value and an escaped one', { a: '%252C' }, { a: '%2C' }],
  ['null and empty', { a: null }, { a: '' }],
  ['two empty items and one', { a: ['', ''] }, { a: [''] }],
  ['items in another order', { a: [1, 2] }, { a: [2, 1] }],
  ['an item twice and once', { a: [5, 5] }, { a: [5] }],
  ['a list of two digits and a number of two', { a: [1, 2] }, { a: [12] }],
  ['a negative number and a positive', { a: -1 }, { a: 1 }],
  ['composed and decomposed letters', { a: '\u00e9' }, { a: 'e\u0301' }],
  ['upper case and lower case', { a: 'A' }, { a: 'a' }],
  ['values given to different names', { a: 'x', b: null }, { a: null, b: 'x' }],
  ['true and false', { a: true }, { a: false }],
  ['a list of true and of false', { a: [true, false] }, { a: [false, true] }],
  ['false and null', { a: false }, { a: null }],
  ['a plus and a space', { a: '+' }, { a: ' ' }],
]
test.each(pairs)('%s have different keys', (_what, one, other) => {
  expect(spell(one)).not.toBe(spell(other))
})

test('routes and versions of a route never share a key', () => {
  const keys = [
    spellKey('plans', 'aaaaaaaaaaaa', { a: 1 }),
    spellKey('plan', 'aaaaaaaaaaaa', { a: 1 }),
    spellKey('plans', 'bbbbbbbbbbbb', { a: 1 }),
  ]
  expect(new Set(keys).size).toBe(3)
})

test('a long value is in its key whole, neither cut nor hashed', () => {
  expect(spell({ a: 'x'.repeat(1000) })).toContain('x'.repeat(1000))
})
