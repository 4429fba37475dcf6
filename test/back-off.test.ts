import { expect, test } from 'vitest'
import { BackOff } from '../proxy/cache/back-off.ts'
import { ManualClock } from './support.ts'

function setup(random = 0) {
  const clock = new ManualClock()
  return { clock, backOff: new BackOff(clock, () => random) }
}

test('a key whose origin has failed is left for a second, and twice as long after each failure in a row, up to 30', () => {
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

test('work that was shed is a pause of a second, however often', () => {
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

test('of more keys than it remembers, the one untouched for longest is forgotten', () => {
  const { backOff } = setup()
  for (let i = 0; i <= 10_000; i += 1) {
    backOff.begin(`k${i}`, true)
    if (i === 9999) backOff.begin('k0', true)
  }
  expect(['k0', 'k1', 'k2', 'k10000'].map((key) => backOff.isOn(key))).toEqual([true, false, true, true])
})
