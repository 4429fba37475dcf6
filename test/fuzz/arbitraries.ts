// Spellings of what a client may send, for properties that must hold of every request.
import fc from 'fast-check'
import type { Answer } from '../../proxy/cache/answer.ts'
import { smallestCompressed } from '../../proxy/cache/variants.ts'
import { entryOf } from '../support.ts'

/*
 * Expectations come from the RFCs: where one is computed, it is from what was meant before it was spelled, or the long way
 * round, never with the parser under test.
 */

/** Lone surrogates too. Not fast-check's own unit of this: that takes a second to make. */
export const character = fc
  .oneof(fc.integer({ min: 0, max: 0x7f }), fc.integer({ min: 0, max: 0x10ffff }))
  .map((point) => String.fromCodePoint(point))

/** What a field value can hold: visible bytes, spaces, obs-text (RFC 9110, 5.5), and DEL. */
export const byte = fc.integer({ min: 0x20, max: 0xff }).map((code) => String.fromCharCode(code))

export const spaces = fc.constantFrom('', '', '', ' ', '\t', ' \t ')

/** Decisions about a spelling, taken in turn; when they run out they begin anew. */
export const choices = fc.array(fc.nat(3), { minLength: 1, maxLength: 16 })

export function pick(from: readonly number[], i: number): number {
  return from[i % from.length] ?? 0
}

/** `one` in percent signs, in lower case or upper: both are the same (RFC 3986, 6.2.2.1). */
export function percent(one: string, isUpper: boolean): string {
  const bytes = [...Buffer.from(one)].map((code) => `%${code.toString(16).padStart(2, '0')}`).join('')
  return isUpper ? bytes.toUpperCase() : bytes
}

export const entry = entryOf(Buffer.alloc(smallestCompressed, '['), {
  etag: 'Abcdefghijklmn_pqrst-v',
  variants: { br: Buffer.from('in brotli'), gzip: Buffer.from('in gzip') },
})

export const hit: Answer = { entry, source: 'memory', state: 'fresh', ttlMs: 57_900, ageMs: 2_100 }
