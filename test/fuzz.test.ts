import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import { parseList, serializeList, Token } from 'structured-headers'
import { describe, expect, test } from 'vitest'
import type { Answer } from '../proxy/cache/answer.ts'
import type { Encoding } from '../proxy/cache/entry.ts'
import type { Key, Params } from '../proxy/cache/key.ts'
import { smallestCompressed } from '../proxy/cache/variants.ts'
import type { Parameter } from '../proxy/config/parameter-types.ts'
import type { RouteConfig } from '../proxy/config/schema.ts'
import { Problem } from '../proxy/errors.ts'
import { cacheStatus, chooseEncoding, replyWith } from '../proxy/http/reply.ts'
import { readBody, readQuery } from '../proxy/http/routes/input.ts'
import { undecodable } from '../proxy/http/routes/parameters.ts'
import { compileRoute } from '../proxy/http/routes/route.ts'
import { routeTable } from '../proxy/http/routes/table.ts'
import { entryOf } from './support.ts'

/*
 * What must hold for every request, whatever a client makes of it. Expectations come from the RFCs: where one is
 * computed, it is from what was meant before it was spelled, or the long way round, never with the parser under test.
 */

// Lone surrogates too. Not fast-check's own unit of this: that takes a second to make.
const character = fc
  .oneof(fc.integer({ min: 0, max: 0x7f }), fc.integer({ min: 0, max: 0x10ffff }))
  .map((point) => String.fromCodePoint(point))
/** What a field value can hold: visible bytes, spaces, obs-text (RFC 9110, 5.5), and DEL. */
const byte = fc.integer({ min: 0x20, max: 0xff }).map((code) => String.fromCharCode(code))
const spaces = fc.constantFrom('', '', '', ' ', '\t', ' \t ')
/** Decisions about a spelling, taken in turn; when they run out they begin anew. */
const choices = fc.array(fc.nat(3), { minLength: 1, maxLength: 16 })
const pick = (from: readonly number[], i: number) => from[i % from.length] as number
/** `one` in percent signs, in lower case or upper: both are the same (RFC 3986, 6.2.2.1). */
function percent(one: string, isUpper: boolean): string {
  const bytes = [...Buffer.from(one)].map((code) => `%${code.toString(16).padStart(2, '0')}`).join('')
  return isUpper ? bytes.toUpperCase() : bytes
}

