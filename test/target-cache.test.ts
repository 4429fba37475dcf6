import { expect, test } from 'vitest'
import { TargetCache } from '../proxy/http/routes/target-cache.ts'

const names = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => String(from + i))

test('it keeps at least its size of the latest entries, and at most twice as many entries', () => {
  const recent = new TargetCache<string>(4)
  for (const name of names(0, 100)) {
    recent.set(name, name)
  }
  const held = names(0, 100).filter((name) => recent.get(name) === name)
  expect(held.slice(-4)).toEqual(names(96, 100))
  expect(held.length).toBeLessThanOrEqual(8)
})

test('it keeps an entry that is read again and again', () => {
  const recent = new TargetCache<string>(4)
  recent.set('often', 'x')
  for (const name of names(0, 100)) {
    recent.set(name, name)
    expect(recent.get('often')).toBe('x')
  }
})

test('it has no entry that was not set', () => {
  expect(new TargetCache(4).get('constructor')).toBeUndefined()
})
