import { describe, expect, test } from 'vitest'
import { type Entry, etagOf, ownBytes } from '../proxy/cache/entry.ts'
import type { Key } from '../proxy/cache/key.ts'
import { type Lease, type Leases, noLeases } from '../proxy/cache/lease.ts'
import { memoryTier } from '../proxy/cache/memory.ts'
import { type Answer, type Loaded, type Read, ReadThrough } from '../proxy/cache/read-through.ts'
import type { Tier } from '../proxy/cache/tier.ts'
import { Variants } from '../proxy/cache/variants.ts'
import { Ledger } from '../proxy/coherence/ledger.ts'
import { Problem } from '../proxy/errors.ts'
import { gate, ManualClock, recorder, settled } from './support.ts'

const key = 'plans@1?county=51059' as Key
const lifetime = { fresh: 60_000, stale: 600_000, staleIfError: 3_600_000, negative: 10_000 }

/** A far tier of plain objects, that remembers what it was asked. */
function farTier() {
  const kept = new Map<Key, Entry>()
  const asked: string[] = []
  const tier: Tier = {
    name: 'redis',
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

function setup({ random = () => 0.999_999, leases = noLeases }: { random?: () => number; leases?: Leases } = {}) {
  const clock = new ManualClock()
  const seen = recorder()
  const ledger = new Ledger()
  ledger.head = 'head-1'
  const memory = memoryTier(1024 ** 2, seen.observe)
  const far = farTier()
  const cache = new ReadThrough({
    memory,
    farther: [far.tier],
    leases,
    ledger,
    variants: new Variants(memory, seen.observe),
    clock,
    observe: seen.observe,
    random,
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
  const held = (over: Partial<Read> = {}): Answer | undefined => cache.held(asks(over))
  // As coherence/purge does it: the ledger, then a new head.
  const purge = (tags: string[], soft = false) => {
    const position = ledger.apply({ tags, soft }, clock.now())
    if (!soft) ledger.head = `head-${position + 1}`
  }
  return { clock, seen, ledger, memory, far, cache, origin, read, held, purge }
}

const rows = (text: string, n = 1): Loaded => ({ json: text, rows: n })
const text = ({ entry }: Answer) => entry.body.toString()

/** An entry as another process would have left it in the far tier. */
function foreignEntry(over: Partial<Entry> & { readAt: number }): Entry {
  const body = ownBytes('far')
  return {
    body,
    rows: 1,
    tags: ['route:plans'],
    stamp: { seq: 0, head: 'head-1' },
    fillMs: 1,
    jitter: 0,
    etag: etagOf(body),
    ...over,
  }
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

  test('what a farther tier has is served without asking the origin, and found in memory from then on', async () => {
    const { read, origin, far, clock } = setup()
    far.kept.set(key, foreignEntry({ readAt: clock.now() - 5000 }))
    expect(await read()).toMatchObject({ source: 'redis', state: 'fresh', ageMs: 5000 })
    expect(await read()).toMatchObject({ source: 'memory', state: 'fresh', ageMs: 5000 })
    expect([origin.asked, far.asked]).toEqual([0, ['get']])
  })

  test('at the end of fresh an answer is stale; one millisecond before it is not', async () => {
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

  test('a lifetime changed in the configuration judges entries already held', async () => {
    const { read, clock } = setup()
    await read()
    clock.pass(30_000)
    expect((await read({ lifetime: { ...lifetime, fresh: 20_000 } })).state).toBe('stale')
    expect((await read({ lifetime: { ...lifetime, fresh: 40_000 } })).state).toBe('fresh')
  })

  test('dead is never served: past stale a reader waits for the origin', async () => {
    const { read, clock, origin } = setup()
    await read()
    origin.load = async () => rows('v2')
    clock.pass(lifetime.fresh + lifetime.stale)
    const answer = await read()
    expect(answer).toMatchObject({ source: 'origin', forwarded: 'stale' })
    expect(text(answer)).toBe('v2')
  })
})

describe('what memory holds', () => {
  test('is given at once while it may be served, and nobody else is asked', async () => {
    const { read, held, clock, origin, far } = setup()
    expect(held()).toBeUndefined()
    await read()
    clock.pass(5000)
    expect(held()).toEqual(await read())
    expect(held({ maxAgeMs: 5000 })).toBeUndefined()
    expect([origin.asked, far.asked]).toEqual([1, ['get', 'set']])
  })

  test('is given once it is stale, with one refresh behind', async () => {
    const { read, held, clock, origin } = setup()
    await read()
    clock.pass(lifetime.fresh)
    expect([held()?.state, held()?.state]).toEqual(['stale', 'stale'])
    await settled()
    expect([held()?.state, origin.asked]).toEqual(['fresh', 2])
  })

  test('is not given when it is dead, or invalidated: whoever reads then waits', async () => {
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

  test('a thousand readers of a stale key make one query, and none waits for it', async () => {
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

  test('a failure goes to everyone who waited, and is not kept', async () => {
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
  test('nothing found is kept for its own lifetime, and then asked again in the foreground', async () => {
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
  test('an answer past stale is served, labelled, as long as staleIfError says; then the failure is', async () => {
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

  test('a failed try is not repeated for a second while there is something to serve', async () => {
    const { read, origin, clock } = setup()
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

  test('an origin that hangs costs a reader with a fallback its deadline, no error', async () => {
    const { read, origin, clock } = setup()
    await read()
    origin.load = () => new Promise(() => {})
    clock.pass(lifetime.fresh + lifetime.stale)
    const reading = read()
    await settled()
    clock.pass(3000)
    expect(await reading).toMatchObject({ source: 'memory', state: 'stale', forwarded: 'stale' })
  })

  test('an old answer of a farther tier is the fallback where memory has none', async () => {
    const { read, origin, far, clock } = setup()
    far.kept.set(key, foreignEntry({ readAt: clock.now() - lifetime.fresh - lifetime.stale }))
    origin.load = () => Promise.reject(new Problem('origin-unavailable', 'gone'))
    expect(await read()).toMatchObject({ source: 'redis', state: 'stale', forwarded: 'stale' })
    expect(await read()).toMatchObject({ source: 'memory', state: 'stale' })
    expect(origin.asked).toBe(1)
  })

  test('what was purged is no fallback', async () => {
    const { read, origin, purge } = setup()
    await read()
    purge(['table:plans'])
    origin.load = () => Promise.reject(new Problem('origin-unavailable', 'gone'))
    await expect(read()).rejects.toMatchObject({ code: 'origin-unavailable' })
  })
})

describe('a reader that wants nothing older', () => {
  const maxAgeMs = 10_000

  test('gets what is younger from memory, and has the origin asked for what is not', async () => {
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

  test('hammering, has the origin asked once an interval, and disturbs nobody else', async () => {
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

  test('takes from a farther tier what is young enough, and nothing else', async () => {
    const { read, origin, far, clock } = setup()
    far.kept.set(key, foreignEntry({ readAt: clock.now() - maxAgeMs + 1 }))
    expect(await read({ maxAgeMs })).toMatchObject({ source: 'redis', state: 'fresh' })
    const other = setup()
    other.far.kept.set(key, foreignEntry({ readAt: other.clock.now() - maxAgeMs }))
    expect(await other.read({ maxAgeMs })).toMatchObject({ source: 'origin', forwarded: 'request' })
    expect([origin.asked, other.origin.asked]).toEqual([0, 1])
  })

  test('does not put up with the flight of one that is content with less', async () => {
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

  test('gets what there is when the origin fails', async () => {
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

describe('one fill over all processes', () => {
  /** A lease whose holder is this process, another, or has failed, as the test says. */
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

  test('who leads asks, and gives the lease back', async () => {
    const { leases, released, read, origin } = leasing()
    leases.state = 'led'
    expect(await read()).toMatchObject({ source: 'origin', stored: true })
    expect([origin.asked, released]).toEqual([1, ['done']])
  })

  test('who does not, waits until the other has kept it, with pauses that grow', async () => {
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

  test('where a tier has just failed, nobody asks it for a lease, nor once more for the entry', async () => {
    const { leases, read, origin, far } = leasing()
    leases.isUsable = false
    expect(await read()).toMatchObject({ source: 'origin' })
    expect([origin.asked, leases.taken, far.asked]).toEqual([1, 0, ['get', 'set']])
  })

  test('a holder that dies leaves the lease to the next', async () => {
    const { leases, released, read, origin, clock } = leasing()
    const reading = read()
    await settled()
    await pass(clock, 50)
    leases.state = 'led' // it has expired, and is taken
    await pass(clock, 100)
    expect(await reading).toMatchObject({ source: 'origin' })
    expect([origin.asked, released]).toEqual([1, ['done']])
  })

  test('when it has waited as long as any reader does, it asks all the same, for those to come', async () => {
    const { read, origin, clock } = leasing()
    const reading = read().catch((error) => error.code)
    await settled()
    await pass(clock, 2900)
    expect(origin.asked).toBe(0)
    await pass(clock, 300)
    expect([await reading, origin.asked, (await read()).source]).toEqual(['origin-timeout', 1, 'memory'])
  })

  test('a fill that has just failed elsewhere is not tried again, and a failed one is told to the others', async () => {
    const { leases, released, read, origin } = leasing()
    leases.state = 'failed'
    await expect(read()).rejects.toMatchObject({ code: 'origin-unavailable' })
    expect(origin.asked).toBe(0)
    leases.state = 'led'
    origin.load = () => Promise.reject(new Problem('origin-timeout', 'slow'))
    await expect(read()).rejects.toMatchObject({ code: 'origin-timeout' })
    expect(released).toEqual(['failed'])
  })

  test('where it has failed elsewhere, what there is is served', async () => {
    const { leases, read, clock } = leasing()
    leases.state = 'led'
    await read()
    leases.state = 'failed'
    clock.pass(lifetime.fresh + lifetime.stale)
    expect(await read()).toMatchObject({ source: 'memory', state: 'stale', forwarded: 'stale' })
  })

  test('nobody waits for another process who has something stale to serve', async () => {
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
    const { read, origin, purge, ledger } = setup()
    await read()
    purge(tags)
    ledger.head = 'head-2'
    origin.load = async () => rows('v2')
    const answer = await read()
    expect(answer).toMatchObject({ source: 'origin', forwarded: 'uri-miss' })
    expect(text(answer)).toBe('v2')
  })

  test('a purge of another tag leaves an entry alone', async () => {
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

  test('a reader who comes after an invalidation does not join the fill that began before it', async () => {
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

  test('an invalidation between the search and the SQL does not make the fill a raced one', async () => {
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

  test('soft: what is touched is served once more while it is refreshed', async () => {
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

  test('what Redis holds from before the head changed, or while the head is unknown, is not served', async () => {
    for (const head of ['head-2', undefined]) {
      const { read, far, ledger, clock, origin } = setup()
      far.kept.set(key, foreignEntry({ readAt: clock.now() }))
      ledger.head = head
      expect((await read()).source).toBe('origin')
      expect(origin.asked).toBe(1)
    }
  })

  test('an entry taken over from Redis is invalidated by what comes after, not by what came before', async () => {
    const { read, far, purge, clock } = setup()
    purge(['table:plans'])
    far.kept.set(key, foreignEntry({ readAt: clock.now(), stamp: { seq: 0, head: 'head-2' }, tags: ['table:plans'] }))
    expect((await read()).source).toBe('redis')
    expect((await read()).source).toBe('memory')
    purge(['table:plans'])
    expect((await read()).source).toBe('origin')
  })
})

describe('early refresh', () => {
  test('near its end a dear answer is refreshed by chance, in one flight, and nobody waits', async () => {
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

describe('stale in a farther tier', () => {
  test('is served at once and refreshed behind, with one query', async () => {
    const { read, far, clock, origin } = setup()
    far.kept.set(key, foreignEntry({ readAt: clock.now() - lifetime.fresh }))
    expect(await read()).toMatchObject({ source: 'redis', state: 'stale' })
    await settled()
    expect(await read()).toMatchObject({ source: 'memory', state: 'fresh' })
    expect(origin.asked).toBe(1)
  })

  test('a refresh takes what another process has refreshed meanwhile, and asks nobody', async () => {
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
