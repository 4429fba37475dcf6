// Rates, ratios and percentiles between two snapshots of the counts: pure.
import { type AnswerSource, cacheAnswers } from '../sources.ts'
import type { RouteCounts } from './counts.ts'
import { Histogram, quantile } from './histogram.ts'

/** Bucket counts of durations, by source. */
export type SourceTimes = ReadonlyMap<string, Float64Array>

/** The counts at one moment, of a route or in total. */
export interface Snapshot {
  counts: Readonly<RouteCounts>
  times: SourceTimes
}

export interface Percentiles {
  p50Seconds: number | null
  p99Seconds: number | null
}

/** The displayed figures of a route or in total: per second, or a share from 0 to 1; `null` without measurements. */
export interface Figures extends Percentiles {
  requests: number
  errors: number
  shed: number
  collapsed: number
  /** Statements sent; `queriesSaved`: further statements that would have been sent without a cache. */
  queries: number
  queriesSaved: number
  hitRatio: number | null
  errorRatio: number | null
  /** Mean age of the answers from the cache. */
  ageSeconds: number | null
  /** Percentiles by the name of each source that has answered since the start. */
  sources: Record<string, Percentiles>
  /** Under the name of a source: its answers. Under the name of a tier and `Ratio`: its share of the answers from cache and database. */
  [source: string]: number | null | Record<string, Percentiles>
}

/** Copies the counts. */
export function snapshot(counts: RouteCounts, times: ReadonlyMap<string, Histogram>): Snapshot {
  const copied = new Map<string, Float64Array>()
  for (const [source, { counts }] of times) copied.set(source, counts.slice())
  return { counts: copyOf(counts), times: copied }
}

export function copyOf(counts: RouteCounts): RouteCounts {
  return { ...counts, bySource: new Map(counts.bySource) }
}

/** Adds up the times of several routes, by source. */
export function mergeTimes(all: Iterable<SourceTimes>): SourceTimes {
  const merged = new Map<string, Float64Array>()
  for (const times of all) {
    for (const [source, counts] of times) {
      const sum = merged.get(source)
      if (sum === undefined) merged.set(source, counts.slice())
      else addTo(sum, counts)
    }
  }
  return merged
}

function sumOf(all: Iterable<Float64Array>): Float64Array {
  const sum = new Histogram().counts
  for (const counts of all) addTo(sum, counts)
  return sum
}

function addTo(sum: Float64Array, counts: Float64Array): void {
  for (const [i, count] of counts.entries()) sum[i] = (sum[i] ?? 0) + count
}

/** The figures between two snapshots taken `seconds` apart. */
export function figuresBetween(
  before: Snapshot | undefined,
  after: Snapshot,
  seconds: number,
  sources: readonly AnswerSource[],
): Figures {
  const more = (name: Exclude<keyof RouteCounts, 'audit' | 'bySource'>) =>
    after.counts[name] - (before?.counts[name] ?? 0)
  const answersOf = (source: string) =>
    (after.counts.bySource.get(source) ?? 0) - (before?.counts.bySource.get(source) ?? 0)
  const rate = (count: number) => short(count / seconds)
  const { hits, answered } = cacheAnswers(sources, answersOf)
  const times = timesBetween(before?.times, after.times)
  return {
    ...Object.fromEntries(sources.map(({ name }) => [name, rate(answersOf(name))])),
    ...Object.fromEntries(
      sources.filter(({ isHit }) => isHit).map(({ name }) => [`${name}Ratio`, ratio(answersOf(name), answered)]),
    ),
    requests: rate(more('requests')),
    errors: rate(more('errors')),
    shed: rate(more('shed')),
    collapsed: rate(more('collapsed')),
    queries: rate(more('queries')),
    queriesSaved: rate(Math.max(0, answered - more('queries'))),
    hitRatio: ratio(hits, answered),
    errorRatio: ratio(more('errors'), more('requests')),
    ageSeconds: ratio(more('ageSecondsSum'), answered),
    ...percentilesOf(sumOf(times.values())),
    sources: Object.fromEntries([...times].map(([source, counts]) => [source, percentilesOf(counts)])),
  }
}

function timesBetween(before: SourceTimes | undefined, after: SourceTimes): SourceTimes {
  const times = new Map<string, Float64Array>()
  for (const [source, counts] of after) {
    const past = before?.get(source)
    times.set(
      source,
      counts.map((count, i) => count - (past?.[i] ?? 0)),
    )
  }
  return times
}

function percentilesOf(counts: Float64Array): Percentiles {
  return { p50Seconds: shortOrNull(quantile(counts, 0.5)), p99Seconds: shortOrNull(quantile(counts, 0.99)) }
}

function ratio(part: number, whole: number): number | null {
  return whole > 0 ? short(part / whole) : null
}

/** Rounds to four digits, the precision that the buckets support. */
function short(value: number): number {
  return Number(value.toPrecision(4))
}

function shortOrNull(value: number | null): number | null {
  return value === null ? null : short(value)
}
