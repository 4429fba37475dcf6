import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Parameter } from '../proxy/config/parameter-types.ts'
import { decode, readerOf, undecodable } from '../proxy/http/routes/parameters.ts'

// Lone surrogates too. Not fast-check's own unit of this: that takes a second to make.
const character = fc
  .oneof(fc.integer({ min: 0, max: 0x7f }), fc.integer({ min: 0, max: 0x10ffff }))
  .map((point) => String.fromCodePoint(point))

type Of<T extends Parameter['type'], P = Parameter> = P extends { type: T } ? P : never

const text: Of<'string'> = { type: 'string', minLength: 1, maxLength: 100, lowercase: false }
const whole: Of<'integer'> = { type: 'integer', min: 0, max: 120 }
const choice: Of<'enum'> = { type: 'enum', values: ['Silver', 'Gold'] }
const list: Of<'list'> = { type: 'list', items: whole, minItems: 1, maxItems: 3, sorted: false, unique: false }

const read = (parameter: Parameter, value: unknown) => readerOf(parameter)(value)
/** The canonical value, or the word "refused". */
function taken(parameter: Parameter, value: unknown): unknown {
  const outcome = read(parameter, value)
  if ('value' in outcome) return outcome.value
  expect(outcome.fault).not.toBe('')
  return 'refused'
}

describe('an integer', () => {
  test.each(['0', '1', '34', '120', 0, 120])('%j is accepted as its number', (value) => {
    expect(taken(whole, value)).toBe(Number(value))
  })

  test.each(['-1', '121', -1, 121, '2147483648', '999999999999999', '9007199254740993', 1e300])(
    '%j is out of bounds',
    (value) => {
      expect(taken(whole, value)).toBe('refused')
    },
  )

  test('may equal its bounds, but not exceed them', () => {
    const between: Parameter = { type: 'integer', min: -2_147_483_648, max: 2_147_483_647 }
    expect(taken(between, '-2147483648')).toBe(-2_147_483_648)
    expect(taken(between, '2147483647')).toBe(2_147_483_647)
    expect(taken(between, '-2147483649')).toBe('refused')
    expect(taken(between, '2147483648')).toBe('refused')
  })

  test.each([
    ...['007', '00', '1e3', '+1', '-0', '1.0', '1.', '.5', '0x10', '1_000', '1,000', ' 1', '1 ', '1\n', '', '-', '--1'],
    ...['١٢', '１２', 'NaN', 'Infinity', '1n', '1\0', 'null', 'true'],
  ])('%j is another spelling, or not an integer', (value) => {
    expect(taken({ ...whole, min: -2000, max: 2000 }, value)).toBe('refused')
  })

  test.each([1.5, -0, NaN, Infinity, null, true, [1], ['1'], {}, undefined])('%j in JSON is no integer', (value) => {
    expect(taken({ ...whole, min: -2000 }, value)).toBe('refused')
  })

  test('is the same value in a query and in JSON', () => {
    expect(taken(whole, '34')).toBe(taken(whole, 34))
  })
})

describe('an enum', () => {
  test('accepts its values only, in their exact spelling', () => {
    expect(taken(choice, 'Silver')).toBe('Silver')
    for (const value of ['silver', 'Silver ', '', 'Silver,Gold', 'constructor', null, 0, ['Silver']])
      expect(taken(choice, value)).toBe('refused')
  })

  test('reports its values and the given one', () => {
    expect(read(choice, 'Brass')).toEqual({ fault: 'must be one of Silver, Gold, not "Brass"' })
  })
})

