import { describe, expect, test } from 'vitest'
import type { Answer, Loaded, Read } from '../proxy/cache/answer.ts'
import type { Entry } from '../proxy/cache/entry.ts'
import type { Key } from '../proxy/cache/key.ts'
import { type Lease, type Leases, noLeases } from '../proxy/cache/lease.ts'
import { memoryTier } from '../proxy/cache/memory.ts'
import { ReadThrough } from '../proxy/cache/read-through.ts'
import type { Tier } from '../proxy/cache/tier.ts'
import { Ledger } from '../proxy/coherence/ledger.ts'
import { Problem } from '../proxy/errors.ts'
import { entryOf, gate, ManualClock, nextEvent, recorder, settled } from './support.ts'

const key = 'plans@1?county=51059' as Key
const lifetime = { fresh: 60_000, stale: 600_000, staleIfError: 3_600_000, negative: 10_000 }

/** A far tier of plain objects that records its calls. */
function farTier() {
  const kept = new Map<Key, Entry>()
  const asked: string[] = []
  const tier: Tier = {
    name: 'redis',
    label: 'Redis',
    async get(key) {
      asked.push('get')
      return kept.get(key)
    },
    async set(key, entry) {
      asked.push('set')
      kept.set(key, entry)
      return true
    },
  }
  return { tier, kept, asked }
}

interface Given {
  random?: () => number
  leases?: Leases
  softMs?: number
  reached?: () => Promise<boolean>
  mayRefresh?: (underWay: number) => boolean
  turn?: () => Promise<void> | undefined
  /** Tiers behind the far one. */
  behind?: Tier[]
}

function setup({
  random = () => 0.999_999,
  leases = noLeases,
  softMs = 150,
  reached = async () => false,
  mayRefresh = () => true,
  turn = () => undefined,
  behind = [],
}: Given = {}) {
  const clock = new ManualClock()
  const seen = recorder()
  const ledger = new Ledger()
  ledger.join(start)
  const memory = memoryTier(1024 ** 2, seen.observe)
  const far = farTier()
  const cache = new ReadThrough({
    memory,
    farther: [far.tier, ...behind],
    leases,
    ledger,
    clock,
    observe: seen.observe,
    random,
    softMs,
    reached,
    mayRefresh,
    turn,
    deadlineMs: 3000,
  })
  const origin = { asked: 0, load: async (): Promise<Loaded> => rows('v1') }
  const asks = (over: Partial<Read>): Read => ({
    key,
    route: 'plans',
    tags: () => ['route:plans', 'table:plans'],
    lifetime,
    load: () => {
      origin.asked += 1
      return origin.load()
    },
    ...over,
  })
  const read = (over: Partial<Read> = {}): Promise<Answer> => cache.read(asks(over))
  const held = (over: Partial<Read> = {}): Answer | undefined => cache.fromMemory(asks(over))
  const purge = (tags: string[], soft = false) =>
    ledger.apply(nextEvent(ledger.position, { tags, soft, cause: 'purge' }), clock.now())
  return { clock, seen, ledger, memory, far, cache, origin, read, held, purge }
}

const start = { pos: 7, id: 'head-1' }
const hard = { tags: ['route:plans'], soft: false, cause: 'change' } as const

const rows = (text: string, n = 1): Loaded => ({ json: text, rows: n })
const text = ({ entry }: Answer) => entry.body.toString()

/** An entry in the far tier, as another process would have written it. */
function foreignEntry({ text = 'far', ...over }: Partial<Entry> & { readAt: number; text?: string }): Entry {
  return entryOf(text, { tags: ['route:plans'], stamp: { seq: 0, ...start }, ...over })
}

describe('search and serve', () => {
  test('a miss asks the origin once, and the next read is answered from memory without asking anyone', async () => {
    const { read, origin, far } = setup()
    expect(await read()).toMatchObject({ source: 'origin', state: 'miss', forwarded: 'uri-miss', stored: true })
    const again = await read()
    expect(again).toMatchObject({ source: 'memory', state: 'fresh' })
    expect(text(again)).toBe('v1')
    expect([origin.asked, far.asked]).toEqual([1, ['get', 'set']])
  })

  test('an entry of a farther tier is served without asking the origin, and is in memory from then on', async () => {
    const { read, origin, far, clock } = setup()
    far.kept.set(key, foreignEntry({ readAt: clock.now() - 5000 }))
    expect(await read()).toMatchObject({ source: 'redis', state: 'fresh', ageMs: 5000 })
    expect(await read()).toMatchObject({ source: 'memory', state: 'fresh', ageMs: 5000 })
    expect([origin.asked, far.asked]).toEqual([0, ['get']])
  })

  test('an entry of the farthest tier is written to every nearer one, and to none behind it', async () => {
    const [middle, last] = [farTier(), farTier()]
    const { read, origin, far, memory, clock } = setup({ behind: [middle.tier, last.tier] })
    middle.kept.set(key, foreignEntry({ readAt: clock.now() - 5000, text: 'from the middle' }))
    expect(text(await read())).toBe('from the middle')
    expect([far.asked, middle.asked, last.asked]).toEqual([['get', 'set'], ['get'], []])
    expect([far.kept.get(key)?.body.toString(), memory.peek(key)?.body.toString()]).toEqual(
      Array(2).fill('from the middle'),
    )
    expect(origin.asked).toBe(0)
  })

  test('a fill is kept in every tier', async () => {
    const middle = farTier()
    const { read, far } = setup({ behind: [middle.tier] })
    await read()
    expect([far.kept.get(key)?.body.toString(), middle.kept.get(key)?.body.toString()]).toEqual(['v1', 'v1'])
  })

  test('an entry is stale at the end of `fresh`, and not one millisecond before it', async () => {
    const { read, clock, origin } = setup({ random: () => 0 })
    await read()
    clock.pass(lifetime.fresh - 1)
    expect(await read()).toMatchObject({ state: 'fresh', ttlMs: 1 })
    expect(origin.asked).toBe(1)
    clock.pass(1)
    expect(await read()).toMatchObject({ source: 'memory', state: 'stale' })
    await settled()
    expect(origin.asked).toBe(2)
  })

  test('jitter takes at most a tenth of fresh, and never adds to it', async () => {
    const { read, clock } = setup({ random: () => 1 })
    await read()
    clock.pass(lifetime.fresh * 0.9 - 1)
    expect((await read()).state).toBe('fresh')
    clock.pass(1)
    expect((await read()).state).toBe('stale')
  })

  test('a lifetime changed in the configuration judges entries already cached', async () => {
    const { read, clock } = setup()
    await read()
    clock.pass(30_000)
    expect((await read({ lifetime: { ...lifetime, fresh: 20_000 } })).state).toBe('stale')
    expect((await read({ lifetime: { ...lifetime, fresh: 40_000 } })).state).toBe('fresh')
  })

  test('a dead entry is never served: past stale a reader waits for the origin', async () => {
    const { read, clock, origin } = setup()
    await read()
    origin.load = async () => rows('v2')
    clock.pass(lifetime.fresh + lifetime.stale)
    const answer = await read()
    expect(answer).toMatchObject({ source: 'origin', forwarded: 'stale' })
    expect(text(answer)).toBe('v2')
  })

  test('a reader that joins a refresh is told that the cached entry was stale', async () => {
    const { read, clock, origin } = setup()
    await read()
    const { opened, open } = gate()
    origin.load = async () => {
      await opened
      return rows('v2')
    }
    clock.pass(lifetime.fresh)
    expect(await read()).toMatchObject({ source: 'memory', state: 'stale' })
    await settled()
    const joined = read({ lifetime: { ...lifetime, stale: 0 } })
    open()
    expect(await joined).toMatchObject({ source: 'origin', forwarded: 'stale', collapsed: true })
  })
})

