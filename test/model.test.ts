import { expect, test } from 'vitest'
import { type Bounds, explore, rules } from './model.ts'

const isFull = process.env['MODEL'] === 'full'

/** Worlds small enough to be explored completely, each with room for a different step to happen often. */
const small: Bounds[] = [
  { writes: 1, fills: 1, failovers: 1, restarts: 1, skips: 0 },
  { writes: 1, fills: 2, failovers: 1, restarts: 0, skips: 1 },
  { writes: 2, fills: 1, failovers: 1, restarts: 0, skips: 0 },
]
const large: Bounds[] = [
  { writes: 1, fills: 2, failovers: 1, restarts: 1, skips: 1 },
  { writes: 1, fills: 2, failovers: 2, restarts: 0, skips: 0 },
  { writes: 2, fills: 2, failovers: 1, restarts: 0, skips: 0 },
]

const spelled = (bounds: Bounds) => Object.entries(bounds).map(([name, n]) => `${n} ${name}`)

test.for(isFull ? [...small, ...large] : small)(
  'no entry older than the events its node has applied is served or kept: $writes writes, $fills fills, $failovers failovers, $restarts restarts, $skips skips',
  { timeout: isFull ? 1_800_000 : 60_000 },
  (bounds) => {
    const { states, violation } = explore(bounds)
    process.stdout.write(`model: ${states} states with ${spelled(bounds).join(', ')}\n`)
    expect(violation).toBeUndefined()
    expect(states).toBeGreaterThan(10_000)
  },
)

test.for(rules)('without this rule an older entry is served or kept: %s', { timeout: 60_000 }, (rule) => {
  const { violation } = explore(small[0] as Bounds, rule)
  expect(violation?.trace.length).toBeGreaterThan(0)
})
