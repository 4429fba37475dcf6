import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Encoding } from '../../proxy/cache/entry.ts'
import { chooseEncoding } from '../../proxy/http/reply.ts'
import { byte, spaces } from './arbitraries.ts'

describe('Accept-Encoding (RFC 9110, 12.5.3)', () => {
  const encodings: Encoding[] = ['br', 'gzip']
  const available = fc.subarray(encodings).map((names) => Object.fromEntries(names.map((name) => [name, true])))

  const weights = [';q=0', ';Q=0.000', ' ; q=0.', ';q=1', ';q=0.001', ';q=0.5', '']
  const oddWeights = [
    ...[';q=2', ';q=-1', ';q=', ';q', ';q=x', ';q="0"', ';q=0x1', ';q=.5', ';q=1e9', ';q=NaN', ';q=Infinity', ';'],
    ...[';q=0;q=1', ';q=1;q=0', ';x=1;q=0', ';x="', '="', ';q=0.0001', ';q =0', ';__proto__=1;q=0', ';;q=0'],
  ]
  const names = ['br', 'gzip', 'BR', 'GZip', '*', 'identity', 'deflate', 'br gzip', 'gzip/1', '__proto__', '']
  const weight = fc.oneof({ weight: 2, arbitrary: fc.constantFrom(...weights) }, fc.constantFrom(...oddWeights))
  const member = fc.tuple(spaces, fc.constantFrom(...names), weight, spaces).map((parts) => parts.join(''))
  const garbage = fc.string({ unit: fc.oneof(byte, fc.constantFrom(',', ';', '=', '"', '\\', '*')) })
  const field = fc.oneof(
    { weight: 4, arbitrary: fc.array(member, { maxLength: 6 }).map((members) => members.join(',')) },
    { weight: 1, arbitrary: garbage },
    { weight: 1, arbitrary: fc.tuple(member, garbage, member).map((members) => members.join(',')) },
  )

  /** The weights of `name` in `field`, as text: '' for a member without a weight. */
  const givenTo = (name: string, field: string) =>
    field
      .split(',')
      .map((member) => /^[ \t]*([^;]*?)[ \t]*(?:;(.*))?$/.exec(member))
      .filter((found) => found?.[1]?.toLowerCase() === name)
      .map((found) => found?.[2] ?? '')
  const refuses = (weight: string) => /^[ \t]*q=0(\.0{0,3})?[ \t]*$/i.test(weight)

  test('property: any value throws nothing, and the chosen coding exists and is named, if only by *', () => {
    fc.assert(
      fc.property(field, available, (given, there) => {
        const chosen = chooseEncoding(given, there)
        if (chosen === undefined) return
        expect(there).toHaveProperty(chosen)
        expect([...givenTo(chosen, given), ...givenTo('*', given)]).not.toEqual([])
      }),
      { numRuns: 400 },
    )
  })

  test('property: any value never gets a coding that it excludes', () => {
    // The grammar of this field has no quotes: whether a comma between two of them ends a member is undefined.
    const unquoted = field.map((given) => given.replaceAll('"', '!'))
    fc.assert(
      fc.property(unquoted, available, (given, there) => {
        const chosen = chooseEncoding(given, there)
        if (chosen === undefined) return
        const own = givenTo(chosen, given)
        expect((own.length > 0 ? own : givenTo('*', given)).every(refuses)).toBe(false)
      }),
      { numRuns: 400 },
    )
  })

  const qvalue = fc.oneof(
    fc.constantFrom('0', '0.', '0.0', '0.000', '0.001', '0.5', '0.50', '1', '1.', '1.000'),
    fc.nat(999).map((thousandths) => `0.${String(thousandths).padStart(3, '0')}`),
  )
  const wellFormedMember = fc.record({
    name: fc.constantFrom('br', 'gzip', '*', 'identity', 'deflate', 'zstd'),
    isUpper: fc.boolean(),
    q: fc.option(qvalue, { nil: undefined }),
    around: fc.tuple(spaces, spaces, spaces, spaces),
    comma: fc.constantFrom(',', ',', ' , ', ',,', ', ,'),
  })
  // The RFC does not define the meaning of a repeated coding.
  const wellFormed = fc.uniqueArray(wellFormedMember, { selector: ({ name }) => name, maxLength: 6 })

  test('property: a well-formed value gets the available coding of the highest weight, br before gzip before none', () => {
    fc.assert(
      fc.property(wellFormed, available, (members, there) => {
        const spelled = members.map(({ name, isUpper, q, around: [before, left, right, after], comma }) => {
          const weight = q === undefined ? '' : `${left};${right}${isUpper ? 'Q' : 'q'}=${q}`
          return `${before}${isUpper ? name.toUpperCase() : name}${weight}${after}${comma}`
        })
        const listed = new Map<string, number>(members.map(({ name, q }) => [name, q === undefined ? 1 : Number(q)]))
        // An unnamed coding is not acceptable; no coding at all is, but any requested coding is better.
        const weightOf = (name: string) =>
          listed.get(name) ?? listed.get('*') ?? (name === 'identity' ? Number.MIN_VALUE : 0)
        const acceptable = [...encodings.filter((name) => name in there), 'identity'].filter(
          (name) => weightOf(name) > 0,
        )
        const best = Math.max(...acceptable.map(weightOf))
        const expected = acceptable.find((name) => weightOf(name) === best)
        expect(chooseEncoding(spelled.join(''), there) ?? 'identity').toBe(expected ?? 'identity')
      }),
      { numRuns: 400 },
    )
  })
})