describe('an entry in memory', () => {
  test('is served at once while it may be, and no other tier is asked', async () => {
    const { read, held, clock, origin, far } = setup()
    expect(held()).toBeUndefined()
    await read()
    clock.pass(5000)
    expect(held()).toEqual(await read())
    expect(held({ maxAgeMs: 5000 })).toBeUndefined()
    expect([origin.asked, far.asked]).toEqual([1, ['get', 'set']])
  })

  test('is served when stale, with one refresh in the background', async () => {
    const { read, held, clock, origin } = setup()
    await read()
    clock.pass(lifetime.fresh)
    expect([held()?.state, held()?.state]).toEqual(['stale', 'stale'])
    await settled()
    expect([held()?.state, origin.asked]).toEqual(['fresh', 2])
  })

  test('is not served when dead or invalidated: the reader then waits', async () => {
    const { read, held, clock, purge } = setup()
    await read()
    purge(['table:plans'])
    expect(held()).toBeUndefined()
    await read()
    clock.pass(lifetime.fresh + lifetime.stale)
    expect(held()).toBeUndefined()
  })
})

describe('one flight a key', () => {
  test('a thousand readers of a cold key make one query, and all get its answer', async () => {
    const { read, origin, seen, cache } = setup()
    const answered = gate()
    origin.load = () => answered.opened.then(() => rows('v1'))
    const reading = Array.from({ length: 1000 }, () => read())
    await settled()
    answered.open()
    const answers = await Promise.all(reading)
    expect(new Set(answers.map(text))).toEqual(new Set(['v1']))
    expect(answers.filter(({ collapsed }) => collapsed)).toHaveLength(999)
    expect(answers.filter(({ stored }) => stored)).toHaveLength(1)
    expect([origin.asked, seen.of('collapsed').length, cache.flights]).toEqual([1, 999, 0])
  })

  test('a thousand readers of a stale key make one query, and no reader waits for it', async () => {
    const { read, origin, clock } = setup()
    await read()
    clock.pass(lifetime.fresh)
    const answered = gate()
    origin.load = () => answered.opened.then(() => rows('v2'))
    const answers = await Promise.all(Array.from({ length: 1000 }, () => read()))
    expect(answers.every(({ state }) => state === 'stale')).toBe(true)
    answered.open()
    await settled()
    expect(text(await read())).toBe('v2')
    expect(origin.asked).toBe(2)
  })

  test('a fill goes on when all its readers have given up, and is kept', async () => {
    const { read, origin, clock, cache } = setup()
    const answered = gate()
    origin.load = () => answered.opened.then(() => rows('v1'))
    const reading = read()
    await settled()
    clock.pass(2999)
    const late = read()
    clock.pass(1)
    await expect(reading).rejects.toMatchObject({ code: 'origin-timeout' })
    expect(cache.flights).toBe(1)
    answered.open()
    expect(text(await late)).toBe('v1')
    expect(await read()).toMatchObject({ source: 'memory' })
    expect(origin.asked).toBe(1)
  })

  test('a failure goes to all waiting readers, and is not kept', async () => {
    const { read, origin, cache, memory } = setup()
    origin.load = () => Promise.reject(new Problem('origin-unavailable', 'gone'))
    const outcomes = await Promise.allSettled([read(), read(), read()])
    expect(outcomes.map((outcome) => outcome.status === 'rejected' && outcome.reason.code)).toEqual(
      Array(3).fill('origin-unavailable'),
    )
    expect([origin.asked, cache.flights, memory.entries]).toEqual([1, 0, 0])
    origin.load = async () => rows('v1')
    expect(text(await read())).toBe('v1')
  })

  test('no timer outlives the read it was set for', async () => {
    const { read, clock } = setup()
    await Promise.all([read(), read()])
    expect(clock.timers).toBe(0)
  })
})

describe('negative answers', () => {
  test('an empty answer is kept for its own lifetime, and then asked for again in the foreground', async () => {
    const { read, origin, clock } = setup({ random: () => 0 })
    origin.load = async () => rows('[]', 0)
    await read()
    clock.pass(lifetime.negative - 1)
    expect(await read()).toMatchObject({ source: 'memory', state: 'fresh' })
    expect(origin.asked).toBe(1)
    clock.pass(1)
    expect(await read()).toMatchObject({ source: 'origin' })
    expect(origin.asked).toBe(2)
  })
})

