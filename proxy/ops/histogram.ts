// Durations counted by size, and quantiles out of that: pure.
/**
 * Upper bounds of the buckets, in seconds: ten a decade (R10 of ISO 3), from 10 µs to 10 s. Fine enough for a quantile that is
 * off by a few per cent, and every coarse bucket of /metrics ends on one of them.
 */
export const bounds: readonly number[] = [
  ...[-5, -4, -3, -2, -1, 0].flatMap((exponent) =>
    [1, 1.25, 1.6, 2, 2.5, 3.15, 4, 5, 6.3, 8].map((step) => Number(`${step}e${exponent}`)),
  ),
  10,
]

/** Durations counted by size. `counts` has a bucket for each bound, and one for what is longer. */
export class Histogram {
  readonly counts = new Float64Array(bounds.length + 1)
  count = 0
  sum = 0

  add(seconds: number): void {
    let [low, high] = [0, bounds.length]
    while (low < high) {
      const middle = (low + high) >> 1
      if (seconds <= (bounds[middle] as number)) high = middle
      else low = middle + 1
    }
    ;(this.counts[low] as number) += 1
    this.count += 1
    this.sum += seconds
  }
}

/** The `q`-quantile (0 to 1) of what `counts` holds, in seconds, interpolated within its bucket; none of nothing. */
export function quantile(counts: ArrayLike<number>, q: number): number | null {
  let total = 0
  for (let i = 0; i < counts.length; i += 1) total += counts[i] as number
  if (total === 0) return null
  const rank = q * total
  let below = 0
  for (let i = 0; i < bounds.length; i += 1) {
    const inside = counts[i] as number
    if (inside > 0 && below + inside >= rank) {
      const from = i === 0 ? 0 : (bounds[i - 1] as number)
      return from + ((bounds[i] as number) - from) * ((rank - below) / inside)
    }
    below += inside
  }
  return bounds.at(-1) as number
}
