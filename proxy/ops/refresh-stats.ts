// Measurements of refreshes and evictions, the input of the advice.
import { routeOf } from '../cache/key.ts'
import type { Clock } from '../clock.ts'
import type { FactOf, Observe } from '../observation.ts'
import { type Advice, advise, type MemoryFacts, type RouteFacts } from './advice.ts'

/** An entry evicted within this time of its reading, in milliseconds, was hardly of use. */
const soonMs = 10_000
/** Number of latest waits kept for a route, and of latest returns kept in total. */
const mostKept = 512
/** One in this many evicted keys is kept, up to `maxRemembered`: this reaches 160,000 evictions back, in a few megabytes. */
const sampleOneIn = 8
const maxRemembered = 20_000
const measureEachMs = 50

interface RouteRefreshes extends Omit<RouteFacts, 'route' | 'reads' | 'meanCycleMs' | 'waitedMs'> {
  waitedMs: LatestNumbers
  totalCycleMs: number
}

/** Collects the input of `advise` from observations: a few numbers for each route, however many keys it has. */
export class RefreshStats {
  readonly #clock: Clock
  readonly #routes = new Map<string, RouteRefreshes>()
  /** Evicted keys that have not been filled again, the oldest eviction first. */
  readonly #gone = new Map<string, { readAt: number; bytes: number }>()
  readonly #returnBytes = new LatestNumbers()
  #measureAt = Number.NEGATIVE_INFINITY

  constructor(clock: Clock) {
    this.#clock = clock
  }

  readonly observe: Observe = (fact) => {
    if (fact.kind === 'filled') this.#noteFill(fact)
    else if (fact.kind === 'evicted') this.#noteEviction(fact)
    // Measurements of the old route do not describe the changed route.
    else if (fact.kind === 'config-reloaded') for (const route of fact.changed) this.#routes.delete(route)
  }

  /** The advice from the measurements so far. `readsOf` returns the reads of a route, which are counted elsewhere. */
  advice(readsOf: (route: string) => number, maxBytes: number): Advice[] {
    return advise(this.routes(readsOf), this.memory(maxBytes))
  }

  /** The measurements so far. `readsOf` returns the reads of a route, which are counted elsewhere. */
  routes(readsOf: (route: string) => number): RouteFacts[] {
    return [...this.#routes].map(([route, { waitedMs, totalCycleMs, ...counts }]) => {
      const meanCycleMs = totalCycleMs / Math.max(1, counts.compared)
      return { ...counts, route, reads: readsOf(route), meanCycleMs, waitedMs: waitedMs.values }
    })
  }

  memory(maxBytes: number): MemoryFacts {
    return { maxBytes, returnBytes: this.#returnBytes.values }
  }

  #noteFill({ route, key, readAt, freshMs, before }: FactOf<'filled'>): void {
    const refreshes = this.#of(route)
    refreshes.freshMs = freshMs
    refreshes.fills += 1
    if (before !== undefined) {
      refreshes.compared += 1
      if (!before.isSame) refreshes.changed += 1
      refreshes.totalCycleMs += readAt - before.readAt
      refreshes.waitedMs.add(before.waitedMs)
    }
    const gone = this.#gone.get(key)
    if (gone === undefined) return
    if (readAt - gone.readAt < freshMs) {
      refreshes.returned += sampleOneIn
      this.#measureReturn(key)
    }
    this.#gone.delete(key)
  }

  /**
   * Notes the additional bytes that would have kept `key`: the bytes of `key` and of all keys evicted after it, because everything in
   * memory was used later still (Mattson's stack distance, 1970). Scans all evicted keys, so it does not run for every return.
   */
  #measureReturn(key: string): void {
    const now = this.#clock.now()
    if (now < this.#measureAt) return
    this.#measureAt = now + measureEachMs
    let bytes = 0
    let isAfter = false
    for (const [other, gone] of this.#gone) {
      isAfter ||= other === key
      if (isAfter) bytes += gone.bytes
    }
    this.#returnBytes.add(bytes * sampleOneIn)
  }

  #noteEviction({ key, bytes, readAt }: FactOf<'evicted'>): void {
    const refreshes = this.#of(routeOf(key))
    refreshes.evictions += 1
    if (this.#clock.now() - readAt < soonMs) refreshes.evictedSoon += 1
    if (hashOf(key) % sampleOneIn !== 0) return
    // Inserted again, so that the oldest eviction is the first key.
    this.#gone.delete(key)
    this.#gone.set(key, { readAt, bytes })
    if (this.#gone.size <= maxRemembered) return
    const [oldest] = this.#gone.keys()
    if (oldest !== undefined) this.#gone.delete(oldest)
  }

  #of(route: string): RouteRefreshes {
    let refreshes = this.#routes.get(route)
    if (refreshes === undefined) {
      const counts = { freshMs: 0, fills: 0, compared: 0, changed: 0, evictions: 0, evictedSoon: 0, returned: 0 }
      refreshes = { ...counts, totalCycleMs: 0, waitedMs: new LatestNumbers() }
      this.#routes.set(route, refreshes)
    }
    return refreshes
  }
}

/** The latest numbers, in no particular order. */
class LatestNumbers {
  readonly values: number[] = []
  #next = 0

  add(value: number): void {
    this.values[this.#next] = value
    this.#next = (this.#next + 1) % mostKept
  }
}

/** FNV-1a. The sample must depend on the keys only, not on the time of their evictions. */
function hashOf(text: string): number {
  let hash = 2_166_136_261
  for (let i = 0; i < text.length; i += 1) hash = Math.imul(hash ^ text.charCodeAt(i), 16_777_619)
  return hash >>> 0
}
