// A histogram of durations, and its quantiles: pure.
/** The largest bound, in seconds. */
const longest = 10
/**
 * Upper bounds of the buckets, in seconds: ten a decade (R10 of ISO 3), from 10 µs to 10 s. A quantile is then off by a few percent, and
 * every coarse bucket of /metrics ends on one of these bounds.
 */
export const bounds: readonly number[] = [
  ...[-5, -4, -3, -2, -1, 0].flatMap((exponent) =>
    [1, 1.25, 1.6, 2, 2.5, 3.15, 4, 5, 6.3, 8].map((step) => Number(`${step}e${exponent}`)),
  ),
  longest,
]

/** Counts durations in buckets: `counts` has one bucket for each bound, and a last one for longer durations. */
export class Histogram {
  readonly counts = new Float64Array(bounds.length + 1)
  count = 0
  sum = 0

  add(seconds: number): void {
    let [low, high] = [0, bounds.length]
    while (low < high) {
      const middle = (low + high) >> 1
      if (seconds <= (bounds[middle] ?? longest)) high = middle
      else low = middle + 1
    }
    this.counts[low] = (this.counts[low] ?? 0) + 1
    this.count += 1
    this.sum += seconds
  }
}

/** The `q`-quantile (0 to 1) of `counts`, in seconds, interpolated within its bucket; null without a duration. */
export function quantile(counts: Float64Array, q: number): number | null {
  let total = 0
  for (const count of counts) total += count
  if (total === 0) return null
  const rank = q * total
  let below = 0
  let from = 0
  for (const [i, bound] of bounds.entries()) {
    const inside = counts[i] ?? 0
    if (inside > 0 && below + inside >= rank) return from + (bound - from) * ((rank - below) / inside)
    below += inside
    from = bound
  }
  return longest
}
