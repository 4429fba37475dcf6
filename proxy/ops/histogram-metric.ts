// A histogram of /metrics that shares its counts with /stats.
import type { Metric } from 'prom-client'
import { bounds, Histogram } from './histogram.ts'

interface LabelledHistogram {
  labels: Record<string, string>
  times: Histogram
}

/**
 * A histogram metric with one {@link Histogram} for each set of labels. /stats and the dashboard read the same histograms, and adding to
 * one needs no label lookup.
 */
export class HistogramMetric<Label extends string> {
  readonly #shape
  readonly #buckets: readonly number[]
  readonly #series = new Map<string, LabelledHistogram>()

  /** `buckets`, in seconds, must be among the bounds of a {@link Histogram}. */
  constructor(name: string, help: string, labelNames: readonly Label[], buckets: readonly number[]) {
    this.#shape = { name, help, labelNames, type: 'histogram', aggregator: 'sum' } as const
    this.#buckets = buckets
  }

  /** The histogram of these labels, made on first use. */
  of(labels: Record<Label, string>): Histogram {
    const key = Object.values(labels).join(' ')
    let series = this.#series.get(key)
    if (series === undefined) {
      series = { labels, times: new Histogram() }
      this.#series.set(key, series)
    }
    return series.times
  }

  /** For prom-client's registry, which reads only `name`, `get` and `reset`, but whose type demands one of its own four classes. */
  get metric(): Metric {
    const get = async () => ({ ...this.#shape, values: [...this.#series.values()].flatMap((one) => this.#values(one)) })
    return { ...this.#shape, get, reset() {} } as unknown as Metric
  }

  #values({ labels: sharedLabels, times }: LabelledHistogram) {
    const { name } = this.#shape
    let [below, next] = [0, 0]
    const upTo = (bound: number) => {
      for (; (bounds[next] ?? Number.POSITIVE_INFINITY) <= bound; next += 1) below += times.counts[next] ?? 0
      return below
    }
    const bucket = (le: number | '+Inf', value: number) => ({
      metricName: `${name}_bucket`,
      labels: { le },
      sharedLabels,
      value,
    })
    return [
      ...this.#buckets.map((le) => bucket(le, upTo(le))),
      bucket('+Inf', times.count),
      { metricName: `${name}_sum`, labels: {}, sharedLabels, value: times.sum },
      { metricName: `${name}_count`, labels: {}, sharedLabels, value: times.count },
    ]
  }
}
