/** Pseudorandom numbers in [0, 1), reproducible by seed (xorshift32: good enough for load, not for secrets). */
export function random(seed: number): () => number {
  let state = Math.imul(seed + 1, 0x9e3779b1) | 1
  const next = () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) / 2 ** 32
  }
  // The first numbers of small seeds are similar: skip them.
  for (let i = 0; i < 16; i += 1) next()
  return next
}

/** Maps a number in [0, 1) to one of `values`, by their weights. */
export function weighted<T>(values: readonly T[], weightOf: (value: T) => number): (draw: number) => T {
  const upTo = new Float64Array(values.length)
  let total = 0
  values.forEach((value, i) => {
    total += weightOf(value)
    upTo[i] = total
  })
  return (draw) => {
    const wanted = draw * total
    let [low, high] = [0, values.length - 1]
    while (low < high) {
      const middle = (low + high) >> 1
      if ((upTo[middle] as number) > wanted) high = middle
      else low = middle + 1
    }
    return values[low] as T
  }
}
