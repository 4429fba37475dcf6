import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Problem } from '../proxy/errors.ts'
import { readBody, readQuery } from '../proxy/http/routes/input.ts'
import { undecodable } from '../proxy/http/routes/parameters.ts'

// Lone surrogates too. Not fast-check's own unit of this: that takes a second to make.
const character = fc
  .oneof(fc.integer({ min: 0, max: 0x7f }), fc.integer({ min: 0, max: 0x10ffff }))
  .map((point) => String.fromCodePoint(point))

const query = (text: string) => Object.fromEntries(readQuery(text))

describe('a query', () => {
  test('has names with values', () => {
    expect(query('county=51059&ages=34,32')).toEqual({ county: ['51059'], ages: ['34,32'] })
  })

  test('is percent-decoded as UTF-8, names too', () => {
    expect(query('%63ounty=%C3%A9%2C%26')).toEqual({ county: ['é,&'] })
  })

  test('reads + as a space, and %2B as a plus', () => {
    expect(query('q=a+b%2Bc&a+b=1')).toEqual({ q: ['a b+c'], 'a b': ['1'] })
  })

  test('takes everything after the first = as the value', () => {
    expect(query('q=a=b==')).toEqual({ q: ['a=b=='] })
  })

  test('has empty values, with and without =', () => {
    expect(query('a=&b')).toEqual({ a: [''], b: [''] })
  })

  test('may have nothing between ampersands', () => {
    expect(query('')).toEqual({})
    expect(query('&&a=1&')).toEqual({ a: ['1'] })
  })

  test('has no other separator', () => {
    expect(query('a=1;b=2')).toEqual({ a: ['1;b=2'] })
  })

  test('keeps both values of a repeated name, in order', () => {
    expect(query('a=1&b=2&a=3')).toEqual({ a: ['1', '3'], b: ['2'] })
  })

  test('keeps both values also when one of the two is percent-encoded', () => {
    expect(query('county=1&%63ounty=2')).toEqual({ county: ['1', '2'] })
    expect(query('a b=1&a+b=2&a%20b=3')).toEqual({ 'a b': ['1', '2', '3'] })
  })

  test('does not decode twice', () => {
    expect(query('a=%2541')).toEqual({ a: ['%41'] })
  })

  test.each(['%', '%4', '%zz', '%ff', '%c3%28', '%ed%a0%80', '%00%ff'])('marks the value %s as undecodable', (bad) => {
    expect(query(`a=x${bad}&b=1`)).toEqual({ a: [undecodable], b: ['1'] })
  })

  test('ignores an undecodable name', () => {
    expect(query('%ff=1&%=2&b=1')).toEqual({ b: ['1'] })
  })

  test('takes names that every object has for plain names', () => {
    expect([...readQuery('__proto__=1&constructor=2').keys()]).toEqual(['__proto__', 'constructor'])
    expect(readQuery('').get('constructor')).toBeUndefined()
  })
})

/** The problem `readBody(text)` throws. */
function refusal(text: unknown): Problem {
  try {
    readBody(text)
  } catch (error) {
    if (error instanceof Problem) return error
    throw error
  }
  throw new Error('It was taken.')
}

