import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Entry, etagOf, ownBytes } from '../proxy/cache/entry.ts'
import { decodeEntry, encodeEntry } from '../proxy/cache/entry-encoding.ts'
import type { Key } from '../proxy/cache/key.ts'

// Lone surrogates too. fast-check's own unit for this takes a second to make.
const character = fc
  .oneof(fc.integer({ min: 0, max: 0x7f }), fc.integer({ min: 0, max: 0x10ffff }))
  .map((point) => String.fromCodePoint(point))

const key = 'county@0123456789ab?fips=51059' as Key
const body = Buffer.from('{"county_name":"Fairfax — é"}')
const entry: Entry = {
  body,
  rows: 1,
  tags: ['route:county', 'county:51059'],
  stamp: { seq: 7, pos: 3, id: 'head-1' },
  readAt: 1000,
  readBy: 1012.5,
  fillMs: 12.5,
  jitter: 0.25,
  etag: etagOf(body),
}
/** How far the clock of Redis is ahead of the writer's and of the reader's. Each knows it to within its own round trip. */
const writer = { least: 5_000_000, most: 5_000_002 }
const reader = { least: 4_999_000, most: 4_999_030 }
const value = encodeEntry(key, entry, writer)
const decode = (bytes: Buffer, ahead = reader, now = 9000) => decodeEntry(key, bytes, ahead, now)

/** An intact value with `header`, as a faulty writer would make it. */
function valueWith(header: string, bodyBytes: Buffer = body, headerLength = Buffer.byteLength(header)): Buffer {
  const length = Buffer.alloc(4)
  length.writeUInt32BE(headerLength)
  const rest = Buffer.concat([length, Buffer.from(header), bodyBytes])
  return Buffer.concat([value.subarray(0, 4), createHash('sha256').update(rest).digest().subarray(0, 16), rest])
}
const header = JSON.parse(value.toString('utf8', 24, 24 + value.readUInt32BE(20))) as Record<string, unknown>

describe('an encoded entry', () => {
  test('is decoded unchanged, except for the fields of one process', () => {
    const { stamp, readAt: _at, readBy: _by, ...same } = entry
    const back = decode(value)
    expect(back).toMatchObject({ ...same, stamp: { ...stamp, seq: 0 } })
    expect(Object.keys(back).sort()).toEqual(Object.keys(entry).sort())
  })

  test('is decoded without variants, and may be refreshed at once', () => {
    const served: Entry = { ...entry, variants: { br: Buffer.from('x') } }
    const back = decode(encodeEntry(key, served, writer))
    expect(back).toEqual(decode(value))
    expect(Object.keys(back)).not.toContain('variants')
  })

  test('with an empty body is decoded with an empty body', () => {
    const none: Entry = { ...entry, body: Buffer.alloc(0), rows: 0, tags: [], etag: etagOf(Buffer.alloc(0)) }
    expect(decode(encodeEntry(key, none, writer))).toMatchObject({ body: Buffer.alloc(0), rows: 0, tags: [] })
  })

  test('contains its key, header and etag, and the body unchanged', () => {
    expect(value.subarray(0, 3).toString()).toBe('onr')
    expect(value.subarray(-body.length)).toEqual(body)
    expect(header).toMatchObject({ key, pos: 3, id: 'head-1', etag: entry.etag })
  })

  test('property: any entry is decoded unchanged', () => {
    const any = fc.record({
      body: fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
      rows: fc.nat(),
      tags: fc.array(fc.string({ unit: character })),
      stamp: fc.record({ seq: fc.constant(0), pos: fc.nat(), id: fc.string({ unit: character }) }),
      fillMs: fc.double({ min: 0, max: 1e6, noNaN: true }).map((ms) => ms + 0),
      jitter: fc.double({ min: 0, max: 1, noNaN: true }).map((share) => share + 0),
    })
    fc.assert(
      fc.property(any, fc.nat(), fc.nat(), (some, readAt, tookMs) => {
        const whole = { ...some, readAt, readBy: readAt + tookMs, etag: etagOf(some.body) }
        const { readAt: _at, readBy: _by, ...rest } = whole
        const back = decodeEntry(key, encodeEntry(key, whole, writer), reader, whole.readBy + 1000 + 30)
        expect(back).toMatchObject(rest)
      }),
    )
  })
})

