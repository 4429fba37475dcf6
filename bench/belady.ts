/** One request of a trace: its key, and the bytes that its entry takes in memory. */
export interface Asked {
  key: string
  bytes: number
}

/**
 * The most requests of `trace` that a cache of `maxBytes` could answer, if it knew the future (Belady 1966).
 *
 * It evicts the entry that is needed furthest in the future, and does not store an entry that is needed later than all cached ones. This is
 * the optimum for entries of one size. For different sizes the optimum is NP-hard, and this rule is a good approximation.
 */
export function bestHits(trace: readonly Asked[], maxBytes: number): number {
  const never = Number.MAX_SAFE_INTEGER
  const nextUse = new Float64Array(trace.length)
  const last = new Map<string, number>()
  for (let i = trace.length - 1; i >= 0; i -= 1) {
    const { key } = trace[i] as Asked
    nextUse[i] = last.get(key) ?? never
    last.set(key, i)
  }
  const held = new Map<string, { bytes: number; next: number }>()
  const heap = new FurthestFirst()
  let [used, hits] = [0, 0]
  for (let i = 0; i < trace.length; i += 1) {
    const { key, bytes } = trace[i] as Asked
    const next = nextUse[i] as number
    const kept = held.get(key)
    if (kept !== undefined) {
      hits += 1
      kept.next = next
      heap.push(key, next)
      continue
    }
    if (next === never || bytes > maxBytes) continue
    held.set(key, { bytes, next })
    heap.push(key, next)
    used += bytes
    while (used > maxBytes) {
      const furthest = heap.pop()
      const entry = held.get(furthest.key)
      // This heap entry is outdated: its next use has passed, and the heap has a newer one for the key.
      if (entry === undefined || entry.next !== furthest.next) continue
      held.delete(furthest.key)
      used -= entry.bytes
    }
  }
  return hits
}

/** A binary heap with the furthest next use on top. */
class FurthestFirst {
  #all: { key: string; next: number }[] = []

  push(key: string, next: number): void {
    const all = this.#all
    let at = all.push({ key, next }) - 1
    while (at > 0) {
      const above = (at - 1) >> 1
      if (this.#next(above) >= next) break
      this.#swap(at, above)
      at = above
    }
  }

  pop(): { key: string; next: number } {
    const all = this.#all
    const top = all[0] as { key: string; next: number }
    const last = all.pop() as { key: string; next: number }
    if (all.length === 0) return top
    all[0] = last
    for (let at = 0; ; ) {
      let furthest = at
      for (const below of [2 * at + 1, 2 * at + 2])
        if (below < all.length && this.#next(below) > this.#next(furthest)) furthest = below
      if (furthest === at) return top
      this.#swap(at, furthest)
      at = furthest
    }
  }

  #next(at: number): number {
    return (this.#all[at] as { next: number }).next
  }

  #swap(a: number, b: number): void {
    const one = this.#all[a] as { key: string; next: number }
    this.#all[a] = this.#all[b] as { key: string; next: number }
    this.#all[b] = one
  }
}
