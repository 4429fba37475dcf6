import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ownBytes } from '../proxy/cache/entry.ts'
import type { Key } from '../proxy/cache/key.ts'
import { noLeases } from '../proxy/cache/lease.ts'
import { memoryTier } from '../proxy/cache/memory.ts'
import { ReadThrough } from '../proxy/cache/read-through.ts'
import { Ledger } from '../proxy/coherence/ledger.ts'
import type { Observation } from '../proxy/observation.ts'
import { type Advice, advise, type RouteFacts } from '../proxy/ops/advice.ts'
import { RefreshStats } from '../proxy/ops/refresh-stats.ts'
import { adviceInWords } from '../proxy/ops/tune.ts'
import { entryOf, ManualClock, recorder, settled } from './support.ts'

const noMemory = { maxBytes: 1, returnBytes: [] }
const minute = 60_000

/** Facts of a route whose hot keys are refreshed every `freshMs`: `compared` refreshes, of which `changed` brought other bytes. */
function facts(over: Partial<RouteFacts>): RouteFacts {
  const { freshMs = minute, compared = 0 } = over
  return {
    route: 'plans',
    freshMs,
    reads: 1_000_000,
    fills: compared,
    compared,
    changed: 0,
    meanCycleMs: freshMs,
    waitedMs: [0],
    evictions: 0,
    evictedSoon: 0,
    returned: 0,
    ...over,
  }
}

const adviceOn = (over: Partial<RouteFacts>) => advise([facts(over)], noMemory)[0] as Advice

describe('a lifetime', () => {
  test('is to be raised by one step if nothing ever changed, with the SQL that saves', () => {
    expect(adviceOn({ compared: 4120 })).toEqual({
      route: 'plans',
      kind: 'lengthen',
      text: '0 of 4,120 refreshes changed the answer; raising fresh from 1m to 15m would save 93 % of its SQL.',
      freshMs: 15 * minute,
      sqlLeft: expect.closeTo(1 / 15, 6),
    })
  })

  test('is to be raised only as far as the number of refreshes allows', () => {
    const steps = [60, 130, 400, 2000].map((compared) => adviceOn({ compared }).freshMs)
    expect(steps).toEqual([undefined, 2 * minute, 5 * minute, 15 * minute])
    expect(adviceOn({ compared: 60 })).toMatchObject({ kind: 'unmeasured', text: expect.stringContaining('too few') })
  })

  test('stays if a longer one would serve outdated answers, and if it is a day already', () => {
    expect(adviceOn({ compared: 4000, changed: 400 })).toMatchObject({
      kind: 'keep',
      text: '400 of 4,000 refreshes changed the answer; fresh 1m fits.',
    })
    expect(adviceOn({ compared: 4000, freshMs: 24 * 60 * minute }).kind).toBe('keep')
  })

  test('stays if few statements are refreshes: a longer one would save next to nothing', () => {
    expect(adviceOn({ compared: 500, fills: 10_000 })).toMatchObject({
      kind: 'keep',
      text: '0 of 500 refreshes changed the answer, but a longer fresh would save only 4 % of its SQL; the other statements are not refreshes.',
    })
  })

  test('is to be lowered if most refreshes bring other bytes, with the SQL that costs', () => {
    const { kind, freshMs, sqlLeft, text } = adviceOn({ compared: 200, changed: 150, freshMs: 10 * minute })
    expect({ kind, freshMs }).toEqual({ kind: 'shorten', freshMs: minute })
    expect(sqlLeft).toBeGreaterThan(5)
    expect(text).toMatch(
      /^150 of 200 refreshes changed the answer; its answers are outdated about \d\d % of the time\. /,
    )
    expect(text).toMatch(/Lowering fresh from 10m to 1m would reduce that to 7 %, for 10 times its SQL\./)
  })

  test('of no length fits rows that change every second: the advice is a purge', () => {
    expect(adviceOn({ compared: 200, changed: 200, freshMs: 2000 })).toMatchObject({
      kind: 'shorten',
      text: expect.stringContaining('Purge it when its rows change.'),
    })
    expect(adviceOn({ compared: 200, changed: 200, freshMs: 2000 })).not.toHaveProperty('freshMs')
  })

  test('gets no advice before there were refreshes, or if no key is read twice', () => {
    expect(adviceOn({ fills: 10, reads: 12, compared: 3 })).toMatchObject({ kind: 'unmeasured' })
    expect(adviceOn({ fills: 950, reads: 1000, compared: 3 })).toMatchObject({
      kind: 'keep',
      text: '95 % of 1,000 reads were for keys not read before; no lifetime changes that.',
    })
    expect(advise([facts({ fills: 0 })], noMemory)).toEqual([])
  })

  test('for any measurements: an advised lifetime is a round one, at most fifteen times longer, in finite numbers', () => {
    const measured = fc.record({
      freshMs: fc.constantFrom(500, 1000, minute, 10 * minute, 60 * minute, 7 * minute),
      compared: fc.nat(100_000),
      changedShare: fc.double({ min: 0, max: 1, noNaN: true }),
      waits: fc.array(fc.nat(10 * minute), { minLength: 1, maxLength: 20 }),
      otherFills: fc.nat(1000),
      reads: fc.nat(1_000_000),
    })
    fc.assert(
      fc.property(measured, ({ freshMs, compared, changedShare, waits, otherFills, reads }) => {
        const meanCycleMs = freshMs + waits.reduce((sum, ms) => sum + ms) / waits.length
        const changed = Math.floor(compared * changedShare)
        const fills = compared + otherFills
        const given = facts({ freshMs, compared, changed, fills, reads, waitedMs: waits, meanCycleMs })
        for (const advice of advise([given], noMemory)) {
          expect(advice.text).not.toMatch(/NaN|Infinity|undefined|-\d/)
          if (advice.kind === 'lengthen') {
            expect(advice.freshMs).toBeGreaterThanOrEqual(2 * freshMs)
            expect(advice.freshMs).toBeLessThanOrEqual(15 * freshMs)
            expect(advice.sqlLeft).toBeLessThanOrEqual(0.9)
            expect(advice.sqlLeft).toBeGreaterThan(0)
          }
          if (advice.kind === 'shorten' && advice.freshMs !== undefined) {
            expect(advice.freshMs).toBeLessThan(freshMs)
            expect(advice.sqlLeft).toBeGreaterThanOrEqual(1)
          }
        }
      }),
    )
  })
})