describe('when the origin fails', () => {
  test('an entry past stale is served, labelled, until the end of staleIfError; then readers get the failure', async () => {
    const { read, origin, clock } = setup()
    await read()
    origin.load = () => Promise.reject(new Problem('origin-unavailable', 'gone'))
    clock.pass(lifetime.fresh + lifetime.staleIfError - 1)
    const answer = await read()
    expect(answer).toMatchObject({ source: 'memory', state: 'stale', forwarded: 'stale' })
    expect(answer.ttlMs).toBeLessThan(0)
    clock.pass(1001)
    await expect(read()).rejects.toMatchObject({ code: 'origin-unavailable' })
  })

  test('a failed fill is not repeated for a second while there is an entry to serve', async () => {
    const { read, origin, clock } = setup({ random: () => 0 })
    await read()
    origin.load = () => Promise.reject(new Problem('origin-unavailable', 'gone'))
    clock.pass(lifetime.fresh)
    for (let i = 0; i < 10; i += 1) {
      expect((await read()).state).toBe('stale')
      await settled()
    }
    expect(origin.asked).toBe(2)
    clock.pass(1000)
    await read()
    await settled()
    expect(origin.asked).toBe(3)
    clock.pass(lifetime.stale)
    expect(await read()).toMatchObject({ state: 'stale', forwarded: 'stale' })
    for (let i = 0; i < 9; i += 1) {
      const answer = await read()
      expect([answer.state, answer.forwarded]).toEqual(['stale', undefined])
    }
    expect(origin.asked).toBe(4)
  })

  test('the origin is asked less and less often for the same key, up to every 30 seconds, until it answers', async () => {
    const { read, origin, clock } = setup({ random: () => 0 })
    await read()
    origin.load = () => Promise.reject(new Problem('origin-unavailable', 'gone'))
    clock.pass(lifetime.fresh)
    for (const pauseMs of [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]) {
      const before = origin.asked
      await read()
      await settled()
      clock.pass(pauseMs - 1)
      await read()
      await settled()
      expect(origin.asked).toBe(before + 1)
      clock.pass(1)
    }
    origin.load = async () => rows('v2')
    await read()
    await settled()
    expect(text(await read())).toBe('v2')
    // A failure after a success starts again with the first pause.
    origin.load = () => Promise.reject(new Problem('origin-unavailable', 'gone'))
    clock.pass(lifetime.fresh)
    const before = origin.asked
    for (let i = 0; i < 2; i += 1) {
      await read()
      await settled()
      clock.pass(1000)
    }
    expect(origin.asked).toBe(before + 2)
  })

  test('keys that failed together are not retried together', async () => {
    for (const [random, pauseMs] of [
      [0, 1000],
      [0.999_999, 751],
    ] as const) {
      const { read, origin, clock } = setup({ random: () => random })
      await read()
      origin.load = () => Promise.reject(new Problem('origin-unavailable', 'gone'))
      clock.pass(lifetime.fresh)
      await read()
      await settled()
      clock.pass(pauseMs - 1)
      await read()
      await settled()
      expect(origin.asked).toBe(2)
      clock.pass(1)
      await read()
      await settled()
      expect(origin.asked).toBe(3)
    }
  })

  test('a shed fill is tried again after a second, however often it was shed', async () => {
    const { read, origin, clock } = setup({ random: () => 0 })
    await read()
    origin.load = () => Promise.reject(new Problem('shed', 'full'))
    clock.pass(lifetime.fresh + lifetime.stale)
    for (let i = 1; i <= 5; i += 1) {
      expect(await read()).toMatchObject({ state: 'stale', forwarded: 'stale', fallbackReason: 'shed' })
      expect(await read()).toMatchObject({ state: 'stale', fallbackReason: 'stale-only' })
      expect(origin.asked).toBe(1 + i)
      clock.pass(1000)
    }
  })

  test('an entry is served for years if staleIfError says so, longer than any timer can run', async () => {
    const { read, origin, clock } = setup()
    const day = 86_400_000
    const long = { lifetime: { ...lifetime, staleIfError: 3650 * day } }
    await read(long)
    origin.load = () => Promise.reject(new Problem('origin-unavailable', 'gone'))
    for (const days of [2, 25, 50, 3000]) {
      clock.pass(days * day)
      expect(await read(long)).toMatchObject({ state: 'stale', forwarded: 'stale', fallbackReason: 'stale-only' })
    }
    clock.pass(3650 * day)
    await expect(read(long)).rejects.toMatchObject({ code: 'origin-unavailable' })
  })

  test('an old entry of a farther tier is the fallback if memory has none', async () => {
    const { read, origin, far, clock } = setup()
    far.kept.set(key, foreignEntry({ readAt: clock.now() - lifetime.fresh - lifetime.stale }))
    origin.load = () => Promise.reject(new Problem('origin-unavailable', 'gone'))
    expect(await read()).toMatchObject({ source: 'redis', state: 'stale', forwarded: 'stale' })
    expect(await read()).toMatchObject({ source: 'memory', state: 'stale' })
    expect(origin.asked).toBe(1)
  })

  test('a purged entry is no fallback', async () => {
    const { read, origin, purge } = setup()
    await read()
    purge(['table:plans'])
    origin.load = () => Promise.reject(new Problem('origin-unavailable', 'gone'))
    await expect(read()).rejects.toMatchObject({ code: 'origin-unavailable' })
  })
})