describe('the moment of the read', () => {
  /** Widened by the possible drift of the clocks since the read: a thousandth of its age. */
  const readWith = (least: number, most: number, now = 9000) => {
    const back = decode(value, { least, most }, now)
    return typeof back === 'string' ? back : [back.readAt, back.readBy].map((ms) => Number(ms.toFixed(3)))
  }

  test('is on the clock of Redis: a late write or a late reply of Redis makes the entry no younger', () => {
    expect(readWith(5_000_000, 5_000_000)).toEqual([1000 - 8, 1014.5 + 8])
    expect(readWith(5_000_000, 5_000_000, 1_001_000)).toEqual([1000 - 1000, 1014.5 + 1000])
  })

  test('lies between the bounds of its writer, widened on both sides by the uncertainty of the reader', () => {
    expect(readWith(4_999_990, 5_000_010, 2990)).toEqual([990 - 2, 1024.5 + 2])
  })

  test('is never after the arrival at this process', () => {
    expect(readWith(4_999_990, 5_000_010, 1020)).toEqual([989.97, 1020])
  })

  test('is refused if it lies in the future: the clock of Redis was set back', () => {
    expect(readWith(5_000_000, 5_000_000, 1000)).toEqual([1000, 1000])
    expect(readWith(5_000_000, 5_000_000, 999)).toBe('time')
  })
})

describe('a value that was not written so', () => {
  test('is a miss at every length it can be cut to', () => {
    for (let length = 0; length < value.length; length += 1)
      expect(decode(value.subarray(0, length))).toBeTypeOf('string')
    expect([0, 23].map((length) => decode(value.subarray(0, length)))).toEqual(['length', 'length'])
  })

  test('is a miss with bytes appended', () => {
    expect(decode(Buffer.concat([value, Buffer.from(' ')]))).toBe('digest')
  })

  test('is a miss with any one byte changed, by any one bit or by all', () => {
    for (let at = 0; at < value.length; at += 1) {
      for (const change of [1, 2, 4, 8, 16, 32, 64, 128, 255]) {
        const changed = Buffer.from(value)
        changed[at] = (changed[at] as number) ^ change
        // The fault depends on the place: the format comes first, all else is under the digest.
        expect(decode(changed)).toBe(at < 4 ? 'format' : 'digest')
      }
    }
  })

  test('is a miss with two bytes swapped', () => {
    const swapped = Buffer.from(value)
    swapped[30] = value[31] as number
    swapped[31] = value[30] as number
    expect(swapped).not.toEqual(value)
    expect(decode(swapped)).toBe('digest')
  })

  test('is a miss under another key', () => {
    for (const other of ['county@0123456789ab?fips=51001', 'county@ffffffffffff?fips=51059', '', `${key} `])
      expect(decodeEntry(other as Key, value, reader, 9000)).toBe('key')
  })

  test('is a miss in any other version of the format', () => {
    for (const version of [0, 1, 2, 4, 0x31, 255]) {
      const other = Buffer.from(value)
      other[3] = version
      expect(decode(other)).toBe('format')
    }
  })

  test.each([
    'onramp',
    '{"json":true}'.repeat(9),
    'a much longer value that somebody else has kept here under this key',
  ])('is a miss if another program wrote it: %s', (text) => {
    expect(['length', 'format']).toContain(decode(Buffer.from(text)))
  })

  test('property: never throws and is a miss, whatever the bytes', () => {
    const start = fc.constantFrom(Buffer.alloc(0), value.subarray(0, 4), value.subarray(0, 20), value.subarray(0, 40))
    fc.assert(
      fc.property(start, fc.uint8Array({ maxLength: 200 }), (begin, bytes) => {
        expect(decode(Buffer.concat([begin, bytes]))).toBeTypeOf('string')
      }),
    )
  })
})