/** Random numbers between 0 and 1, the same for the same seed (mulberry32). */
function randomFrom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

interface Workload {
  keys: number
  readsASecond: number
  /** Of each key. */
  changesASecond: number
  freshMs: number
  seconds: number
}

/**
 * Simulates a route: keys of Zipf popularity, random reads and changes, each key refreshed by the first read after its lifetime. Returns
 * the facts that would have been observed.
 */
function simulate({ keys, readsASecond, changesASecond, freshMs, seconds }: Workload, seed = 1) {
  const random = randomFrom(seed)
  const wait = (aSecond: number) => (-Math.log(1 - random()) / aSecond) * 1000
  const clock = new ManualClock(0)
  const refreshStats = new RefreshStats(clock)
  const harmonic = Array.from({ length: keys }, (_, i) => 1 / (i + 1)).reduce((sum, share) => sum + share)
  let reads = 0
  const filled: Extract<Observation, { kind: 'filled' }>[] = []
  for (let i = 0; i < keys; i += 1) {
    const rate = readsASecond / (i + 1) / harmonic
    const endMs = seconds * 1000
    let readAt: number | undefined
    let freshFor = 0
    let changeAt = wait(changesASecond)
    for (let now = wait(rate); now < endMs; ) {
      reads += 1
      if (readAt === undefined || now - readAt >= freshFor) {
        const isSame = changeAt > now
        while (changeAt <= now) changeAt += wait(changesASecond)
        const before = readAt === undefined ? {} : { before: { readAt, isSame, waitedMs: now - readAt - freshFor } }
        filled.push({
          kind: 'filled',
          route: 'plans',
          key: `plans@1?i=${i}`,
          readAt: now,
          seconds: 0,
          freshMs,
          ...before,
        })
        readAt = now
        freshFor = freshMs * (1 - 0.1 * random())
      }
      // Only the next read that can refresh: all reads before it are hits.
      const next = now + wait(rate)
      const skipped = Math.max(next, readAt + freshFor)
      reads += Math.floor(((skipped - next) / 1000) * rate)
      now = skipped === next ? next : skipped + wait(rate)
    }
  }
  for (const fact of filled.sort((a, b) => a.readAt - b.readAt)) refreshStats.observe(fact)
  return { fills: filled.length, facts: refreshStats.routes(() => reads) }
}

