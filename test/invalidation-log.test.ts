import type { Redis } from 'ioredis'
import { expect, test } from 'vitest'
import { redisLog } from '../proxy/coherence/log.ts'
import { causes } from '../proxy/observation.ts'

/** The log over a Redis that gives `reply` to every command. */
function logOf(reply: unknown) {
  const answer = async () => reply
  const client = {
    status: 'ready',
    on() {},
    disconnect() {},
    eval: answer,
    hmget: answer,
    xrange: answer,
    xread: answer,
  }
  return redisLog(client as unknown as Redis, client as unknown as Redis, 'onramp:')
}

const purge = { tags: ['a'], soft: false, cause: 'purge' } as const
const entry = (at: string, payload: unknown = purge) => [
  at,
  ['id', `id${at}`, 'prev', 'before', 'event', JSON.stringify(payload)],
]

test('the replies of Redis are parsed: the position of an appended event, the head of the log, and its events', async () => {
  expect(await logOf([7, 'id7', 'id6']).append(purge)).toEqual({ pos: 7, id: 'id7', prev: 'id6', ...purge })
  expect(await logOf(['7', 'id7', null]).head()).toEqual({ pos: 7, id: 'id7', beat: undefined })
  expect(await logOf([null, null, null]).head()).toBeUndefined()
  const event = { pos: 7, id: 'id7-1', prev: 'before', ...purge }
  expect(await logOf([entry('7-1')]).read(6)).toEqual([event])
  expect(await logOf([['events', [entry('7-1')]]]).next(6)).toEqual([event])
  expect(await logOf(null).next(6)).toEqual([])
})

test.each(causes)('the cause %s is parsed', async (cause) => {
  expect(await logOf([entry('7-1', { ...purge, cause })]).read(6)).toMatchObject([{ pos: 7, cause }])
})

test.each([
  ['other fields', ['7-1', ['id', 'id7', 'event', '{}']]],
  ['no event', ['7-1', ['id', 'id7', 'prev', 'id6', 'event']]],
  ['no JSON', ['7-1', ['id', 'id7', 'prev', 'id6', 'event', '{']]],
  ['null', entry('7-1', null)],
  ['an unknown cause', entry('7-1', { ...purge, cause: 'whim' })],
  ['a tag that is no text', entry('7-1', { ...purge, tags: ['a', 7] })],
  ['no word of whether it is soft', entry('7-1', { ...purge, soft: undefined })],
])('a malformed event is skipped, and leaves a gap in the positions: %s', async (_, odd) => {
  expect(await logOf([odd, entry('8-1')]).read(6)).toMatchObject([{ pos: 8 }])
})

const malformed = 'Redis sent a malformed reply for the invalidation log'

test.each([[undefined], ['OK'], [[]], [['7', 'id7', 'id6']], [[7, 'id7', null]], [[7.5, 'id7', 'id6']]])(
  'an append fails if Redis replies %j',
  (reply) => expect(logOf(reply).append(purge)).rejects.toThrow(malformed),
)

test('reading the head fails if its position is no number', () =>
  expect(logOf(['seven', 'id7', null]).head()).rejects.toThrow(malformed))

test.each([['OK'], [[7]], [[['7-1']]], [[['seven', []]]], [[['7-1', ['id', 7]]]]])(
  'a read fails if Redis replies %j',
  async (reply) => {
    await expect(logOf(reply).read(6)).rejects.toThrow(malformed)
    await expect(logOf([['events', reply]]).next(6)).rejects.toThrow(malformed)
  },
)

test('a wait fails if Redis replies without a stream', () => expect(logOf([]).next(6)).rejects.toThrow(malformed))
