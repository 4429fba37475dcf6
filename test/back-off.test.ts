import { expect, test } from 'vitest'
import { BackOff } from '../proxy/cache/back-off.ts'
import { ManualClock } from './support.ts'

function setup(random = 0) {
  const clock = new ManualClock()
  return { clock, backOff: new BackOff(clock, () => random) }
}

test('a key whose fill failed backs off for a second, and twice as long after each failure in a row, up to 30', () => {
  const { clock, backOff } = setup()
  for (const seconds of [1, 2, 4, 8, 16, 30, 30]) {
    backOff.begin('a', true)
    clock.pass(seconds * 1000 - 1)
    expect(backOff.isOn('a'), `${seconds} s`).toBe(true)
    clock.pass(1)
    expect(backOff.isOn('a'), `${seconds} s`).toBe(false)
  }
})

test('a success ends it, and the next failure counts as the first', () => {
  const { clock, backOff } = setup()
  for (let i = 0; i < 5; i += 1) backOff.begin('a', true)
  backOff.end('a')
  expect(backOff.isOn('a')).toBe(false)
  backOff.begin('a', true)
  clock.pass(1000)
  expect(backOff.isOn('a')).toBe(false)
})

test('shed work is a pause of a second, however often', () => {
  const { clock, backOff } = setup()
  for (let i = 0; i < 5; i += 1) backOff.begin('a', false)
  clock.pass(999)
  expect(backOff.isOn('a')).toBe(true)
  clock.pass(1)
  expect(backOff.isOn('a')).toBe(false)
})

test('chance takes at most a quarter off', () => {
  const { clock, backOff } = setup(0.999_999)
  backOff.begin('a', true)
  clock.pass(749)
  expect(backOff.isOn('a')).toBe(true)
  clock.pass(2)
  expect(backOff.isOn('a')).toBe(false)
})

test('with more keys than it remembers, it forgets the one touched least recently', () => {
  const backOff = new BackOff(new ManualClock(), () => 0, 3)
  for (const key of ['a', 'b', 'c', 'a', 'd']) backOff.begin(key, true)
  expect(['a', 'b', 'c', 'd'].map((key) => backOff.isOn(key))).toEqual([true, false, true, true])
})