describe('a slow origin', () => {
  const softMs = 150
  /** A read past stale, and an origin that answers when told to. */
  async function slow(over: Parameters<typeof setup>[0] = {}) {
    const all = setup({ random: () => 0, ...over })
    await all.read()
    all.clock.pass(lifetime.fresh + lifetime.stale)
    const answered = gate()
    all.origin.load = () => answered.opened.then(() => rows('v2'))
    return { ...all, answered }
  }

  test('costs a reader with a fallback the soft timeout; the fill goes on, and is kept', async () => {
    const { read, clock, origin, answered, cache } = await slow()
    let answer: Answer | undefined
    const reading = read().then((got) => {
      answer = got
    })
    await settled()
    clock.pass(softMs - 1)
    await settled()
    expect(answer).toBeUndefined()
    clock.pass(1)
    await reading
    expect(answer).toMatchObject({
      source: 'memory',
      state: 'stale',
      forwarded: 'stale',
      fallbackReason: 'soft-timeout',
    })
    expect(cache.flights).toBe(1)
    answered.open()
    await settled()
    expect(text(await read())).toBe('v2')
    expect([origin.asked, clock.timers, cache.flights]).toEqual([2, 0, 0])
  })

  test('costs later readers with a fallback nothing', async () => {
    const { read, clock, origin } = await slow()
    const first = read()
    await settled()
    clock.pass(softMs)
    await first
    for (let i = 0; i < 10; i += 1)
      expect(await read()).toMatchObject({ fallbackReason: 'soft-timeout', forwarded: 'stale', collapsed: true })
    expect(origin.asked).toBe(2)
  })

  test('keeps a reader without a fallback waiting until its deadline', async () => {
    const { read, clock, origin } = setup()
    origin.load = () => new Promise(() => {})
    const reading = read()
    await settled()
    clock.pass(2999)
    const outcome = await Promise.race([reading, settled().then(() => 'waiting')])
    expect(outcome).toBe('waiting')
    clock.pass(1)
    await expect(reading).rejects.toMatchObject({ code: 'origin-timeout' })
  })

  test('keeps a reader waiting whose entry was invalidated meanwhile', async () => {
    const { read, clock, purge, answered } = await slow()
    const reading = read()
    await settled()
    purge(['table:plans'])
    clock.pass(softMs)
    answered.open()
    expect(text(await reading)).toBe('v2')
  })

  test('keeps the reader of a negative entry waiting: that is never served past `negative`', async () => {
    const { read, clock, origin } = setup({ random: () => 0 })
    origin.load = async () => rows('[]', 0)
    await read()
    clock.pass(lifetime.negative)
    origin.load = () => new Promise(() => {})
    const reading = read()
    await settled()
    clock.pass(3000)
    await expect(reading).rejects.toMatchObject({ code: 'origin-timeout' })
  })

  test('serves a fresh entry as the fallback to a reader that wanted a newer one', async () => {
    const { read, clock, origin } = setup()
    await read()
    clock.pass(10_000)
    origin.load = () => new Promise(() => {})
    const reading = read({ maxAgeMs: 10_000 })
    await settled()
    clock.pass(softMs)
    expect(await reading).toMatchObject({ state: 'fresh', forwarded: 'request', fallbackReason: 'soft-timeout' })
  })

  test('serves an entry of a farther tier as the fallback, to readers that came during the search too', async () => {
    const { read, clock, origin, far } = setup()
    far.kept.set(key, foreignEntry({ readAt: clock.now() - lifetime.fresh - lifetime.stale }))
    origin.load = () => new Promise(() => {})
    const reading = Promise.all([read(), read()])
    await settled()
    clock.pass(softMs)
    for (const answer of await reading)
      expect(answer).toMatchObject({ state: 'stale', forwarded: 'stale', fallbackReason: 'soft-timeout' })
  })

  test('twin: with a soft timeout as long as the deadline, a reader waits that long', async () => {
    const { read, clock } = await slow({ softMs: 3000 })
    const reading = read()
    await settled()
    clock.pass(2999)
    expect(await Promise.race([reading, settled().then(() => 'waiting')])).toBe('waiting')
    clock.pass(1)
    expect(await reading).toMatchObject({ state: 'stale', forwarded: 'stale' })
  })
})

describe('an empty answer', () => {
  test('replaces an entry with rows if the origin gives it', async () => {
    const { read, clock, origin } = setup()
    await read()
    clock.pass(lifetime.fresh + lifetime.stale)
    origin.load = async () => rows('[]', 0)
    expect(await read()).toMatchObject({ source: 'origin', stored: true, entry: { rows: 0 } })
    expect(await read()).toMatchObject({ source: 'memory', entry: { rows: 0 } })
  })

  test.each(['origin-unavailable', 'origin-timeout', 'origin-failed', 'shed'] as const)(
    'is never made of a failure (%s), and a failure is kept nowhere',
    async (code) => {
      const { read, clock, origin, memory, far } = setup()
      await read()
      clock.pass(lifetime.fresh + lifetime.stale)
      origin.load = () => Promise.reject(new Problem(code, 'failed'))
      expect(text(await read())).toBe('v1')
      expect([memory.peek(key)?.rows, far.kept.get(key)?.rows]).toEqual([1, 1])
    },
  )

  test('is not taken from a farther tier if it is older than the entry in memory, however long it may still live', async () => {
    const { read, clock, origin, far } = setup()
    const over = { lifetime: { ...lifetime, negative: 3_600_000 } }
    const before = foreignEntry({ readAt: clock.now() - 1, rows: 0 })
    await read(over)
    far.kept.set(key, before)
    clock.pass(lifetime.fresh + lifetime.stale)
    origin.load = () => Promise.reject(new Problem('origin-unavailable', 'gone'))
    expect(text(await read(over))).toBe('v1')
  })
})

