import fc from 'fast-check'
import { parseList, serializeList, Token } from 'structured-headers'
import { describe, expect, test } from 'vitest'
import type { Answer } from '../../proxy/cache/answer.ts'
import { cacheStatus } from '../../proxy/http/reply.ts'
import { entry } from './arbitraries.ts'

/** The first member of a structured list, and the list. */
function membersOf(field: string) {
  const list = parseList(field)
  const [member] = list
  if (member === undefined) throw new Error(`${field} is an empty list.`)
  const [name, parameters] = member
  return { list, name, parameters }
}

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
        const { list, name, parameters } = membersOf(field)
        expect(list).toHaveLength(1)
        expect([isToken(name), String(name)]).toEqual([true, 'onramp'])
        for (const [key, value] of parameters) expect(kinds[key]?.(value), `${key} of ${field}`).toBe(true)
        // Parts that a parser would drop (a repeated parameter, an odd space) do not occur.
        expect(serializeList(list)).toBe(field.replaceAll('; ', ';'))
      }),
      { numRuns: 400 },
    )
  })

  test('property: of any answer has either hit or fwd, and a ttl in whole seconds, negative once it is stale', () => {
    fc.assert(
      fc.property(answer, (given) => {
        const { parameters } = membersOf(cacheStatus({ ...given, entry }))
        expect(parameters.has('hit')).toBe(!parameters.has('fwd'))
        expect(parameters.has('fwd')).toBe(given.forwarded !== undefined)
        // Only a forwarded request can be stored, or collapsed with others (2.5, 2.6).
        if (parameters.has('hit')) expect([...parameters.keys()]).not.toContain('stored')
        if (parameters.has('hit')) expect([...parameters.keys()]).not.toContain('collapsed')
        const ttl = parameters.get('ttl')
        if (typeof ttl !== 'number')
          return void expect([ttl, given.source, given.forwarded]).toEqual([undefined, 'origin', expect.any(String)])
        expect(ttl < 0).toBe(given.ttlMs < 0)
        expect(ttl).toBeLessThanOrEqual(given.ttlMs / 1000)
        expect(ttl + 1).toBeGreaterThan(given.ttlMs / 1000)
      }),
      { numRuns: 400 },
    )
  })
})