const entry = entryOf(Buffer.alloc(smallestCompressed, '['), {
  etag: 'Abcdefghijklmn_pqrst-v',
  variants: { br: Buffer.from('in brotli'), gzip: Buffer.from('in gzip') },
})
const hit: Answer = { entry, source: 'memory', state: 'fresh', ttlMs: 57_900, ageMs: 2_100 }

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

  /** The weights that `field` gives `name`, as text: '' where it gives none. */
  const givenTo = (name: string, field: string) =>
    field
      .split(',')
      .map((member) => /^[ \t]*([^;]*?)[ \t]*(?:;(.*))?$/.exec(member))
      .filter((found) => found?.[1]?.toLowerCase() === name)
      .map((found) => found?.[2] ?? '')
  const refuses = (weight: string) => /^[ \t]*q=0(\.0{0,3})?[ \t]*$/i.test(weight)

  test('property: whatever it is, nothing is thrown, and what is chosen is there and named, if only by *', () => {
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

  test('property: whatever it is, it never chooses what is refused wherever it is named', () => {
    // Quotes are not in this field's grammar: whether a comma between two of them ends a member is anybody's guess.
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
  // What a coding named twice means, the RFC does not say.
  const wellFormed = fc.uniqueArray(wellFormedMember, { selector: ({ name }) => name, maxLength: 6 })

  test('property: well-formed, it gets what is there of the highest weight, br before gzip before none', () => {
    fc.assert(
      fc.property(wellFormed, available, (members, there) => {
        const spelled = members.map(({ name, isUpper, q, around: [before, left, right, after], comma }) => {
          const weight = q === undefined ? '' : `${left};${right}${isUpper ? 'Q' : 'q'}=${q}`
          return `${before}${isUpper ? name.toUpperCase() : name}${weight}${after}${comma}`
        })
        const listed = new Map<string, number>(members.map(({ name, q }) => [name, q === undefined ? 1 : Number(q)]))
        // Not named at all, a coding is not acceptable; no coding is, but any that was asked for is better.
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

describe('If-None-Match (RFC 9110, 13.1.2)', () => {
  const { etag } = entry
  const current = [etag, `${etag}-br`, `${etag}-gzip`]
  /** Accept-Encoding, and which of `current` a client that sends it can read. */
  const readers: [string | undefined, readonly string[]][] = [
    [undefined, current],
    ['br, gzip', current],
    ['*', current],
    ['gzip', [etag, `${etag}-gzip`]],
    ['br;q=1, gzip;q=0', [etag, `${etag}-br`]],
    ['identity', [etag]],
    ['', [etag]],
  ]
  const reader = fc.constantFrom(...readers)
  const ask = (ifNoneMatch: string, acceptEncoding?: string, method = 'GET') =>
    replyWith(hit, 'rows', 'no-cache', { method, ifNoneMatch, acceptEncoding })

  // etagc (8.8.3): commas, backslashes and obs-text are characters of a tag like any other; there are no escapes.
  const etagc = fc.oneof(
    byte.map((one) => (/[ "\x7f]/.test(one) ? ',' : one)),
    fc.constantFrom(',', '\\', '*', 'W', '/', '\xff', '\x80', "'", ';', '='),
  )
  const nearMiss = [
    ...[etag.toLowerCase(), etag.toUpperCase(), etag.slice(1), etag.slice(0, -1), `${etag}x`, `x${etag}`, '', '*', ','],
    ...[
      `${etag}-zstd`,
      `${etag}-BR`,
      `${etag}-br-br`,
      `W/${etag}`,
      `\\${etag}\\`,
      `x,${etag},x`,
      `${etag},`,
      `,${etag}`,
    ],
  ]
  const otherTag = fc.oneof(fc.string({ unit: etagc, maxLength: 12 }), fc.constantFrom(...nearMiss))
  const tag = fc.oneof({ weight: 5, arbitrary: otherTag }, fc.constantFrom(...current))
  const separator = fc.constantFrom(',', ', ', ' , ', ',\t', ',,', ', ,')
  const spelled = (opaque: fc.Arbitrary<string>) =>
    fc
      .tuple(opaque, fc.boolean(), separator)
      .map(([one, isWeak, comma]) => ({ opaque: one, text: `${isWeak ? 'W/' : ''}"${one}"${comma}` }))
  const listOf = (members: { text: string }[]) => members.map(({ text }) => text).join('')

  test('property: whatever it is, it throws nothing, and is a 304 only where it is * or quotes a validator', () => {
    const pieces = fc.constantFrom(...`" "" * W/ W/" "*" , \\" ${etag} "${etag}" "${etag}-br"`.split(' '), ' ')
    const field = fc.oneof(
      fc.string({ unit: fc.oneof(byte, fc.constantFrom('"', ',')) }),
      fc.array(fc.oneof(pieces, byte), { maxLength: 12 }).map((parts) => parts.join('')),
    )
    fc.assert(
      fc.property(field, reader, (given, [acceptEncoding, readable]) => {
        const { status, headers, body } = ask(given, acceptEncoding)
        expect([200, 304]).toContain(status)
        if (status === 200) return
        expect(body).toHaveLength(0)
        expect(readable.map((one) => `"${one}"`)).toContain(headers.ETag)
        expect(given.trim() === '*' || given.includes(headers.ETag as string)).toBe(true)
      }),
      { numRuns: 400 },
    )
  })

  test('property: a well-formed list is a 304 exactly if it has a validator the client can read', () => {
    fc.assert(
      fc.property(fc.array(spelled(tag), { minLength: 1, maxLength: 6 }), reader, (members, [accepted, readable]) => {
        const listed = members.map(({ opaque }) => opaque).filter((opaque) => readable.includes(opaque))
        const { status, headers } = ask(listOf(members), accepted)
        expect(status).toBe(listed.length > 0 ? 304 : 200)
        if (status === 304) expect(listed.map((opaque) => `"${opaque}"`)).toContain(headers.ETag)
      }),
      { numRuns: 300 },
    )
  })

  test('property: the ETag just given, weak or strong, among any others is a 304 to GET and HEAD, not to POST', () => {
    const others = fc.array(spelled(otherTag), { maxLength: 5 })
    fc.assert(
      fc.property(others, others, fc.boolean(), reader, (before, after, isWeak, [acceptEncoding]) => {
        const own = ask('', acceptEncoding).headers.ETag as string
        const field = `${listOf(before)}${isWeak ? 'W/' : ''}${own},${listOf(after)}`
        for (const method of ['GET', 'HEAD']) {
          const { status, headers } = ask(field, acceptEncoding, method)
          expect([status, headers.ETag]).toEqual([304, own])
        }
        expect(ask(field, acceptEncoding, 'POST').status).toBe(200)
      }),
      { numRuns: 200 },
    )
  })
})

describe('Cache-Status (RFC 9211)', () => {
  const forwardReasons = ['bypass', 'method', 'uri-miss', 'vary-miss', 'miss', 'request', 'stale', 'partial'] // 2.2
  const isToken = (value: unknown) => value instanceof Token
  const kinds: Record<string, (value: unknown) => boolean> = {
    hit: (value) => value === true,
    fwd: (value) => isToken(value) && forwardReasons.includes(String(value)),
    ttl: Number.isInteger,
    stored: (value) => value === true,
    collapsed: (value) => value === true,
    detail: isToken,
  }

  const milliseconds = fc.oneof(
    fc.maxSafeInteger(),
    fc.integer({ min: -90_000_000, max: 90_000_000 }).map((microseconds) => microseconds / 1000),
    fc.constantFrom(0, -0, 0.1, -0.1, 999.999, 1000, -1000, -1000.1, -999.999),
  )
  const answer = fc.record(
    {
      source: fc.constantFrom<Answer['source'][]>('memory', 'redis', 'origin'),
      state: fc.constantFrom<Answer['state'][]>('fresh', 'stale', 'miss'),
      ttlMs: milliseconds,
      ageMs: fc.nat(),
      forwarded: fc.constantFrom<NonNullable<Answer['forwarded']>[]>('uri-miss', 'stale', 'request'),
      collapsed: fc.boolean(),
      stored: fc.boolean(),
    },
    { requiredKeys: ['source', 'state', 'ttlMs', 'ageMs'] },
  )

  test('property: of any answer is a structured List of one Token, its parameters of their registered types', () => {
    fc.assert(
      fc.property(answer, (given) => {
        const field = cacheStatus({ ...given, entry })
        const list = parseList(field)
        expect(list).toHaveLength(1)
        const [name, parameters] = list[0] as (typeof list)[0]
        expect([isToken(name), String(name)]).toEqual([true, 'onramp'])
        for (const [key, value] of parameters) expect(kinds[key]?.(value), `${key} of ${field}`).toBe(true)
        // What a parser drops (a parameter given twice, an odd space) is not there.
        expect(serializeList(list)).toBe(field.replaceAll('; ', ';'))
      }),
      { numRuns: 400 },
    )
  })

  test('property: of any answer has either hit or fwd, and a ttl in whole seconds, negative once it is stale', () => {
    fc.assert(
      fc.property(answer, (given) => {
        const [, parameters] = parseList(cacheStatus({ ...given, entry }))[0] as ReturnType<typeof parseList>[0]
        expect(parameters.has('hit')).toBe(!parameters.has('fwd'))
        expect(parameters.has('fwd')).toBe(given.forwarded !== undefined)
        // Only what was forwarded can have been stored for it, or be collapsed with others (2.5, 2.6).
        if (parameters.has('hit')) expect([...parameters.keys()]).not.toContain('stored')
        if (parameters.has('hit')) expect([...parameters.keys()]).not.toContain('collapsed')
        const ttl = parameters.get('ttl') as number | undefined
        if (ttl === undefined)
          return void expect([given.source, given.forwarded]).toEqual(['origin', expect.any(String)])
        expect(ttl < 0).toBe(given.ttlMs < 0)
        expect(ttl).toBeLessThanOrEqual(given.ttlMs / 1000)
        expect(ttl + 1).toBeGreaterThan(given.ttlMs / 1000)
      }),
      { numRuns: 400 },
    )
  })
})

const text = { type: 'string', minLength: 0, maxLength: 100, lowercase: false } as const
const whole = { type: 'integer', min: -100, max: 200 } as const
const parameters: Record<string, Parameter> = {
  q: { ...text, default: null },
  ids: { type: 'list', items: text, minItems: 1, maxItems: 10, sorted: false, unique: false, default: null },
  ages: { type: 'list', items: whole, minItems: 1, maxItems: 20, sorted: true, unique: true, default: null },
  metal: { type: 'enum', values: ['Silver', 'Extra & more'], default: null },
  limit: { ...whole, default: 10 },
}
const declared = Object.keys(parameters)
const config: RouteConfig = {
  name: 'search',
  path: '/api/search',
  methods: ['GET', 'POST'],
  parameters,
  sql: 'select :q, :ids, :ages, :metal, :limit',
  returns: 'rows',
  lifetime: { fresh: 60_000, stale: 600_000, staleIfError: 86_400_000, negative: 10_000 },
  cacheControl: 'no-cache',
  tags: [],
  share: { reserve: 0, queue: 100 },
  audit: 0,
  rows: {},
}
const route = compileRoute(config)

describe('a query and a JSON body', () => {
  type Sent = ReturnType<typeof readQuery>
  function taken(sent: Sent): { params: Params; key: Key } {
    const read = route.read(sent)
    if ('faults' in read) throw new Error(JSON.stringify(read.faults))
    return { params: read.params, key: route.key(read.params) }
  }
  /** What `read` gives, or the Problem it throws; anything else it throws goes on. */
  function orProblem(read: () => Sent): Sent | Problem {
    try {
      return read()
    } catch (error) {
      if (error instanceof Problem) return error
      throw error
    }
  }
  /** Every outcome a route can make of what was sent, and no other. */
  function expectOutcome(sent: Sent): void {
    const read = route.read(sent)
    if ('params' in read) return void expect(route.key(read.params)).toMatch(/^search@[\x21-\x7e]+$/)
    expect(read.faults).not.toEqual([])
    for (const { parameter, detail } of read.faults) {
      expect(declared).toContain(parameter)
      expect(detail).not.toBe('')
    }
  }

  // What PostgreSQL can store: no NUL, no lone surrogate.
  const storable = character.map((one) => (one === '\0' || !one.isWellFormed() ? 'x' : one))
  const nasty = fc.constantFrom('a', 'A', '&', '=', '%', '2', 'C', '+', ' ', '?', '#', ';', '/', '"', '\\', '%2C', 'q=')
  const words = fc.oneof(fc.string({ unit: storable, maxLength: 12 }), fc.string({ unit: nasty, maxLength: 8 }))
  const types = {
    q: words,
    ids: fc.array(
      words.map((item) => item.replaceAll(',', '-')),
      { minLength: 1, maxLength: 4 },
    ),
    ages: fc.array(fc.integer({ min: -100, max: 200 }), { minLength: 1, maxLength: 6 }),
    metal: fc.constantFrom('Silver', 'Extra & more'),
    limit: fc.integer({ min: -100, max: 200 }),
  }
  const values = fc.record(types, { requiredKeys: [] })
  type Values = typeof values extends fc.Arbitrary<infer T> ? T : never

  const canonical = ({ ages, ...rest }: Values) => ({
    ...{ q: null, ids: null, metal: null, limit: 10 },
    ...rest,
    ages: ages === undefined ? null : [...new Set(ages)].sort((a, b) => a - b),
  })

  /** `text` as a query may spell it: which of the characters that need no percent sign have one is up to `how`. */
  function percentEncoded(text: string, how: readonly number[]): string {
    const spell = (one: string, i: number) => {
      const choice = pick(how, i)
      if (one === ' ' && choice === 0) return '+'
      if (choice < 2 && /[\w.~!$'()*,;:@/?-]/.test(one)) return one
      return percent(one, choice === 3)
    }
    return [...text].map(spell).join('')
  }
  /** `text` as a JSON string, some of its characters as escapes. */
  function jsonString(text: string, how: readonly number[]): string {
    const spell = (unit: string, i: number) =>
      pick(how, i) === 3 ? `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}` : JSON.stringify(unit).slice(1, -1)
    return `"${text.split('').map(spell).join('')}"`
  }
  function jsonNumber(number: number, how: number): string {
    return [String(number), `${number}.0`, `"${number}"`, `${number}E+0`][how] as string
  }
  /** The members in another order, and the ages too: their order means nothing, and a twin neither. */
  function shuffled(given: Values, how: readonly number[]): [string, unknown][] {
    const ages = given.ages && [...given.ages.slice(pick(how, 1)), ...given.ages, ...given.ages.slice(0, pick(how, 1))]
    const members = Object.entries(ages === undefined ? given : { ...given, ages: ages.reverse() })
    return members.sort(([a], [b]) => pick(how, a.length) - pick(how, b.length))
  }
  const asQuery = (given: Values, how: readonly number[]) =>
    shuffled(given, how)
      .map(([name, value]) => `${percentEncoded(name, how)}=${percentEncoded(String(value), how)}`)
      .join('&')
  const asBody = (given: Values, how: readonly number[]) => {
    const scalar = (value: unknown) =>
      typeof value === 'number' ? jsonNumber(value, pick(how, 2)) : jsonString(String(value), how)
    const members = shuffled(given, how).map(([name, value]) => {
      const json = Array.isArray(value) ? `[${value.map(scalar).join(' , ')}]` : scalar(value)
      return `${jsonString(name, how)}${' '.repeat(pick(how, 3))}:${json}`
    })
    // JSON null is a parameter that is not given.
    for (const name of declared) if (!(name in given) && pick(how, name.length) === 1) members.push(`"${name}":null`)
    return `{${members.join(',\n')}}`
  }

  test('property: the same values in either, in any order and spelling, are the same parameters and key', () => {
    fc.assert(
      fc.property(values, choices, choices, (given, one, other) => {
        const query = taken(readQuery(asQuery(given, one)))
        expect({ ...query.params }).toEqual(canonical(given))
        for (const sent of [
          readQuery(asQuery(given, other)),
          readBody(asBody(given, one)),
          readBody(asBody(given, other)),
        ])
          expect(taken(sent)).toEqual(query)
      }),
      { numRuns: 300 },
    )
  })

  test('property: two sets of values share a key exactly if they are the same parameters', () => {
    // In a body an item may hold a comma.
    const item = fc
      .array(fc.constantFrom(',', '%2C', '%', 'a', '&', '='), { maxLength: 3 })
      .map((parts) => parts.join(''))
    const ids = fc.array(item, { minLength: 1, maxLength: 3 })
    fc.assert(
      fc.property(values, fc.oneof(values, fc.record({ ids })), ids, (given, change, other) => {
        const one = { ...given, ids: other }
        const forged = { ...given, q: `${given.q ?? ''}&ids=${other.join(',')}` }
        delete forged.ids
        const joined = { ...given, ids: [other.join(',')] }
        const upper = { ...one, q: (given.q ?? '').toUpperCase() }
        const empty = { ...one, q: '' }
        for (const two of [given, { ...one, ...change }, forged, joined, upper, empty]) {
          const left = taken(readBody(JSON.stringify(one)))
          const right = taken(readBody(JSON.stringify(two)))
          expect(left.key === right.key).toBe(isDeepStrictEqual(left.params, right.params))
        }
      }),
      { numRuns: 200 },
    )
  })

  const names = fc
    .oneof(
      // No backslash: V8 14.6 itself reads the name \" as \ once it has seen that in an object of the same shape.
      fc.string({ unit: character.map((one) => (one === '\\' ? '/' : one)), maxLength: 8 }),
      fc.constantFrom(...'__proto__ constructor toString Q q[] q\0 ids.0 limits sql'.split(' '), ' q', 'q ', ''),
      fc.constantFrom('q', 'ids', 'é').map((name) => name.repeat(1000)),
    )
    .filter((name) => !declared.includes(name))

  test('property: names that are not declared, however many and wherever, change no parameter and no key', () => {
    const member = fc.record({
      name: names,
      json: fc.oneof(
        fc.jsonValue({ maxDepth: 1 }).map((value) => JSON.stringify(value)),
        fc.constantFrom('{"q":"stolen"}', '[{"q":1,"limit":2}]', '"\\",\\"q\\":\\"stolen\\""', '1e999'),
      ),
      text: fc.string({
        unit: fc.constantFrom('%', '%ff', '%C3', '=', '+', ';', 'q', '?', '#', '\ud800'),
        maxLength: 5,
      }),
      at: fc.nat(8),
      times: fc.constantFrom<number[]>(1, 1, 1, 2),
    })
    fc.assert(
      fc.property(values, fc.array(member, { maxLength: 5 }), choices, (given, extras, how) => {
        const plain = taken(readQuery(asQuery(given, how)))
        const pairs = asQuery(given, how).split('&')
        const members = Object.entries(given).map(([name, value]) => `"${name}":${JSON.stringify(value)}`)
        for (const { name, json, text, at, times } of extras) {
          const pair = `${percentEncoded(name.toWellFormed(), how)}=${text}`
          pairs.splice(at, 0, ...Array<string>(times).fill(pair))
          members.splice(at, 0, ...Array<string>(times).fill(`${JSON.stringify(name)}:${json}`))
        }
        expect(taken(readQuery(pairs.join('&')))).toEqual(plain)
        expect(taken(readBody(`{${members.join(',')}}`))).toEqual(plain)
      }),
      { examples: [[{ q: 'x' }, [{ name: 'y', json: '1', text: '', at: 0, times: 5000 }], [0]]] },
    )
  })

  test('property: of any text, nothing is thrown but a Problem: too many names, or a body that is none', () => {
    const pieces = [
      ...'% %f %ff %C3 %c3%a9 %ed%a0%80 %00 %2525 %26 + = & && ; ? # [] { } " : , \ud800 \udfff \0'.split(' '),
      ...['__proto__', 'constructor', '1', ...declared],
    ]
    const junk = fc.array(fc.oneof(fc.constantFrom(...pieces), character), { maxLength: 24 }).map((all) => all.join(''))
    const limits = fc.oneof(fc.nat(4), fc.constant(Number.POSITIVE_INFINITY))
    fc.assert(
      fc.property(junk, limits, (query, max) => {
        const sent = orProblem(() => readQuery(query, max))
        const isTooMany = query.split('&').filter((pair) => pair !== '').length > max
        expect(sent instanceof Problem && sent.code).toBe(isTooMany && 'bad-parameters')
        if (!(sent instanceof Problem)) expectOutcome(sent)
      }),
      { numRuns: 300 },
    )
    const json = fc.dictionary(fc.oneof(names, fc.constantFrom(...declared)), fc.jsonValue({ maxDepth: 2 }), {
      maxKeys: 5,
    })
    const broken = fc
      .tuple(json, fc.nat(40), fc.nat(2), fc.oneof(fc.constantFrom('', ...pieces), character))
      .map(([value, at, cut, piece]) => {
        const written = JSON.stringify(value)
        return written.slice(0, at) + piece + written.slice(at + cut)
      })
    const bodies = fc.oneof(
      junk,
      json.map((value) => JSON.stringify(value)),
      broken,
      fc.constantFrom(undefined, null, 1, {}, [], 'null', '1', '"q"', '[]', '[{"q":"x"}]'),
    )
    fc.assert(
      fc.property(bodies, limits, (body, max) => {
        const sent = orProblem(() => readBody(body, max))
        if (sent instanceof Problem) return void expect(sent.code).toMatch(/^bad-(body|parameters)$/)
        expect(Object.prototype.toString.call(JSON.parse(body as string))).toBe('[object Object]')
        expect([...sent.values()].reduce((count, all) => count + all.length, 0)).toBeLessThanOrEqual(max)
        expectOutcome(sent)
      }),
      { numRuns: 300 },
    )
  })

  test.each(declared)('a value of %s as deep as a body can hold is refused by name', (name) => {
    for (const [open, close] of [
      ['[', ']'],
      ['{"q":', '}'],
    ] as const) {
      const depth = 16_000
      const sent = readBody(`{"${name}":${open.repeat(depth)}1${close.repeat(depth)}}`)
      expect(route.read(sent)).toMatchObject({ faults: [{ parameter: name }] })
    }
  })

  test('property: a query is read as the URL standard reads a form, in names, values and their order', () => {
    const pieces = fc.constantFrom(...'q ids a 1 %71 %C3%A9 %c3%a9 %26 %3D %2B %25 + = &'.split(' '))
    const query = fc.array(pieces, { maxLength: 16 }).map((parts) => parts.join(''))
    fc.assert(
      fc.property(query, (given) => {
        const form = new URLSearchParams(given)
        const expected = [...new Set(form.keys())].map((name) => [name, form.getAll(name)])
        expect([...readQuery(given)]).toEqual(expected)
      }),
      { numRuns: 200 },
    )
  })
})

describe('a path', () => {
  const paths = [
    '/api/states',
    '/api/States',
    '/api/states.json',
    '/api/counties/:fips',
    '/api/counties/:fips/benchmark',
    '/api/counties/by/zip/:zip',
    '/api/counties/by/:zip/near',
    '/api/counties/:fips/:year/rates',
    '/api/plans/search',
    '/api/plans/:plan_id',
    '/api/plans/:id/rates/:age',
    '/:any/x',
  ]
  const routes = paths.map((path) => {
    const names = [...path.matchAll(/:(\w+)/g)].map(([, name]) => name as string)
    const own = Object.fromEntries(names.map((name) => [name, text]))
    return compileRoute({ ...config, name: path, path, parameters: own })
  })
  const table = routeTable(routes)

  /** Whether everybody reads the same in `segment`; what is no UTF-8 fits no parameter, and is refused by its name. */
  function meansOneThing(segment: string): boolean {
    const escaped = (segment.match(/%[\da-f]{2}/gi) ?? []).map((one) => Number.parseInt(one.slice(1), 16))
    // RFC 3986, 2.3: what needs no percent sign, anywhere.
    if (escaped.some((code) => /[A-Za-z0-9._~-]/.test(String.fromCharCode(code)))) return false
    const value = read(segment)
    return !/[;\\]/.test(segment) && (value === undecodable || !/^\.{0,2}$|[/\\]/.test(String(value)))
  }
  /** What stands in `segment`, read once. */
  function read(segment = ''): unknown {
    try {
      return decodeURIComponent(segment)
    } catch {
      return undecodable
    }
  }
  /** The path among `paths` that `path` is, tried one by one; a literal is preferred to a parameter, from the left. */
  function expected(path: string): string | undefined {
    const segments = path.split('/')
    const shape = (of: string) =>
      of
        .split('/')
        .map((part) => (part.startsWith(':') ? 1 : 0))
        .join('')
    return paths
      .filter((own) => own.split('/').length === segments.length)
      .filter((own) =>
        own.split('/').every((part, i) => {
          const segment = segments[i] as string
          return part.startsWith(':') ? meansOneThing(segment) : part === segment
        }),
      )
      .sort((a, b) => shape(a).localeCompare(shape(b)))[0]
  }

  const value = fc.oneof(
    fc.constantFrom('51059', 'by', 'search', '.', '..', '%2e', 'a;b', '%7E', '%ff', '%C3%A9', '%252e', 'a.json', '%'),
    fc.string({ unit: character, maxLength: 6 }).map((one) => encodeURIComponent(one.toWellFormed())),
  )
  /** What somebody may do to a path so that some other reader of it sees the old one: at a place, with a character. */
  const mutations: ((path: string, at: number, one: string) => string)[] = [
    (path, at, one) => path.slice(0, at) + one + path.slice(at),
    (path, at, one) => path.slice(0, at) + one + path.slice(at + 1),
    (path, at) => `${path.slice(0, at)}%${path.charCodeAt(at).toString(16)}${path.slice(at + 1)}`,
    (path, at) => `${path.slice(0, at)}%${path.charCodeAt(at).toString(16).toUpperCase()}${path.slice(at + 1)}`,
    (path, at) => path.slice(0, at) + path.charAt(at).toUpperCase() + path.slice(at + 1),
    (path, at) => path.slice(0, at) + path.charAt(at).toLowerCase() + path.slice(at + 1),
    (path, at) => path.slice(0, at),
  ]
  const between = '// /./ /../ /x/../ /. %2f %2F \\ %5c ;x/ /;/ /%2e/ %2f..%2f'.split(' ')
  const after = '/ // /. /.. ;x ;x=1 .css /x.css ;.css %2fx.css %00 %20 %3b ? #'.split(' ')
  const literals = new Set(paths.flatMap((path) => path.split('/')).filter((part) => !part.startsWith(':')))
  const change = fc.oneof(
    fc
      .tuple(fc.constantFrom(...mutations), fc.nat(40), fc.oneof(fc.constantFrom('/', ';', '.', '%', '\\'), character))
      .map(
        ([mutate, at, one]) =>
          (path: string) =>
            mutate(path, at % path.length || 0, one),
      ),
    fc.tuple(fc.constantFrom(...between), fc.nat(5)).map(([mark, at]) => (path: string) => {
      const segments = path.split('/')
      const cut = at % segments.length
      return `${segments.slice(0, cut).join('/')}${mark}${segments.slice(cut).join('/')}`
    }),
    fc.constantFrom(...after).map((suffix) => (path: string) => path + suffix),
    fc.tuple(fc.constantFrom(...literals), fc.nat(5)).map(([literal, at]) => (path: string) => {
      const segments = path.split('/')
      return segments.with(at % segments.length, literal).join('/')
    }),
  )
  const path = fc
    .tuple(fc.constantFrom(...paths), value, value, fc.array(change, { maxLength: 3 }))
    .map(([own, one, other, changes]) => {
      const filled = own.replace(/:\w+/, () => one).replace(/:\w+/, () => other)
      return changes.reduce((changed, mutate) => mutate(changed), filled)
    })

  test('property: however bent, it finds no route but one whose literal segments it has, byte for byte', () => {
    fc.assert(
      fc.property(path, (given) => {
        const found = table.find(given)
        if (found === undefined) return
        const segments = given.split('/')
        const own = found.route.path.split('/')
        expect(own.map((part, i) => (part.startsWith(':') ? segments[i] : part))).toEqual(segments)
        const values = own.flatMap((part, i) => (part.startsWith(':') ? [[part.slice(1), [read(segments[i])]]] : []))
        expect([...found.given]).toEqual(values)
      }),
      { numRuns: 500 },
    )
  })

  test('property: it finds exactly the route it spells, and none where a parameter could be read in two ways', () => {
    fc.assert(
      fc.property(path, (given) => {
        expect(table.find(given)?.route.path).toBe(expected(given))
      }),
      { numRuns: 800 },
    )
  })

  test('property: a value with what needs it escaped, and what may be escaped or not, is read as that value', () => {
    const values = fc
      .string({ unit: fc.oneof(character, fc.constantFrom(...";:@!$&'()*+,=~-_. %?#")), minLength: 1, maxLength: 10 })
      .map((one) => one.toWellFormed().replace(/[/\\\0]/g, '+'))
      .filter((one) => !/^\.{1,2}$/.test(one))
    const spell = (one: string, i: number, how: readonly number[]) => {
      const choice = pick(how, i)
      if (/[A-Za-z0-9._~-]/.test(one) || (choice < 2 && /[!$&'()*+,=:@]/.test(one))) return one
      return percent(one, choice % 2 === 1)
    }
    fc.assert(
      fc.property(values, values, choices, (id, age, how) => {
        const [left, right] = [id, age].map((one) => [...one].map((char, i) => spell(char, i, how)).join(''))
        const found = table.find(`/api/plans/${left}/rates/${right}`)
        expect(found?.route.path).toBe('/api/plans/:id/rates/:age')
        expect(found?.route.read(found.given)).toEqual({ params: { id, age } })
      }),
      { numRuns: 200 },
    )
  })
})