describe('a reader with a maximum age', () => {
  const maxAgeMs = 10_000

  test('gets a younger entry from memory, and the origin is asked in place of an older one', async () => {
    const { read, origin, clock } = setup()
    await read()
    clock.pass(maxAgeMs - 1)
    expect(await read({ maxAgeMs })).toMatchObject({ source: 'memory', state: 'fresh' })
    clock.pass(1)
    origin.load = async () => rows('v2')
    const answer = await read({ maxAgeMs })
    expect(answer).toMatchObject({ source: 'origin', forwarded: 'request', stored: true })
    expect([text(answer), text(await read()), origin.asked]).toEqual(['v2', 'v2', 2])
  })

  test('that repeats its request has the origin asked once an interval, and does not delay other readers', async () => {
    const { read, origin, clock } = setup()
    await read()
    clock.pass(maxAgeMs)
    const asked = gate()
    origin.load = () => asked.opened.then(() => rows('v2'))
    const wanting = Array.from({ length: 100 }, () => read({ maxAgeMs }))
    expect(text(await read())).toBe('v1')
    asked.open()
    expect(new Set((await Promise.all(wanting)).map(text))).toEqual(new Set(['v2']))
    for (let i = 0; i < 100; i += 1) await read({ maxAgeMs })
    expect(origin.asked).toBe(2)
  })

  test('takes an entry of a farther tier only if it is young enough', async () => {
    const { read, origin, far, clock } = setup()
    far.kept.set(key, foreignEntry({ readAt: clock.now() - maxAgeMs + 1 }))
    expect(await read({ maxAgeMs })).toMatchObject({ source: 'redis', state: 'fresh' })
    const other = setup()
    other.far.kept.set(key, foreignEntry({ readAt: other.clock.now() - maxAgeMs }))
    expect(await other.read({ maxAgeMs })).toMatchObject({ source: 'origin', forwarded: 'request' })
    expect([origin.asked, other.origin.asked]).toEqual([0, 1])
  })

  test("does not accept the older answer of another reader's flight", async () => {
    const { read, origin, far, clock } = setup()
    const found = gate()
    far.kept.set(key, foreignEntry({ readAt: clock.now() - maxAgeMs }))
    const { get } = far.tier
    far.tier.get = async (asked) => found.opened.then(() => get(asked))
    const content = read()
    const wanting = read({ maxAgeMs })
    found.open()
    expect([text(await content), text(await wanting), origin.asked]).toEqual(['far', 'v1', 1])
  })

  test('gets the fallback when the origin fails', async () => {
    const { read, origin, clock } = setup()
    await read()
    clock.pass(maxAgeMs)
    origin.load = () => Promise.reject(new Problem('origin-unavailable', 'gone'))
    const answer = await read({ maxAgeMs })
    expect(answer).toMatchObject({ source: 'memory', state: 'fresh', forwarded: 'request' })
    expect(text(answer)).toBe('v1')
    await read({ maxAgeMs })
    expect(origin.asked).toBe(2)
  })
})

test('an entry of a farther tier is judged when its turn comes, not when it arrived', async () => {
  const due = gate()
  const { read, far, ledger, origin, clock } = setup({ turn: () => due.opened })
  far.kept.set(key, foreignEntry({ readAt: clock.now() }))
  const reading = read()
  await settled()
  ledger.apply(nextEvent(ledger.position, { ...hard }), clock.now())
  due.open()
  expect(await reading).toMatchObject({ source: 'origin' })
  expect(origin.asked).toBe(1)
})

test('an entry of a farther tier does not replace a later one that has come meanwhile', async () => {
  const due = gate()
  const { read, far, memory, origin, clock } = setup({ turn: () => due.opened })
  far.kept.set(key, foreignEntry({ readAt: clock.now() - 10 }))
  const reading = read()
  await settled()
  memory.set(key, foreignEntry({ readAt: clock.now(), jitter: 0.25 }))
  due.open()
  expect(await reading).toMatchObject({ source: 'origin' })
  expect(origin.asked).toBe(1)
})

describe('one fill over all processes', () => {
  /** Leases whose state the test sets: led by this process, held by another, or failed. */
  function leasing() {
    const released: string[] = []
    const leases = {
      state: 'held' as Lease['state'],
      taken: 0,
      isUsable: true,
      async take(): Promise<Lease> {
        this.taken += 1
        const { state } = this
        return { state, release: (outcome) => state === 'led' && released.push(outcome) }
      },
    }
    return { leases, released, ...setup({ leases, random: () => 0.5 }) }
  }
  const pass = async (clock: ManualClock, ms: number) => {
    for (let passed = 0; passed < ms; passed += 5) {
      clock.pass(5)
      await settled()
    }
  }

  test('the leader asks the origin, and releases the lease', async () => {
    const { leases, released, read, origin } = leasing()
    leases.state = 'led'
    expect(await read()).toMatchObject({ source: 'origin', stored: true })
    expect([origin.asked, released]).toEqual([1, ['done']])
  })

  test('another process waits until the leader has kept its answer, with growing pauses', async () => {
    const { leases, read, origin, far, clock } = leasing()
    const reading = read()
    await settled()
    await pass(clock, 600)
    expect([origin.asked, leases.taken]).toEqual([0, 10])
    far.kept.set(key, foreignEntry({ readAt: clock.now() }))
    await pass(clock, 100)
    expect(await reading).toMatchObject({ source: 'redis', state: 'fresh' })
    expect(origin.asked).toBe(0)
  })

  test('a tier that has just failed is asked neither for a lease nor again for the entry', async () => {
    const { leases, read, origin, far } = leasing()
    leases.isUsable = false
    expect(await read()).toMatchObject({ source: 'origin' })
    expect([origin.asked, leases.taken, far.asked]).toEqual([1, 0, ['get', 'set']])
  })

  test('the lease of a dead holder goes to another process', async () => {
    const { leases, released, read, origin, clock } = leasing()
    const reading = read()
    await settled()
    await pass(clock, 50)
    leases.state = 'led' // the holder's lease has expired, and this process takes it
    await pass(clock, 100)
    expect(await reading).toMatchObject({ source: 'origin' })
    expect([origin.asked, released]).toEqual([1, ['done']])
  })

  test('a process that has waited as long as a reader may asks the origin anyway, for later readers', async () => {
    const { read, origin, clock } = leasing()
    const reading = read().catch((error) => error.code)
    await settled()
    await pass(clock, 2900)
    expect(origin.asked).toBe(0)
    await pass(clock, 300)
    expect([await reading, origin.asked, (await read()).source]).toEqual(['origin-timeout', 1, 'memory'])
  })

  test('a fill that has just failed elsewhere is not repeated, and a failure here is marked in the lease', async () => {
    const { leases, released, read, origin } = leasing()
    leases.state = 'failed'
    await expect(read()).rejects.toMatchObject({ code: 'origin-unavailable' })
    expect(origin.asked).toBe(0)
    leases.state = 'led'
    origin.load = () => Promise.reject(new Problem('origin-timeout', 'slow'))
    await expect(read()).rejects.toMatchObject({ code: 'origin-timeout' })
    expect(released).toEqual(['failed'])
  })

  test('a shed fill is not marked as failed: other processes may have room for it', async () => {
    const { leases, released, read, origin } = leasing()
    leases.state = 'led'
    origin.load = () => Promise.reject(new Problem('shed', 'full'))
    await expect(read()).rejects.toMatchObject({ code: 'shed' })
    expect(released).toEqual(['done'])
  })

  test('no lease is asked for a fill that would be shed; an entry in memory or a farther tier is served', async () => {
    const { leases, read, origin, far, clock } = leasing()
    const admit = () => {
      throw new Problem('shed', 'full')
    }
    await expect(read({ admit })).rejects.toMatchObject({ code: 'shed' })
    expect([leases.taken, origin.asked, far.asked]).toEqual([0, 0, ['get']])
    far.kept.set(key, foreignEntry({ readAt: clock.now() }))
    expect(await read({ admit })).toMatchObject({ source: 'redis', state: 'fresh' })
    clock.pass(lifetime.fresh + lifetime.stale)
    expect(await read({ admit })).toMatchObject({ source: 'memory', state: 'stale', fallbackReason: 'shed' })
  })

  test('after a failure elsewhere the fallback is served', async () => {
    const { leases, read, clock } = leasing()
    leases.state = 'led'
    await read()
    leases.state = 'failed'
    clock.pass(lifetime.fresh + lifetime.stale)
    expect(await read()).toMatchObject({ source: 'memory', state: 'stale', forwarded: 'stale' })
  })

  test('a reader with a stale entry does not wait for another process', async () => {
    const { leases, read, clock, origin } = leasing()
    leases.state = 'led'
    await read()
    leases.state = 'held'
    clock.pass(lifetime.fresh)
    expect(await read()).toMatchObject({ source: 'memory', state: 'stale' })
    await pass(clock, 500)
    expect(origin.asked).toBe(1)
  })
})

