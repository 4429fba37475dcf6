import { expect, test } from 'vitest'
import type { Position } from '../proxy/coherence/ledger.ts'
import { purger } from '../proxy/coherence/purge.ts'

const memory = { name: 'memory' }
const farther = [{ name: 'file' }, { name: 'redis' }]
const purge = (position: Position | undefined, behind = farther) =>
  purger({ publish: async () => position }, memory, behind)(['plans'], false)

test('a purge that was logged reports every tier as reached', async () => {
  expect(await purge({ pos: 7, id: 'abc' })).toEqual({
    tags: ['plans'],
    soft: false,
    position: '7:abc',
    scope: 'fleet',
    reached: ['memory', 'file', 'redis'],
    missed: [],
  })
  expect(await purge({ pos: 7, id: 'abc' }, [])).toMatchObject({ reached: ['memory'], missed: [] })
})

test('a purge that could not be logged reports memory as reached, and the tiers behind it as missed', async () => {
  expect(await purge(undefined)).toMatchObject({ scope: 'process', reached: ['memory'], missed: ['file', 'redis'] })
})