describe('a string', () => {
  test('may be as short and as long as its bounds, but not beyond', () => {
    const bounded: Parameter = { ...text, minLength: 2, maxLength: 4 }
    expect(['x', 'xx', 'xxxx', 'xxxxx'].map((value) => taken(bounded, value))).toEqual([
      'refused',
      'xx',
      'xxxx',
      'refused',
    ])
  })

  test('must not be empty by default', () => {
    expect(taken(text, '')).toBe('refused')
    expect(taken({ ...text, minLength: 0 }, '')).toBe('')
  })

  test('matches its whole pattern', () => {
    const zip: Parameter = { ...text, pattern: '[0-9]{5}' }
    expect(taken(zip, '51059')).toBe('51059')
    for (const value of ['510590', 'x51059', '51059\n', '\n51059', ' 51059', '５１０５９'])
      expect(taken(zip, value)).toBe('refused')
  })

  test('matches a pattern of alternatives as a whole', () => {
    const either: Parameter = { ...text, pattern: 'a|b' }
    expect(['a', 'b', 'ab', 'ax', 'xb'].map((value) => taken(either, value))).toEqual([
      'a',
      'b',
      'refused',
      'refused',
      'refused',
    ])
  })

  test('is folded to lower case before its pattern and its length are checked', () => {
    const folded: Parameter = { ...text, lowercase: true, pattern: '[a-zé]*', maxLength: 6 }
    expect(taken(folded, 'SILVÉR')).toBe('silvér')
    expect(taken(folded, 'silvér')).toBe('silvér')
    // One capital I with a dot becomes two characters.
    expect(taken({ ...text, lowercase: true, maxLength: 1 }, '\u0130')).toBe('refused')
  })

  test('keeps its case otherwise, and its spaces', () => {
    expect(taken(text, ' Silver ')).toBe(' Silver ')
  })

  test.each(['\0', 'a\0b', '\ud800', 'a\udc00b', '\udc00\ud800'])('%j is nothing PostgreSQL can store', (value) => {
    expect(taken(text, value)).toBe('refused')
    expect(taken({ ...list, items: text }, [value])).toBe('refused')
  })

  test('may hold any other character', () => {
    for (const value of ['\u{1f600}', "'; drop table plans; --", '\u0001', '$1', '%', '\ufffd'])
      expect(taken(text, value)).toBe(value)
  })

  test.each([1, null, true, ['a'], {}])('%j in JSON is no string', (value) => {
    expect(taken(text, value)).toBe('refused')
  })

  test('that is very long is quoted in part only', () => {
    const outcome = read({ ...text, pattern: '[0-9]*', maxLength: 1000 }, 'x'.repeat(1000))
    expect('fault' in outcome && outcome.fault.length).toBeLessThan(150)
  })
})

describe('a list', () => {
  test('is the same list with commas in a query and as an array in JSON', () => {
    expect(taken(list, '34,32,5')).toEqual([34, 32, 5])
    expect(taken(list, [34, 32, 5])).toEqual([34, 32, 5])
    expect(taken(list, ['34', 32, '5'])).toEqual([34, 32, 5])
  })

  test('of one is a list', () => {
    expect(taken(list, '34')).toEqual([34])
  })

  test('has as many items as its bounds say, no fewer and no more', () => {
    const bounded: Parameter = { ...list, minItems: 2, maxItems: 3 }
    for (const given of ['1', '1,2,3,4', [1], [1, 2, 3, 4], []]) expect(taken(bounded, given)).toBe('refused')
    for (const given of ['1,2', '1,2,3']) expect(taken(bounded, given)).toEqual(given.split(',').map(Number))
  })

  test.each(['', ',', '1,', ',1', '1,,2', '1, 2', '1;2', '[1,2]', '1,x', '1,007'])(
    '%j has an invalid item',
    (given) => {
      expect(taken(list, given)).toBe('refused')
    },
  )

  test.each([34, null, true, {}, { 0: 1, length: 1 }, [[1]], [null], [1.5], [{}]])(
    '%j in JSON is not a list of integers',
    (given) => {
      expect(taken(list, given)).toBe('refused')
    },
  )

  test('keeps its order by default', () => {
    expect(taken(list, '3,1,2')).toEqual([3, 1, 2])
  })

  test('is sorted if so configured: numbers as numbers', () => {
    expect(taken({ ...list, sorted: true }, '34,5,100')).toEqual([5, 34, 100])
    const signed: Parameter = { ...list, sorted: true, items: { ...whole, min: -50 } }
    expect(taken(signed, '0,-10,-9')).toEqual([-10, -9, 0])
  })

  test('keeps repeated items unless configured as unique', () => {
    expect(taken({ ...list, sorted: true }, '5,34,5')).toEqual([5, 5, 34])
    expect(taken({ ...list, unique: true }, '5,34,5')).toEqual([5, 34])
  })

  test('with unique items is counted without repetitions', () => {
    expect(taken({ ...list, unique: true, minItems: 2 }, '5,5')).toBe('refused')
  })

  test('of strings has its items folded before repetitions are removed', () => {
    const ids: Parameter = { ...list, items: { ...text, lowercase: true }, sorted: true, unique: true }
    expect(taken(ids, 'B,a,b')).toEqual(['a', 'b'])
  })

  test('does not change the given array', () => {
    const given = [3, 1, 2]
    taken({ ...list, sorted: true }, given)
    expect(given).toEqual([3, 1, 2])
  })

  test('property: a sorted list is the same list in any order', () => {
    const sorted: Parameter = { ...list, sorted: true, maxItems: 12 }
    const shuffled = fc
      .array(fc.integer({ min: 0, max: 120 }), { minLength: 1, maxLength: 12 })
      .chain((ages) =>
        fc.tuple(fc.constant(ages), fc.shuffledSubarray(ages, { minLength: ages.length, maxLength: ages.length })),
      )
    fc.assert(
      fc.property(shuffled, ([ages, other]) => {
        expect(taken(sorted, other.join(','))).toEqual(taken(sorted, ages.join(',')))
        expect(taken(sorted, other)).toEqual(ages.toSorted((a, b) => a - b))
      }),
    )
  })

  test('far above its limit is rejected without reading it all', () => {
    expect(taken(list, '1,'.repeat(1_000_000))).toBe('refused')
  })
})