describe('invalidation', () => {
  test.each([
    ['a tag', ['table:plans']],
    ['the route', ['route:plans']],
    ['the key', [key]],
    ['everything', ['*']],
  ])('after a purge of %s the next read asks the origin, whatever the tiers hold', async (_what, tags) => {
    const { read, origin, purge } = setup()
    await read()
    purge(tags)
    origin.load = async () => rows('v2')
    const answer = await read()
    expect(answer).toMatchObject({ source: 'origin', forwarded: 'uri-miss' })
    expect(text(answer)).toBe('v2')
  })

  test('a purge of another tag does not touch an entry', async () => {
    const { read, origin, purge } = setup()
    await read()
    purge(['table:counties', 'plans@1?county=51061'])
    expect((await read()).source).toBe('memory')
    expect(origin.asked).toBe(1)
  })

  test('an answer loaded before an invalidation is given to its reader and kept nowhere', async () => {
    const { read, origin, purge, memory, far, seen } = setup()
    const asked = gate()
    const answered = gate()
    origin.load = async () => {
      asked.open()
      await answered.opened
      return rows('before')
    }
    const reading = read()
    await asked.opened
    purge(['table:plans'])
    answered.open()
    const answer = await reading
    expect(text(answer)).toBe('before')
    expect(answer.stored).toBe(false)
    expect([memory.entries, far.kept.size, seen.of('fill-raced').length]).toEqual([0, 0, 1])
  })

  test('a reader that arrives after an invalidation does not join the fill that began before it', async () => {
    const { read, origin, purge, cache } = setup()
    const first = gate()
    const second = gate()
    origin.load = () => first.opened.then(() => rows('before'))
    const early = read()
    await settled()
    purge(['table:plans'])
    origin.load = () => second.opened.then(() => rows('after'))
    const late = read()
    await settled()
    expect(origin.asked).toBe(2)
    first.open()
    expect(text(await early)).toBe('before')
    const later = read() // joins the second flight: the end of the first has not removed it
    second.open()
    expect([text(await late), text(await later)]).toEqual(['after', 'after'])
    expect([origin.asked, cache.flights]).toEqual([2, 0])
    expect(text(await read())).toBe('after')
  })

  test('a stale entry is served without a refresh while too many run, and refreshed when there is room again', async () => {
    const { read, origin, clock } = setup({ mayRefresh: (underWay) => underWay < 2 })
    const keys = ['a', 'b', 'c'] as Key[]
    for (const key of keys) await read({ key })
    clock.pass(lifetime.fresh)
    const answered = gate()
    origin.load = () => answered.opened.then(() => rows('v2'))
    for (const key of keys) expect(await read({ key })).toMatchObject({ state: 'stale', source: 'memory' })
    await settled()
    expect(origin.asked).toBe(5)
    answered.open()
    await settled()
    expect(await read({ key: keys[2] as Key })).toMatchObject({ state: 'stale' })
    await settled()
    expect(origin.asked).toBe(6)
    for (const key of keys) expect(text(await read({ key }))).toBe('v2')
  })

  test('a reader that arrives after the first one gave up starts a new fill: the old one may be from before a long pause', async () => {
    const { read, origin, clock } = setup()
    const [first, second] = [gate(), gate()]
    origin.load = () => first.opened.then(() => rows('before'))
    const early = read().catch(({ code }) => code)
    await settled()
    clock.pass(60_000) // as in a process that was stopped
    expect(await early).toBe('origin-timeout')
    origin.load = () => second.opened.then(() => rows('after'))
    const late = read()
    await settled()
    first.open()
    second.open()
    expect(text(await late)).toBe('after')
    expect(text(await read())).toBe('after')
  })

  test('an answer loaded before a gap goes to its readers and to no farther tier, and no older entry replaces it', async () => {
    const { read, origin, ledger, memory, far, clock, seen } = setup()
    const [asked, answered] = [gate(), gate()]
    origin.load = async () => {
      asked.open()
      await answered.opened
      return rows('v2')
    }
    const reading = read()
    await asked.opened
    const barrier = { pos: start.pos + 1, id: 'barrier' }
    ledger.join(barrier)
    clock.pass(50)
    answered.open()
    const answer = await reading
    expect([text(answer), answer.stored, far.kept.size, seen.of('fill-raced').length]).toEqual(['v2', false, 0, 1])
    // v2 reflects changes that the log does not have yet; no entry read before it does.
    origin.load = async () => rows('v2')
    far.kept.set(key, foreignEntry({ readAt: clock.now() - 1000, stamp: { seq: 0, ...barrier } }))
    expect(await read()).toMatchObject({ source: 'origin', stored: true })
    expect(memory.peek(key)?.stamp).toMatchObject(barrier)
  })

  test("an entry that another process read during this process's fill is not surely later, and does not replace it", async () => {
    const { read, origin, far, clock } = setup()
    const took = 100
    origin.load = async () => {
      clock.pass(took)
      return rows('v2')
    }
    await read()
    const readBy = clock.now()
    clock.pass(lifetime.fresh + lifetime.stale)
    origin.load = async () => rows('v3')
    far.kept.set(key, foreignEntry({ readAt: readBy - 1, jitter: 0.5, rows: 1 }))
    expect(text(await read({ lifetime: { ...lifetime, fresh: 9e6 }, maxAgeMs: 9e8 }))).toBe('v2') // in memory, and fresh by that lifetime
    expect(text(await read())).toBe('v3')
    far.kept.set(key, foreignEntry({ readAt: clock.now(), jitter: 0.5 }))
    expect(text(await read({ maxAgeMs: 0 }))).toBe('v3')
  })

  test('a fill that was overtaken by a later one does not replace it', async () => {
    const { read, origin, clock } = setup()
    const [first, second] = [gate(), gate()]
    origin.load = () => first.opened.then(() => rows('before'))
    const early = read().catch(({ code }) => code)
    await settled()
    clock.pass(3000) // a reader that arrives now does not join its flight
    expect(await early).toBe('origin-timeout')
    origin.load = () => second.opened.then(() => rows('after'))
    const late = read()
    await settled()
    second.open()
    expect(text(await late)).toBe('after')
    first.open()
    await settled()
    expect(text(await read())).toBe('after')
  })

  test('after a failure a reader gets the later entry of another flight, not the older one', async () => {
    const { read, origin, memory, clock } = setup()
    await read()
    clock.pass(lifetime.fresh + lifetime.stale)
    const asked = gate()
    origin.load = async () => {
      await asked.opened
      throw new Problem('origin-unavailable', 'gone')
    }
    const reading = read()
    await settled()
    const stamp = memory.peek(key)?.stamp as Entry['stamp']
    memory.set(key, foreignEntry({ text: 'v2', readAt: clock.now(), stamp, jitter: 0.5 }))
    asked.open()
    expect(text(await reading)).toBe('v2')
  })

  test('an invalidation between the search and the SQL does not count as a race of the fill', async () => {
    const { read, purge, far } = setup()
    const searched = gate()
    const get = far.tier.get
    far.tier.get = async (key) => {
      await searched.opened
      return get(key)
    }
    const reading = read()
    purge(['table:plans'])
    searched.open()
    expect((await reading).stored).toBe(true)
    expect((await read()).source).toBe('memory')
  })

  test('after a soft invalidation an entry is served once more while it is refreshed', async () => {
    const { read, origin, purge, clock } = setup()
    await read()
    clock.pass(10)
    purge(['route:plans'], true)
    origin.load = async () => rows('v2')
    const answer = await read()
    expect(answer).toMatchObject({ source: 'memory', state: 'stale' })
    expect(answer.ttlMs).toBeLessThan(0)
    await settled()
    expect(await read()).toMatchObject({ source: 'memory', state: 'fresh' })
    expect(origin.asked).toBe(2)
  })

  test.each([
    ['stamped before an event that touches it', (ledger: Ledger) => ledger.apply(nextEvent(start, hard), 0)],
    ['stamped in a chain that was lost', (ledger: Ledger) => ledger.join({ ...start, id: 'another' })],
    ['stamped before a barrier', (ledger: Ledger) => ledger.join({ pos: start.pos + 1, id: 'barrier' })],
    ['while the log is lost', (ledger: Ledger) => ledger.lose()],
  ])('an entry in Redis is not served: %s', async (_what, change) => {
    const { read, far, ledger, clock, origin } = setup()
    far.kept.set(key, foreignEntry({ readAt: clock.now() }))
    change(ledger)
    expect((await read()).source).toBe('origin')
    expect(origin.asked).toBe(1)
  })

  test('an entry in Redis is served if later events touch something else', async () => {
    const { read, far, purge, clock } = setup()
    far.kept.set(key, foreignEntry({ readAt: clock.now() }))
    purge(['table:counties'])
    expect((await read()).source).toBe('redis')
  })

  test('an entry taken over from Redis is invalidated by later events, not by earlier ones', async () => {
    const { read, far, purge, clock, ledger } = setup()
    purge(['table:plans'])
    far.kept.set(key, foreignEntry({ readAt: clock.now(), stamp: ledger.stamp(), tags: ['table:plans'] }))
    expect((await read()).source).toBe('redis')
    expect((await read()).source).toBe('memory')
    purge(['table:plans'])
    expect((await read()).source).toBe('origin')
  })
})