describe('an intact value with a wrong header', () => {
  test('is accepted if the header is right', () => {
    expect(decode(valueWith(JSON.stringify(header)))).toEqual(decode(value))
  })

  test.each(['', '{', 'null', '[]', '1', '"header"', '{}', 'undefined', '{"__proto__":{}}'])(
    'is a miss: %j',
    (text) => {
      expect(decode(valueWith(text))).toBe('header')
    },
  )

  test.each(Object.keys(header))('is a miss without its %s', (name) => {
    expect(decode(valueWith(JSON.stringify({ ...header, [name]: undefined })))).toBe('header')
  })

  const odd: [string, unknown][] = [
    ...['rows', 'readAt', 'readBy', 'fillMs', 'jitter'].flatMap((name): [string, unknown][] => [
      [name, -1],
      [name, '1'],
      [name, null],
    ]),
    ['readBy', writer.least],
    ['tags', 'county:51059'],
    ['tags', [1]],
    ['tags', null],
    ['key', 1],
    ['id', null],
    ['id', 1],
    ['pos', -1],
    ['etag', 1],
    ['etag', ''],
    ['etag', 'x'.repeat(21)],
    ['etag', `${'x'.repeat(21)}"`],
    ['etag', `${'x'.repeat(22)}\r\nSet-Cookie: a=b`],
  ]
  test.each(odd)('is a miss with %s %j', (name, bad) => {
    expect(decode(valueWith(JSON.stringify({ ...header, [name]: bad })))).toBe('header')
  })

  test('is a miss if the header claims to be longer than the value', () => {
    expect(decode(valueWith(JSON.stringify(header), body, value.length))).toBe('length')
    expect(decode(valueWith(JSON.stringify(header), body, 0xffffffff))).toBe('length')
  })

  test('property: never throws, whatever the header contains', () => {
    const names = fc.constantFrom(...Object.keys(header))
    const change = fc.dictionary(names, fc.oneof(fc.jsonValue({ stringUnit: character }), fc.constant(undefined)), {
      minKeys: 1,
      maxKeys: 3,
    })
    fc.assert(
      fc.property(change, (changed) => {
        const read = decode(valueWith(JSON.stringify({ ...header, ...changed })))
        if (typeof read !== 'string') expect(read.body).toEqual(body)
      }),
    )
  })
})

describe('ownBytes', () => {
  test('is a copy in memory of its own, neither shared nor larger than it needs', () => {
    const pooled = Buffer.from('a small text from the pool')
    for (const given of [
      pooled,
      pooled.subarray(2, 7),
      new Uint8Array([1, 2, 3]),
      'text é \u{1f600}',
      '',
      Buffer.alloc(0),
    ]) {
      const own = ownBytes(given)
      expect(own).toEqual(Buffer.from(given))
      expect(own.byteOffset).toBe(0)
      expect(own.buffer.byteLength).toBe(own.length)
      if (typeof given !== 'string') expect(own.buffer).not.toBe(given.buffer)
    }
  })

  test('does not change with its source', () => {
    const given = Buffer.from('before')
    const own = ownBytes(given)
    given.fill('x')
    expect(own.toString()).toBe('before')
  })
})

test('the body of a decoded entry keeps nothing else alive', () => {
  const back = decode(value)
  expect(typeof back !== 'string' && back.body.buffer.byteLength).toBe(body.length)
})

describe('etagOf', () => {
  test('is the same for the same bytes, and differs for others', () => {
    expect(etagOf(Buffer.from('a'))).toBe(etagOf(Buffer.from('xa').subarray(1)))
    expect(new Set(['', 'a', 'b', 'aa'].map((text) => etagOf(Buffer.from(text)))).size).toBe(4)
  })

  test('has only characters that an entity tag may have (RFC 9110, 8.8.3)', () => {
    expect(etagOf(body)).toMatch(/^[\x21\x23-\x7e]+$/)
  })
})
