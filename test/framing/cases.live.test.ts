// However a request is framed, the upstream gets the intended request, or none (RFC 9112, 11.2). It must never see
// another request than onramp saw, and no client may get the answer to another's request.
import { describe, expect, test } from 'vitest'
import { lengthCases } from './cases/lengths.ts'
import { slowCases } from './cases/slow.ts'
import { smuggled } from './messages.ts'
import { framingRunner } from './runner.ts'
import { refusedCases, subjects } from './subjects.ts'

const runner = framingRunner()

describe.for(Object.entries(subjects))('%s', ([, cases]) => {
  for (const one of cases)
    test(one.name, async () => {
      expect(await runner.unsafe(one, runner.port)).toEqual([])
    })
})

describe('a valid request behind a rejected one is not passed on', () => {
  for (const one of refusedCases)
    test(one.name, async () => {
      expect(await runner.unsafe({ ...one, bytes: one.bytes + smuggled }, runner.port)).toEqual([])
    })
})

describe('the result is the same byte by byte', () => {
  const { 'both a length and a transfer coding': bothLengths = [] } = lengthCases
  test.for([...bothLengths, ...slowCases])('$name', async (one) => {
    expect(await runner.unsafe(one, runner.port, { slowly: true })).toEqual([])
  })
})
