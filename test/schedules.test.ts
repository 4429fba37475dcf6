import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Answer, Read } from '../proxy/cache/answer.ts'
import type { Entry } from '../proxy/cache/entry.ts'
import type { Key } from '../proxy/cache/key.ts'
import { noLeases } from '../proxy/cache/lease.ts'
import { memoryTier } from '../proxy/cache/memory.ts'
import { ReadThrough } from '../proxy/cache/read-through.ts'
import type { Tier } from '../proxy/cache/tier.ts'
import { Ledger } from '../proxy/coherence/ledger.ts'
import { Problem } from '../proxy/errors.ts'
import { ManualClock, nextEvent } from './support.ts'

/* Readers, failures, invalidations and time in any possible order: at each wait, fast-check chooses the next event. */

type Step =
  | { kind: 'read'; key: Key }
  | { kind: 'change'; key: Key }
  | { kind: 'pass'; ms: number }
  | { kind: 'turn'; isFailing: boolean }

const keys = ['a', 'b'] as Key[]
const aKey = fc.constantFrom(...keys)
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    { arbitrary: fc.record({ kind: fc.constant('read' as const), key: aKey }), weight: 5 },
    { arbitrary: fc.record({ kind: fc.constant('change' as const), key: aKey }), weight: 2 },
    // Past the soft timeout, fresh, stale, the deadline of a reader.
    {
      arbitrary: fc.record({ kind: fc.constant('pass' as const), ms: fc.constantFrom(1, 60, 350, 1100, 2500) }),
      weight: 2,
    },
    { arbitrary: fc.record({ kind: fc.constant('turn' as const), isFailing: fc.boolean() }), weight: 1 },
  ),
  { minLength: 4, maxLength: 25 },
)

const deadlineMs = 300

interface Played {
  reads: { floor: number; outcome?: { answer: Answer } | { error: unknown } }[]
  /** Statements that ran beside another for the same key, though neither a change nor the deadline lay between their flights. */
  doubled: number
  flights: number
  timers: number
}

/** Plays `script` in the order of `scheduler`. The database counts the changes of each key; each change is invalidated at once. */
async function play(scheduler: fc.Scheduler, script: readonly Step[], ledger = new Ledger()): Promise<Played> {
  const clock = new ManualClock()
  const database = new Map<Key, number>(keys.map((key) => [key, 0]))
  const kept = new Map<Key, Entry>()
  const wait = (label: string) => scheduler.schedule(Promise.resolve(), label)
  const far: Tier = {
    name: 'redis',
    label: 'Redis',
    async get(key) {
      await wait(`get ${key}`)
      return kept.get(key)
    },
    async set(key, entry) {
      await wait(`set ${key}`)
      kept.set(key, entry)
      return true
    },
  }
  ledger.join({ pos: 0, id: 'start' })
  const observe = () => {}
  const memory = memoryTier(1024 ** 2, observe)
  const cache = new ReadThrough({
    memory,
    farther: [far],
    leases: noLeases,
    ledger,
    clock,
    observe,
    random: () => 0.5,
    softMs: 50,
    reached: async () => false,
    mayRefresh: () => true,
    deadlineMs,
  })
  const underWay: { key: Key; seq: number; began: number }[] = []
  const played: Played = { reads: [], doubled: 0, flights: 0, timers: 0 }
  let isFailing = false

  function readOf(key: Key): Read {
    let [seq, began] = [0, 0]
    return {
      key,
      route: 'r',
      tags() {
        ;[seq, began] = [ledger.stamp().seq, clock.now()] // called when a flight begins
        return [`tag:${key}`]
      },
      lifetime: { fresh: 1000, stale: 1000, staleIfError: 10_000, negative: 100 },
      async load(sent) {
        const own = { key, seq, began }
        const couldJoin = (other: typeof own) =>
          other.key === key && other.seq === seq && Math.abs(began - other.began) < deadlineMs
        if (underWay.some(couldJoin)) played.doubled += 1
        underWay.push(own)
        try {
          await wait(`turn of ${key}`)
          sent()
          await wait(`snapshot for ${key}`)
          const found = database.get(key) as number
          const fails = isFailing
          await wait(`answer for ${key}`)
          if (fails) throw new Problem('origin-unavailable', 'gone')
          return { json: String(found), rows: 1 }
        } finally {
          underWay.splice(underWay.indexOf(own), 1)
        }
      },
    }
  }

  function take(step: Step): void {
    switch (step.kind) {
      case 'read': {
        const read: Played['reads'][number] = { floor: database.get(step.key) as number }
        played.reads.push(read)
        cache.read(readOf(step.key)).then(
          (answer) => {
            read.outcome = { answer }
          },
          (error) => {
            read.outcome = { error }
          },
        )
        return
      }
      case 'change': {
        database.set(step.key, (database.get(step.key) as number) + 1)
        const change = { tags: [`tag:${step.key}`], soft: false, cause: 'change' } as const
        ledger.apply(nextEvent(ledger.position, change), clock.now())
        return
      }
      case 'pass':
        clock.pass(step.ms)
        return
      case 'turn':
        isFailing = step.isFailing
        return
      default:
        step satisfies never
    }
  }

  scheduler.scheduleSequence(script.map((step) => ({ label: JSON.stringify(step), builder: async () => take(step) })))
  await scheduler.waitIdle()
  played.flights = cache.flights
  played.timers = clock.timers
  return played
}

const changesIn = ({ entry }: Answer) => Number(entry.body.toString())
const isTooOld = ({ floor, outcome }: Played['reads'][number]) =>
  outcome !== undefined && 'answer' in outcome && changesIn(outcome.answer) < floor

describe('in any order of events', () => {
  test('every reader gets an answer or an error, none older than an invalidation before it; one flight a key, none left over', async () => {
    await fc.assert(
      fc.asyncProperty(fc.scheduler(), steps, async (scheduler, script) => {
        const { reads, doubled, flights, timers } = await play(scheduler, script)
        expect(reads.filter(({ outcome }) => outcome === undefined)).toEqual([])
        for (const { outcome } of reads)
          if (outcome && 'error' in outcome) expect(outcome.error).toBeInstanceOf(Problem)
        expect(reads.filter(isTooOld)).toEqual([])
        expect({ doubled, flights, timers }).toEqual({ doubled: 0, flights: 0, timers: 0 })
      }),
      { numRuns: 200 },
    )
  })

  test('twin: with a ledger that finds everything current, some answer is too old', async () => {
    class Credulous extends Ledger {
      override verdict() {
        return 'current' as const
      }
    }
    const details = await fc.check(
      fc.asyncProperty(fc.scheduler(), steps, async (scheduler, script) => {
        const { reads } = await play(scheduler, script, new Credulous())
        return !reads.some(isTooOld)
      }),
      { numRuns: 200, endOnFailure: true },
    )
    expect(details.failed).toBe(true)
  })
})
