import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { replyWith } from '../../proxy/http/reply.ts'
import { byte, entry, hit } from './arbitraries.ts'

describe('If-None-Match (RFC 9110, 13.1.2)', () => {
  const { etag } = entry
  const current = [etag, `${etag}-br`, `${etag}-gzip`]
  /** Accept-Encoding values, with the encodings of `current` that a client with that value can read. */
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

  test('property: any value throws nothing, and gets a 304 only if it is * or quotes a validator', () => {
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
        expect(given.trim() === '*' || given.includes(String(headers.ETag))).toBe(true)
      }),
      { numRuns: 400 },
    )
  })

  test('property: a well-formed list gets a 304 exactly if it has a validator that the client can read', () => {
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

  test('property: the current ETag, weak or strong, among any others gets a 304 on GET and HEAD, not on POST', () => {
    const others = fc.array(spelled(otherTag), { maxLength: 5 })
    fc.assert(
      fc.property(others, others, fc.boolean(), reader, (before, after, isWeak, [acceptEncoding]) => {
        const own = String(ask('', acceptEncoding).headers.ETag)
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