describe('a body', () => {
  test('has the members of its object, with their JSON types', () => {
    expect(Object.fromEntries(readBody('{"county":"51059","ages":[34,32],"metal":null}'))).toEqual({
      county: ['51059'],
      ages: [[34, 32]],
      metal: [null],
    })
  })

  test.each(['[]', '"text"', '1', 'null', 'true'])('that is %s is not an object', (text) => {
    expect(refusal(text).code).toBe('bad-body')
  })

  test.each(['', ' ', '{', '{"a":1,}', "{'a':1}", '{a:1}', '{"a":1}{"a":2}', '{"a":NaN}', '\ufeff{}', '{"a":1} x'])(
    'that is %j is rejected',
    (text) => {
      expect(refusal(text).code).toBe('bad-body')
    },
  )

  test.each([undefined, null, {}, Buffer.from('{}')])('that is no text (%j) is refused', (body) => {
    expect(refusal(body).status).toBe(400)
  })

  test('keeps both values of a repeated name', () => {
    expect(readBody('{"a":1,"b":2,"a":3}').get('a')).toHaveLength(2)
    expect(readBody('{"a":1,"b":2,"a":3}').get('b')).toEqual([2])
    expect(readBody('{"a":1,"a":1}').get('a')).toHaveLength(2)
  })

  test.each(['"\\u0063ounty"', '"count\\u0079"', '"\\u0063\\u006f\\u0075\\u006e\\u0074\\u0079"'])(
    'keeps both values of a repeated name, even if one is spelled %s',
    (spelling) => {
      expect(readBody(`{"county":"51059",${spelling}:"51001"}`).get('county')).toHaveLength(2)
      expect(readBody(`{${spelling} : "51001" , "county"\n:"51059"}`).get('county')).toHaveLength(2)
    },
  )

  test('counts its own names only, not those of objects in it', () => {
    const sent = readBody('{"a":{"a":1,"b":{"a":2}},"c":[{"a":3},["a","b"]],"b":"a"}')
    expect([...sent.keys()]).toEqual(['a', 'c', 'b'])
    expect([...sent.values()].map((values) => values.length)).toEqual([1, 1, 1])
  })

  test.each([
    ['braces and brackets', '{"x":"}{][","a":1}'],
    ['escaped quotes', '{"x":"\\"a\\":","a":1}'],
    ['an escaped backslash at the end', '{"x":"\\\\","a":1}'],
    ['what looks like a member', '{"x":"{\\"a\\":1}","a":1}'],
    ['a line separator', '{"x":"\u2028\u2029:","a":1}'],
  ])('may have a string with %s', (_what, text) => {
    const sent = readBody(text)
    expect([...sent.keys()]).toEqual(['x', 'a'])
    expect(sent.get('a')).toEqual([1])
    expect(sent.get('x')).toEqual([(JSON.parse(text) as { x: string }).x])
  })

  test('may have a name with braces, quotes and a colon in it', () => {
    expect([...readBody('{"{\\"a\\":[":1,"a":2}').keys()]).toEqual(['{"a":[', 'a'])
  })

  test('takes names that every object has for plain names', () => {
    const sent = readBody('{"__proto__":{"county":"51059"},"constructor":1,"toString":2}')
    expect([...sent]).toEqual([
      ['__proto__', [{ county: '51059' }]],
      ['constructor', [1]],
      ['toString', [2]],
    ])
    expect(sent.get('county')).toBeUndefined()
    expect(Object.hasOwn(Object.prototype, 'county')).toBe(false)
  })

  test('with one very long string is read', () => {
    const long = 'x\\"'.repeat(300_000)
    expect([...readBody(`{"a":"${long}","b":1}`).keys()]).toEqual(['a', 'b'])
  })

  test('property: the names found in any JSON object are its names, once each, with their values', () => {
    const object = fc.dictionary(
      fc.oneof(
        // No backslash: V8 14.6 itself misreads the name \" as \ after it has seen that in an object of the same shape.
        fc.string({ unit: character }).filter((name) => !name.includes('\\')),
        fc.constantFrom('a', '"', '{', '}', '__proto__', 'constructor', ':'),
      ),
      fc.jsonValue({ stringUnit: character }),
    )
    fc.assert(
      fc.property(object, fc.constantFrom(undefined, 1, '\t'), (value, indent) => {
        const text = JSON.stringify(value, null, indent)
        const read = JSON.parse(text) as Record<string, unknown>
        const sent = readBody(text)
        expect(new Set(sent.keys())).toEqual(new Set(Object.keys(read)))
        for (const [name, values] of sent) expect(values).toEqual([read[name]])
      }),
    )
  })
})