describe('the forecast', () => {
  const foretold = (workload: Workload) => {
    const now = simulate(workload)
    const [advice] = advise(now.facts, noMemory)
    const then = simulate({ ...workload, freshMs: advice?.freshMs ?? workload.freshMs }, 2)
    return { advice, sqlLeft: then.fills / now.fills, after: then.facts[0] as RouteFacts }
  }

  test.each([
    ['a few hot keys', { keys: 10, readsASecond: 1000, freshMs: minute, seconds: 18_000 }],
    ['many keys, most of them cold', { keys: 300, readsASecond: 6, freshMs: minute, seconds: 7200 }],
    ['keys asked for about once a lifetime', { keys: 50, readsASecond: 1, freshMs: minute, seconds: 18_000 }],
    ['a short lifetime', { keys: 20, readsASecond: 20, freshMs: 1000, seconds: 600 }],
  ])('of %s that never change comes true: the SQL left is what was said, within six points', (_name, workload) => {
    const { advice, sqlLeft } = foretold({ ...workload, changesASecond: 1e-9 })
    expect(advice).toMatchObject({ kind: 'lengthen', freshMs: workload.freshMs * 15 })
    expect(Math.abs((advice?.sqlLeft as number) - sqlLeft)).toBeLessThan(0.06)
  })

  test('for a route that changes: at the longer lifetime hardly more than one refresh in twenty finds a change', () => {
    // Every key changes every two hours; three minutes are one fortieth of that.
    const workload = { keys: 20, readsASecond: 100, changesASecond: 1 / 7200, freshMs: minute, seconds: 36_000 }
    const { advice, after, sqlLeft } = foretold(workload)
    expect(advice?.kind).toBe('lengthen')
    expect(after.changed / after.compared).toBeLessThan(0.06)
    expect(Math.abs((advice?.sqlLeft as number) - sqlLeft)).toBeLessThan(0.06)
  })

  test('for a route that changes all the time: the cost of a shorter lifetime comes true within a tenth', () => {
    const workload = { keys: 20, readsASecond: 200, changesASecond: 1 / 300, freshMs: 10 * minute, seconds: 36_000 }
    const { advice, sqlLeft } = foretold(workload)
    expect(advice?.kind).toBe('shorten')
    expect([minute / 2, minute]).toContain(advice?.freshMs)
    expect((advice?.sqlLeft as number) / sqlLeft).toBeGreaterThan(0.9)
    expect((advice?.sqlLeft as number) / sqlLeft).toBeLessThan(1.1)
  })

  test('twin: a forecast that counts each fill as a refresh of a hot key would be far off for cold ones', () => {
    const workload = { keys: 100, readsASecond: 0.2, changesASecond: 1e-9, freshMs: minute, seconds: 36_000 }
    const { sqlLeft } = foretold(workload)
    expect(Math.abs(1 / 15 - sqlLeft)).toBeGreaterThan(0.2)
  })

  test('for any workload is within a tenth of the simulated result', () => {
    const workloads = fc.record({
      keys: fc.integer({ min: 5, max: 50 }),
      readsASecond: fc.double({ min: 1, max: 500, noNaN: true }),
      changesASecond: fc.constantFrom(1e-9, 1 / 36_000, 1 / 7200),
      freshMs: fc.constantFrom(10_000, minute, 5 * minute),
      seconds: fc.constant(7200),
    })
    fc.assert(
      fc.property(workloads, (workload) => {
        const { advice, sqlLeft } = foretold(workload)
        if (advice?.kind !== 'lengthen') return
        expect(Math.abs((advice.sqlLeft as number) - sqlLeft)).toBeLessThan(0.1)
      }),
      { numRuns: 8 },
    )
  })
})

describe('memory', () => {
  const bytesEach = 10_000
  const body = ownBytes('x'.repeat(bytesEach))

  /** Simulates `reads` of a route with a memory tier of `maxBytes`. */
  function run(maxBytes: number, keys: number, reads: number) {
    const random = randomFrom(7)
    const clock = new ManualClock(0)
    const refreshStats = new RefreshStats(clock)
    const memory = memoryTier(maxBytes, refreshStats.observe)
    let fills = 0
    for (let i = 0; i < reads; i += 1) {
      clock.pass(1)
      // Half of the reads go to a tenth of the keys.
      const key = `stats@1?i=${Math.floor(random() * keys * (random() < 0.5 ? 0.1 : 1))}` as Key
      if (memory.get(key) !== undefined) continue
      fills += 1
      const readAt = clock.now()
      refreshStats.observe({ kind: 'filled', route: 'stats', key, readAt, seconds: 0, freshMs: 60 * minute })
      memory.set(key, entryOf(body, { readAt }))
    }
    return {
      fills,
      advice: advise(
        refreshStats.routes(() => reads),
        refreshStats.memory(maxBytes),
      ),
    }
  }

  test('that is too small is reported with the missing bytes, and the forecast saving comes true', () => {
    const maxBytes = 10 * 1024 ** 2
    const now = run(maxBytes, 2500, 20_000)
    const [advice] = now.advice
    expect(advice).toMatchObject({ kind: 'memory', route: 'stats' })
    expect(advice?.text).toMatch(
      /^\d+ % of its evictions came within 10 s of the fill, and \d+ % of its SQL read evicted entries again that were still fresh\. memory\.maxBytes \(10MiB\) is about \d+MiB too small; with that, \d+ % of all SQL would be saved\.$/,
    )
    const then = run(maxBytes + (advice?.moreBytes as number), 2500, 20_000)
    const saved = 1 - then.fills / now.fills
    expect(Math.abs(saved - (advice?.saved as number))).toBeLessThan(0.12)
    // The advice must not exceed the data: all keys together are 24 MiB.
    expect(maxBytes + (advice?.moreBytes as number)).toBeLessThan(2 * 2500 * bytesEach)
  })

  test('that holds every key gets no advice', () => {
    expect(run(100 * 1024 ** 2, 2500, 10_000).advice.map(({ kind }) => kind)).not.toContain('memory')
  })

  test('is not too small because of keys that are never read again', () => {
    const clock = new ManualClock(0)
    const refreshStats = new RefreshStats(clock)
    const memory = memoryTier(1024 ** 2, refreshStats.observe)
    for (let i = 0; i < 5000; i += 1) {
      clock.pass(1)
      const key = `stats@1?i=${i}` as Key
      refreshStats.observe({ kind: 'filled', route: 'stats', key, readAt: clock.now(), seconds: 0, freshMs: minute })
      memory.set(key, entryOf(body, { readAt: clock.now() }))
    }
    const [facts] = refreshStats.routes(() => 5000)
    expect(facts?.evictedSoon).toBeGreaterThan(4000)
    expect(advise([facts as RouteFacts], refreshStats.memory(1024 ** 2)).map(({ kind }) => kind)).toEqual(['keep'])
  })
})

