// Which keys are asked for most, sampled.
import { type Key, routeOf } from './key.ts'

/** Keys kept of a route; only far fewer of them are worth looking at. */
const kept = 64
/** About how many are noted a second, whatever is asked. */
const perSecond = 500
/** What was hot is half as hot after this many seconds. */
const halfLifeSeconds = 60

interface Sketch {
  /** `over`: the most that the count may be too high by, which is what the key had whose place it took. */
  counts: Map<Key, { count: number; over: number }>
  total: number
}

/**
 * Knows which keys of each route are asked for most, without counting each request.
 *
 * One in so many is noted, at random distances, so that no rhythm of the clients hides a key: a decrement is all that the rest
 * costs. Of a route 64 keys are kept (Space-Saving: Metwally, Agrawal and El Abbadi, 2005): one that gets more than a 64th
 * of its requests is among them.
 */
export class HotKeys {
  readonly #random: () => number
  readonly #routes = new Map<string, Sketch>()
  #every = 1
  #skip = 0
  #asked = 0
  #seconds = 0

  constructor(random: () => number) {
    this.#random = random
  }

  note(key: Key): void {
    if (this.#skip > 0) {
      this.#skip -= 1
      return
    }
    this.#skip = this.#every === 1 ? 0 : Math.floor(this.#random() * (2 * this.#every - 1))
    this.#asked += this.#every
    this.#add(key, this.#every)
  }

  /** To be called each second: chooses how many to leave out, and lets what was noted before count for less. */
  settle(): void {
    this.#every = Math.max(1, Math.round(this.#asked / perSecond))
    this.#asked = 0
    this.#seconds += 1
    if (this.#seconds % halfLifeSeconds !== 0) return
    for (const [route, sketch] of this.#routes) {
      sketch.total /= 2
      for (const known of sketch.counts.values()) {
        known.count /= 2
        known.over /= 2
      }
      if (sketch.total < 0.01) this.#routes.delete(route)
    }
  }

  /** The hottest keys of `route`, hottest first, and the share of its requests that each has at least. */
  of(route: string, most = 10): { key: Key; share: number }[] {
    const sketch = this.#routes.get(route)
    if (sketch === undefined) return []
    const share = (count: number) => Number((count / sketch.total).toPrecision(3))
    const sure = [...sketch.counts].map(([key, { count, over }]) => ({ key, share: share(count - over) }))
    return sure.sort((a, b) => b.share - a.share).slice(0, most)
  }

  #add(key: Key, weight: number): void {
    const route = routeOf(key)
    const sketch: Sketch = this.#routes.get(route) ?? { counts: new Map(), total: 0 }
    this.#routes.set(route, sketch)
    const { counts } = sketch
    sketch.total += weight
    const known = counts.get(key)
    if (known !== undefined) known.count += weight
    else counts.set(key, counts.size < kept ? { count: weight, over: 0 } : takeLeast(counts, weight))
  }
}

/** Takes the key with the least out of `counts`; what the key that comes in its place is counted as, whose weight is `weight`. */
function takeLeast(counts: Sketch['counts'], weight: number): { count: number; over: number } {
  let least: { key: Key; count: number } | undefined
  for (const [key, { count }] of counts) if (least === undefined || count < least.count) least = { key, count }
  if (least === undefined) return { count: weight, over: 0 }
  counts.delete(least.key)
  return { count: weight + least.count, over: least.count }
}