describe('a reader that names a position in the log', () => {
  const ahead = { pos: start.pos + 1, id: 'ahead' }

  test('is answered from memory when this process has applied it', async () => {
    const { read, ledger } = setup()
    await read()
    expect((await read({ atLeast: ledger.position })).source).toBe('memory')
  })

  test('waits a moment until it has been applied, and is then served like any reader', async () => {
    const { read, purge, ledger, origin } = setup({
      reached: async () => {
        purge(['table:plans'])
        return true
      },
    })
    await read()
    origin.load = async () => rows('v2')
    const atLeast = nextEvent(ledger.position, hard)
    expect(text(await read({ atLeast }))).toBe('v2')
  })

  test('is answered from memory once it has been applied, if it does not touch the entry', async () => {
    const { read, purge, ledger, origin } = setup({
      reached: async () => {
        purge(['table:counties'])
        return true
      },
    })
    await read()
    const atLeast = nextEvent(ledger.position, { ...hard, tags: ['table:counties'] })
    expect((await read({ atLeast })).source).toBe('memory')
    expect(origin.asked).toBe(1)
  })

  test('is answered by the database if the position is unknown here, whatever the tiers hold; concurrent readers share that', async () => {
    const { read, far, clock, origin } = setup()
    await read()
    far.kept.set(key, foreignEntry({ readAt: clock.now() }))
    clock.pass(1)
    origin.load = async () => rows('v2')
    const answers = await Promise.all([read({ atLeast: ahead }), read({ atLeast: ahead }), read({ atLeast: ahead })])
    expect(answers.map(text)).toEqual(['v2', 'v2', 'v2'])
    expect(origin.asked).toBe(2)
  })

  test('does not share a fill that began before it arrived', async () => {
    const { read, origin, clock } = setup()
    const answered = gate()
    origin.load = () => answered.opened.then(() => rows('v1'))
    const first = read()
    await settled()
    clock.pass(1)
    const second = read({ atLeast: ahead })
    await settled()
    origin.load = async () => rows('v2')
    answered.open()
    expect([text(await first), text(await second)]).toEqual(['v1', 'v2'])
  })

  test('gets the failure of the database, and nothing older', async () => {
    const { read, origin, clock } = setup()
    await read()
    clock.pass(lifetime.fresh + 1)
    origin.load = () => Promise.reject(new Problem('origin-unavailable', 'gone'))
    await expect(read({ atLeast: ahead })).rejects.toThrow('gone')
    expect((await read()).state).toBe('stale')
  })
})

