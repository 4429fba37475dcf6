// However a request is framed, the upstream gets the one that was meant, or none (RFC 9112, 11.2): it must never see another
// request than onramp saw, nor a client the answer to another's.
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

describe('a good request behind one that is refused is not carried', () => {
  for (const one of refusedCases)
    test(one.name, async () => {
      expect(await runner.unsafe({ ...one, bytes: one.bytes + smuggled }, runner.port)).toEqual([])
    })
})

describe('byte by byte it comes to the same', () => {
  const { 'both a length and a transfer coding': bothLengths = [] } = lengthCases
  test.for([...bothLengths, ...slowCases])('$name', async (one) => {
    expect(await runner.unsafe(one, runner.port, { slowly: true })).toEqual([])
  })
})
