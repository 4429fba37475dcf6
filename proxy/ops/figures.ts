// What happened between two looks at the counts: pure.
import type { Source } from '../observation.ts'
import { type Histogram, quantile } from './histogram.ts'
import type { RouteCounts } from './metrics.ts'

/** What had been counted at some moment, of a route or of all. */
export interface Snapshot {
  counts: Readonly<RouteCounts>
  times: Readonly<Partial<Record<Source, Float64Array>>>
}

/** What people look at, of a route or of all: a second, or a share from 0 to 1; `null` where nothing was to be measured. */
export interface Figures {
  requests: number
  memory: number
  redis: number
  origin: number
  upstream: number
  none: number
  errors: number
  shed: number
  collapsed: number
  /** Statements sent, and statements that would have been sent without a cache, beside those. */
  queries: number
  queriesSaved: number
  hitRatio: number | null
  memoryRatio: number | null
  redisRatio: number | null
  errorRatio: number | null
  /** Of what the cache answered, on average. */
  ageSeconds: number | null
  p50Seconds: number | null
  p99Seconds: number | null
  sources: Partial<Record<Source, { p50Seconds: number | null; p99Seconds: number | null }>>
}

/** Copies what has been counted so far. */
export function snapshot(counts: RouteCounts, times: Partial<Record<Source, Histogram>>): Snapshot {
  const copied: Partial<Record<Source, Float64Array>> = {}
  for (const source in times) copied[source as Source] = (times[source as Source] as Histogram).counts.slice()
  return { counts: { ...counts }, times: copied }
}

/** The times of several routes as those of one. */
export function together(all: Iterable<Snapshot['times']>): Snapshot['times'] {
  const sum: Partial<Record<Source, Float64Array>> = {}
  for (const times of all) {
    for (const source in times) addTo(sum, source as Source, times[source as Source] as Float64Array)
  }
  return sum
}

function addTo(sum: Partial<Record<Source, Float64Array>>, source: Source, counts: Float64Array): void {
  const into = sum[source]
  if (into === undefined) sum[source] = counts.slice()
  else for (let i = 0; i < into.length; i += 1) (into[i] as number) += counts[i] as number
}

/** What happened between two snapshots that lie `seconds` apart. */
export function figuresBetween(before: Snapshot | undefined, after: Snapshot, seconds: number): Figures {
  const more = (name: Exclude<keyof RouteCounts, 'audit'>) => after.counts[name] - (before?.counts[name] ?? 0)
  const rate = (count: number) => short(count / seconds)
  const ratio = (part: number, whole: number) => (whole > 0 ? short(part / whole) : null)
  const [memory, redis, origin] = [more('memory'), more('redis'), more('origin')]
  const answered = memory + redis + origin
  const all: Partial<Record<Source, Float64Array>> = {}
  const sources: Figures['sources'] = {}
  for (const name in after.times) {
    const source = name as Source
    const past = before?.times[source]
    const counts = (after.times[source] as Float64Array).map((count, i) => count - (past?.[i] ?? 0))
    sources[source] = {
      p50Seconds: shortOrNull(quantile(counts, 0.5)),
      p99Seconds: shortOrNull(quantile(counts, 0.99)),
    }
    addTo(all, 'none', counts)
  }
  const whole = all.none ?? []
  return {
    requests: rate(more('requests')),
    memory: rate(memory),
    redis: rate(redis),
    origin: rate(origin),
    upstream: rate(more('upstream')),
    none: rate(more('none')),
    errors: rate(more('errors')),
    shed: rate(more('shed')),
    collapsed: rate(more('collapsed')),
    queries: rate(more('queries')),
    queriesSaved: rate(Math.max(0, answered - more('queries'))),
    hitRatio: ratio(memory + redis, answered),
    memoryRatio: ratio(memory, answered),
    redisRatio: ratio(redis, answered),
    errorRatio: ratio(more('errors'), more('requests')),
    ageSeconds: ratio(more('ageSecondsSum'), answered),
    p50Seconds: shortOrNull(quantile(whole, 0.5)),
    p99Seconds: shortOrNull(quantile(whole, 0.99)),
    sources,
  }
}

/** Four digits are as many as anybody reads, and as the buckets are good for. */
function short(value: number): number {
  return Number(value.toPrecision(4))
}

function shortOrNull(value: number | null): number | null {
  return value === null ? null : short(value)
}