describe('a measurement', () => {
  const key = 'plans@1?county=51059' as Key
  const lifetime = { fresh: minute, stale: 10 * minute, staleIfError: 60 * minute, negative: 10_000 }

  function setup() {
    const clock = new ManualClock()
    const refreshStats = new RefreshStats(clock)
    const { observe } = recorder()
    const ledger = new Ledger()
    const memory = memoryTier(1024 ** 2, observe)
    const timing = {
      clock,
      random: () => 0,
      softMs: 150,
      deadlineMs: 3000,
      reached: async () => false,
      mayRefresh: () => true,
    }
    const parts = { memory, farther: [], leases: noLeases, ledger, observe: refreshStats.observe, ...timing }
    const cache = new ReadThrough(parts)
    const load = { json: 'v1' }
    const read = async () => {
      await cache.read({ key, route: 'plans', tags: () => ['t'], lifetime, load: async () => ({ ...load, rows: 1 }) })
      await settled()
    }
    return { clock, refreshStats, ledger, load, read, facts: () => refreshStats.routes(() => 0)[0] as RouteFacts }
  }

  test('is made at each refresh that replaces an entry: whether the bytes changed, and the age of the old entry', async () => {
    const { clock, load, read, facts } = setup()
    await read()
    expect(facts()).toMatchObject({ fills: 1, compared: 0 })
    clock.pass(minute)
    await read()
    clock.pass(2 * minute)
    load.json = 'v2'
    await read()
    expect(facts()).toMatchObject({ fills: 3, compared: 2, changed: 1, freshMs: minute, meanCycleMs: 1.5 * minute })
    expect(facts().waitedMs).toEqual([0, minute])
  })

  test.each([false, true])(
    'is not made after an invalidation (soft: %s): that refresh does not depend on the lifetime',
    async (soft) => {
      const { clock, load, read, facts, ledger } = setup()
      await read()
      clock.pass(1000)
      load.json = 'v2'
      ledger.applyHere({ tags: ['t'], soft, cause: 'change' }, clock.now())
      await read()
      expect(facts()).toMatchObject({ fills: 2, compared: 0, changed: 0 })
    },
  )

  test('starts again for a route that a reload has changed', async () => {
    const { refreshStats, read } = setup()
    await read()
    refreshStats.observe({ kind: 'config-reloaded', routes: 2, changed: ['other'] })
    expect(refreshStats.routes(() => 0)).toHaveLength(1)
    refreshStats.observe({ kind: 'config-reloaded', routes: 2, changed: ['plans'] })
    expect(refreshStats.routes(() => 0)).toEqual([])
  })
})

describe('the output for the terminal', () => {
  test('lists changes first, then routes that need none, then routes with too few measurements', () => {
    const one = (kind: Advice['kind'], route: string): Advice => ({ kind, route, text: `text of ${kind}.` })
    const all = [one('keep', 'a'), one('unmeasured', 'b'), one('lengthen', 'c'), one('memory', 'd')]
    expect(adviceInWords(all, 60).split('\n')).toEqual([
      'To do:',
      '  c: text of lengthen.',
      '  d: text of memory.',
      '',
      'No change needed:',
      '  a: text of keep.',
      '',
      'Too few measurements:',
      '  b: text of unmeasured.',
    ])
    expect(adviceInWords([one('keep', 'a')], 60)).toMatch(/^Nothing to do\.\n/)
    expect(adviceInWords([], 12.4)).toBe('No measurements in the 12 s since the start: no route has read the database.')
  })
})
