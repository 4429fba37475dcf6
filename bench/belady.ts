/** One request of a trace: what is asked for, and how many bytes it takes to keep. */
export interface Asked {
  key: string
  bytes: number
}

/**
 * How many requests of `trace` could be hits at best with `maxBytes`: whatever is needed furthest in the future makes room, and what is
 * needed later than all that is held is not kept (Belady 1966). The optimum where all are of one size; where they differ, finding
 * it is NP-hard, and this is as near as a known rule comes.
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
      // Its next use has been and gone: another note of it is in the heap.
      if (entry === undefined || entry.next !== furthest.next) continue
      held.delete(furthest.key)
      used -= entry.bytes
    }
  }
  return hits
}

/** A binary heap, the furthest next use on top. */
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
