import { expect, test } from 'vitest'
import { type Broken, simulate } from './simulation.ts'

/** `SEED=n` runs one world again and prints all its events; `SEEDS=n` runs more worlds. */
const { SEED, MODEL, SEEDS = MODEL === 'full' ? 20_000 : 500 } = process.env
const seeds = SEED === undefined ? Array.from({ length: Number(SEEDS) }, (_, i) => i + 1) : [Number(SEED)]

test('processes, log and tiers under faults: no answer is older than applied or goes back, all is up to date within 5 s', {
  timeout: seeds.length * 200 + 60_000,
}, async () => {
  const trace = SEED === undefined ? undefined : ([] as string[])
  const outcomes = await simulate(seeds, undefined, trace)
  if (trace !== undefined) process.stdout.write(`${trace.join('\n')}\n`)
  const wrong = outcomes.filter(({ violation }) => violation !== undefined)
  expect(wrong.map(({ seed, violation }) => `SEED=${seed}: ${violation}`)).toEqual([])
  expect(outcomes.length).toBe(seeds.length)
  expect(outcomes.reduce((sum, { reads }) => sum + reads, 0)).toBeGreaterThan(seeds.length * 50)
})

test('the same seed gives the same run, also beside other worlds', async () => {
  const alone: string[] = []
  const again: string[] = []
  const [once] = await simulate([7], undefined, alone)
  const [twice] = await simulate([7], undefined, again)
  const [beside] = await simulate([7, 8, 9], undefined)
  expect(again).toEqual(alone)
  expect([twice, beside]).toEqual([once, once])
})

/**
 * The number of worlds within which a rule's absence must show. (The absence of the barrier after a gap is for the
 * model to find: in a world, readers refuse older entries.)
 */
const rules: [Broken, number][] = [
  ['look at the head', 400],
  ['publish when visible', 100],
  ['judging what Redis has', 100],
]

test.for(rules)('without this rule a violation is found: %s', async ([broken, most]) => {
  let found: string | undefined
  for (let from = 1; found === undefined && from <= most; from += 50) {
    const outcomes = await simulate(
      Array.from({ length: 50 }, (_, i) => from + i),
      broken,
    )
    found = outcomes.find(({ violation }) => violation !== undefined)?.violation
  }
  expect(found).toBeDefined()
})
