// Hot keys: the most requested keys of each route, by sampling.
import { type Key, routeOf } from './key.ts'

/** Keys counted for each route. Only far fewer of them are meaningful. */
const kept = 64
/** About how many requests are sampled a second, at any request rate. */
const perSecond = 500
/** Counts are halved after this many seconds. */
const halfLifeSeconds = 60

interface Sketch {
  /** `over`: the largest error of the count, which is the count of the key that this one replaced. */
  counts: Map<Key, { count: number; over: number }>
  total: number
}

/**
 * Finds the most requested keys of each route without counting each request.
 *
 * It samples requests at random distances, so that no rhythm of the clients hides a key. A request that is not sampled
 * costs one decrement. It counts 64 keys a route, by Space-Saving (Metwally, Agrawal and El Abbadi, 2005). A key with
 * more than a 64th of the route's requests is among them.
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

  /** To be called each second: adapts the sampling rate to the request rate, and halves the counts at each half-life. */
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

  /** The most requested keys of `route`, the most requested first, each with the minimum of its share of the requests. */
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

/** Removes the key with the lowest count from `counts`. Returns the count for its replacement, which has the weight `weight`. */
function takeLeast(counts: Sketch['counts'], weight: number): { count: number; over: number } {
  let least: { key: Key; count: number } | undefined
  for (const [key, { count }] of counts) if (least === undefined || count < least.count) least = { key, count }
  if (least === undefined) return { count: weight, over: 0 }
  counts.delete(least.key)
  return { count: weight + least.count, over: least.count }
}
