import { expect, test } from 'vitest'
import type { Invalidation } from '../proxy/coherence/ledger.ts'
import { Publisher } from '../proxy/coherence/publisher.ts'
import { gate, ManualClock, recorder, settled } from './support.ts'

function setup() {
  const clock = new ManualClock()
  const seen = recorder()
  const log: (Invalidation | 'beat' | 'followed' | 'not followed')[] = []
  const far = { answer: async (): Promise<{ pos: number; id: string } | undefined> => ({ pos: 1, id: 'x' }) }
  const follower = {
    async publish(invalidation: Invalidation) {
      log.push(invalidation)
      return far.answer()
    },
    async beat() {
      log.push('beat')
    },
    databaseFollowed(isFollowed: boolean) {
      log.push(isFollowed ? 'followed' : 'not followed')
    },
  }
  return { clock, seen, log, far, follower, publisher: new Publisher(follower, clock, seen.observe) }
}

const change = (...tags: string[]): Invalidation => ({ tags, soft: false, cause: 'change' })

test('the first change is published at once; changes within the next 10 ms become one event', async () => {
  const { publisher, log, clock } = setup()
  publisher.changed(['table:plans'])
  await settled()
  expect(log).toEqual([change('table:plans')])
  publisher.changed(['table:rates'])
  publisher.changed(['table:rates', 'table:counties'])
  clock.pass(9)
  await settled()
  expect(log).toHaveLength(1)
  clock.pass(1)
  await settled()
  expect(log.slice(1)).toEqual([change('table:rates', 'table:counties')])
})

test('a beat follows all that was handed in before it, and its lag counts from the moment it stands for', async () => {
  const { publisher, log, far, clock, seen } = setup()
  const answered = gate()
  far.answer = () => answered.opened.then(() => ({ pos: 1, id: 'x' }))
  publisher.changed(['table:plans'])
  publisher.caughtUp(clock.now() - 5)
  await settled()
  expect(log).toEqual([change('table:plans')])
  clock.pass(7)
  answered.open()
  await settled()
  clock.pass(10)
  await settled()
  expect(log).toEqual([change('table:plans'), 'beat'])
  expect(seen.facts).toEqual([{ kind: 'followed', lagSeconds: 0.022 }])
})

test('no beat is written while the log lacks anything that was handed in', async () => {
  const { publisher, log, far, clock } = setup()
  far.answer = async () => undefined
  publisher.changed(['table:plans'])
  publisher.missed(['table:rates'])
  publisher.caughtUp(clock.now())
  await settled()
  expect(log).not.toContain('beat')
})

test('missed changes are published softly, and once', async () => {
  const { publisher, log } = setup()
  publisher.missed(['table:plans', 'table:plans'])
  await settled()
  expect(log).toEqual([{ tags: ['table:plans'], soft: true, cause: 'missed' }])
})

test('a thousand tags make one event, and one more makes two', async () => {
  const { publisher, log } = setup()
  publisher.changed(Array.from({ length: 1001 }, (_, i) => `row:${i}`))
  await settled()
  expect(log.map((event) => (event as Invalidation).tags.length)).toEqual([1000, 1])
})

test('of two signs of life in the meantime, only the later one becomes a beat', async () => {
  const { publisher, log, far, clock, seen } = setup()
  const answered = gate()
  far.answer = () => answered.opened.then(() => ({ pos: 1, id: 'x' }))
  publisher.changed(['table:plans'])
  await settled()
  publisher.caughtUp(clock.now())
  clock.pass(3)
  publisher.caughtUp(clock.now())
  clock.pass(4)
  answered.open()
  await settled()
  clock.pass(10)
  await settled()
  expect(log).toEqual([change('table:plans'), 'beat'])
  expect(seen.facts).toEqual([{ kind: 'followed', lagSeconds: 0.014 }])
})

test('the log follower learns at once whether the database is followed', () => {
  const { publisher, log } = setup()
  publisher.followed(true)
  expect(log).toEqual(['followed'])
  publisher.followed(false)
  expect(log).toEqual(['followed', 'not followed'])
})