describe('an entry that is known to have changed', () => {
  const allowed = { ...lifetime, afterInvalidation: true }

  test('is served, labelled, if the origin fails and the route allows it', async () => {
    const { read, origin, purge } = setup()
    await read({ lifetime: allowed })
    purge(['table:plans'])
    origin.load = () => Promise.reject(new Problem('origin-unavailable', 'gone'))
    const answer = await read({ lifetime: allowed })
    expect(answer).toMatchObject({ state: 'stale', forwarded: 'stale', fallbackReason: 'after-invalidation' })
    expect(await read({ lifetime: allowed })).toMatchObject({ fallbackReason: 'after-invalidation' })
  })

  test('is replaced while the origin answers', async () => {
    const { read, origin, purge } = setup()
    await read({ lifetime: allowed })
    purge(['table:plans'])
    origin.load = async () => rows('v2')
    expect(text(await read({ lifetime: allowed }))).toBe('v2')
  })

  test('twin: without that policy the reader gets the failure', async () => {
    const { read, origin, purge } = setup()
    await read()
    purge(['table:plans'])
    origin.load = () => Promise.reject(new Problem('origin-unavailable', 'gone'))
    await expect(read()).rejects.toThrow('gone')
  })
})

describe('while invalidations may have been missed', () => {
  test('an entry from before a gap in the log is served only if the origin fails', async () => {
    const { read, origin, ledger } = setup()
    await read()
    ledger.join({ pos: 3, id: 'barrier' })
    origin.load = () => Promise.reject(new Problem('origin-unavailable', 'gone'))
    expect(await read()).toMatchObject({ state: 'stale', forwarded: 'stale', fallbackReason: 'stale-only' })
  })

  test('an entry from before a gap is replaced while the origin answers', async () => {
    const { read, origin, ledger } = setup()
    await read()
    ledger.join({ pos: 3, id: 'barrier' })
    origin.load = async () => rows('v2')
    expect(text(await read())).toBe('v2')
  })

  test('an entry is fresh for two to five seconds, and then served only if the origin fails', async () => {
    const { read, origin, ledger, clock } = setup({ random: () => 0.5 })
    await read()
    ledger.verifiedUntil = clock.now() - 1
    clock.pass(3499)
    expect((await read()).source).toBe('memory')
    clock.pass(1)
    origin.load = () => Promise.reject(new Problem('origin-unavailable', 'gone'))
    expect(await read()).toMatchObject({ state: 'stale', forwarded: 'stale', fallbackReason: 'stale-only' })
    clock.pass(2000)
    origin.load = async () => rows('v2')
    expect(text(await read())).toBe('v2')
  })
})

describe('early refresh', () => {
  test('an answer that is slow to make is refreshed early, by chance, in one flight, and no reader waits', async () => {
    const chance = { value: 0 }
    const { read, origin, clock } = setup({ random: () => chance.value })
    origin.load = async () => {
      clock.pass(500)
      return rows('v1')
    }
    await read()
    clock.pass(lifetime.fresh - 500 - 600)
    chance.value = 0.5 // -500 ln 0.5 = 346 ms: not yet
    expect((await read()).state).toBe('fresh')
    expect(origin.asked).toBe(1)
    chance.value = 0.1 // -500 ln 0.1 = 1151 ms: now
    const answered = gate()
    origin.load = () => answered.opened.then(() => rows('v2'))
    const answers = await Promise.all([read(), read(), read()])
    expect(answers.map(({ state }) => state)).toEqual(['fresh', 'fresh', 'fresh'])
    answered.open()
    await settled()
    expect(text(await read())).toBe('v2')
    expect(origin.asked).toBe(2)
  })
})

describe('a stale entry of a farther tier', () => {
  test('is served at once and refreshed in the background, with one query', async () => {
    const { read, far, clock, origin } = setup()
    far.kept.set(key, foreignEntry({ readAt: clock.now() - lifetime.fresh }))
    expect(await read()).toMatchObject({ source: 'redis', state: 'stale' })
    await settled()
    expect(await read()).toMatchObject({ source: 'memory', state: 'fresh' })
    expect(origin.asked).toBe(1)
  })

  test('that another process has refreshed meanwhile is taken from there, and the origin is not asked', async () => {
    const { read, far, clock, origin } = setup()
    await read()
    clock.pass(lifetime.fresh)
    far.kept.set(key, foreignEntry({ readAt: clock.now() }))
    expect((await read()).state).toBe('stale')
    await settled()
    const answer = await read()
    expect([text(answer), answer.state]).toEqual(['far', 'fresh'])
    expect(origin.asked).toBe(1)
  })
})
