// Generators of client input in all spellings, for properties of every request.
import fc from 'fast-check'
import type { Answer } from '../../proxy/cache/answer.ts'
import { smallestCompressed } from '../../proxy/cache/variants.ts'
import { entryOf } from '../support.ts'

/*
 * Expectations come from the RFCs. A computed one is derived from the intended value before it is spelled, or by a
 * slower method, never with the parser under test.
 */

/** Lone surrogates too. Not fast-check's own unit of this: that takes a second to make. */
export const character = fc
  .oneof(fc.integer({ min: 0, max: 0x7f }), fc.integer({ min: 0, max: 0x10ffff }))
  .map((point) => String.fromCodePoint(point))

/** The characters of a field value: visible bytes, spaces, obs-text (RFC 9110, 5.5), and DEL. */
export const byte = fc.integer({ min: 0x20, max: 0xff }).map((code) => String.fromCharCode(code))

export const spaces = fc.constantFrom('', '', '', ' ', '\t', ' \t ')

/** Decisions about a spelling, used in turn and repeated from the start. */
export const choices = fc.array(fc.nat(3), { minLength: 1, maxLength: 16 })

export function pick(from: readonly number[], i: number): number {
  return from[i % from.length] ?? 0
}

/** `one` percent-encoded, in lower or upper case: both are equal (RFC 3986, 6.2.2.1). */
export function percent(one: string, isUpper: boolean): string {
  const bytes = [...Buffer.from(one)].map((code) => `%${code.toString(16).padStart(2, '0')}`).join('')
  return isUpper ? bytes.toUpperCase() : bytes
}

export const entry = entryOf(Buffer.alloc(smallestCompressed, '['), {
  etag: 'Abcdefghijklmn_pqrst-v',
  variants: { br: Buffer.from('in brotli'), gzip: Buffer.from('in gzip') },
})

export const hit: Answer = { entry, source: 'memory', state: 'fresh', ttlMs: 57_900, ageMs: 2_100 }