describe('JSON null', () => {
  test('means that a parameter is not given: its default applies', () => {
    expect(taken({ ...whole, default: 40 }, null)).toBe(40)
    expect(taken({ ...choice, default: null }, null)).toBe(null)
    expect(taken({ ...list, default: null }, null)).toBe(null)
    expect(taken({ ...text, default: 'x' }, null)).toBe('x')
  })

  test('does not fit a required parameter', () => {
    for (const parameter of [text, whole, choice, list]) expect(taken(parameter, null)).toBe('refused')
  })

  test('in a query is a word like any other', () => {
    expect(taken({ ...text, default: null }, 'null')).toBe('null')
    expect(taken({ ...choice, default: null }, 'null')).toBe('refused')
  })
})

test('an undecodable value fits no parameter, not even one with a default', () => {
  for (const parameter of [text, whole, choice, list]) {
    expect(taken(parameter, undecodable)).toBe('refused')
    expect(taken({ ...parameter, default: null }, undecodable)).toBe('refused')
  }
})

test('decode percent-decodes once, or reports that it cannot', () => {
  expect(['a', '%41', '%2541', '+', '%e2%82%ac'].map(decode)).toEqual(['a', 'A', '%41', '+', '€'])
  for (const bad of ['%', '%a', '%zz', '%ff', '%c0%af', '%ed%a0%80', 'ok%']) expect(decode(bad)).toBe(undecodable)
})

test('property: an accepted value is accepted again as itself', () => {
  const parameters: Parameter[] = [
    { ...text, lowercase: true },
    { ...whole, min: -1000 },
    { ...list, sorted: true, unique: true },
    { ...list, items: { ...text, lowercase: true }, sorted: true },
    choice,
  ]
  const given = fc.oneof(
    fc.string({ unit: character }),
    fc.jsonValue({ stringUnit: character }),
    fc.integer({ min: -9, max: 99 }),
    fc.array(fc.integer({ min: 0, max: 9 })),
    fc.constantFrom('Silver', 'İ', '1,0,1'),
  )
  fc.assert(
    fc.property(fc.constantFrom(...parameters), given, (parameter, value) => {
      const outcome = read(parameter, value)
      if ('value' in outcome) expect(read(parameter, outcome.value)).toEqual(outcome)
    }),
  )
})
