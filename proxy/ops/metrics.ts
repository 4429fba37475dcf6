// Observations counted.
import { Counter, collectDefaultMetrics, Registry } from 'prom-client'
import { type FactOf, type FactTable, lookUpFact, type Observe } from '../observation.ts'
import { type Counts, noCounts, type RouteCounts } from './counts.ts'
import type { Histogram } from './histogram.ts'
import { HistogramMetric } from './histogram-metric.ts'
import { type ResponseBatch, ResponseBatches } from './response-batches.ts'

// From a memory hit (tens of microseconds) to the day everything is slow.
const responseBuckets = [0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10]
// What goes over the network takes a millisecond.
const networkBuckets = responseBuckets.filter((seconds) => seconds >= 0.001)

/**
 * Counts observations, for /metrics and for /stats. Labels hold names from the configuration and words of this program, never what a
 * client sent. What is read rather than counted is added to `registry` by `ops/gauges`.
 */
export class Metrics {
  readonly registry = new Registry()
  readonly #responses = this.#counter(
    'responses_total',
    'Responses, by where their bytes came from and what state they were in.',
    ['route', 'source', 'state', 'status'],
  )
  readonly #responseSeconds = this.#histogram<'route' | 'source'>(
    'response_seconds',
    'From the end of the request head to the response being written; of what is passed on, to the head of the answer.',
    responseBuckets,
  )
  readonly #queries = this.#counter('origin_queries_total', 'Statements sent to PostgreSQL.', ['route', 'outcome'])
  readonly #querySeconds = this.#histogram<'route'>('origin_query_seconds', 'Waiting for a connection included.')
  readonly #tierErrors = this.#counter('tier_errors_total', 'Times a tier failed, or held something odd.', [
    'tier',
    'operation',
    'reason',
  ])
  readonly #evictions = this.#counter('evictions_total', 'Entries dropped from memory for room.')
  readonly #invalidations = this.#counter('invalidations_total', 'Invalidations applied.', ['cause'])
  readonly #invalidationLag = this.#histogram<never>(
    'invalidation_lag_seconds',
    'From a commit (a heartbeat, each second), or from when a purge was asked for, to when it was applied.',
  ).of({})
  readonly #logGaps = this.#counter('log_gaps_total', 'Times something in the invalidation log may have been missed.')
  readonly #collapsed = this.#counter('collapsed_total', 'Requests that waited for the fill of another.', ['route'])
  readonly #fallbacks = this.#counter(
    'fallback_total',
    'Older answers served in place of what the database would have said.',
    ['route', 'reason'],
  )
  readonly #shed = this.#counter('shed_total', 'Work refused to stay alive.', ['route', 'reason'])
  readonly #racedFills = this.#counter(
    'raced_fills_total',
    'Fills kept nowhere, because an invalidation came while they were under way.',
    ['route'],
  )
  readonly #refreshFailures = this.#counter('refresh_failures_total', 'Refreshes behind a stale answer that failed.', [
    'route',
  ])
  readonly #audits = this.#counter('audits_total', 'Hits whose statement was run again, by what came of it.', [
    'route',
    'outcome',
  ])
  readonly #certificates = this.#counter(
    'certificate_reloads_total',
    'Certificates taken over, or refused, while running.',
    ['outcome'],
  )
  readonly #configReloads = this.#counter(
    'config_reloads_total',
    'Configurations taken over, or refused, while running.',
    ['outcome'],
  )

  readonly #total = noCounts()
  readonly #routes = new Map<string, RouteCounts>()
  readonly #times = new Map<string, Map<string, Histogram>>()
  readonly #batches = new ResponseBatches((batch) => this.#countBatch(batch))
  #evicted = 0
  #invalidated = 0

  /** How each kind of fact is counted; the others are not. */
  readonly counting = {
    response: (response) => this.#countResponse(response),
    'origin-query': ({ route, outcome, seconds }) => {
      this.#queries.inc({ route, outcome })
      this.#querySeconds.of({ route }).add(seconds)
      this.#add(route, 'queries', 1)
      if (outcome !== 'ok') this.#add(route, 'failedQueries', 1)
    },
    collapsed: ({ route }) => {
      this.#collapsed.inc({ route })
      this.#add(route, 'collapsed', 1)
    },
    shed: ({ route, reason }) => {
      this.#shed.inc({ route, reason })
      this.#add(route, 'shed', 1)
    },
    evicted: () => {
      this.#evicted += 1
      this.#evictions.inc()
    },
    invalidated: ({ cause, lagSeconds }) => {
      if (cause === 'barrier') return // touches nothing
      this.#invalidated += 1
      if (lagSeconds !== undefined) this.#invalidationLag.add(lagSeconds)
      this.#invalidations.inc({ cause })
    },
    followed: ({ lagSeconds }) => this.#invalidationLag.add(lagSeconds),
    'log-gap': () => this.#logGaps.inc(),
    'fill-raced': ({ route }) => this.#racedFills.inc({ route }),
    'refresh-failed': ({ route }) => this.#refreshFailures.inc({ route }),
    'tier-error': ({ tier, operation, reason }) => this.#tierErrors.inc({ tier, operation, reason }),
    audited: (audit) => this.#countAudit(audit),
    certificate: ({ outcome }) => this.#certificates.inc({ outcome }),
    'config-reloaded': () => this.#configReloads.inc({ outcome: 'taken' }),
    'config-refused': () => this.#configReloads.inc({ outcome: 'refused' }),
  } satisfies FactTable<void>

  constructor() {
    collectDefaultMetrics({ register: this.registry })
  }

  readonly observe: Observe = (fact) => lookUpFact(this.counting, fact)

  /** The Prometheus text format. */
  text(): Promise<string> {
    this.#batches.countAll()
    return this.registry.metrics()
  }

  get contentType(): string {
    return this.registry.contentType
  }

  readonly counts = (): Counts => {
    this.#batches.countAll()
    return {
      total: this.#total,
      routes: this.#routes,
      times: this.#times,
      invalidationLag: this.#invalidationLag,
      invalidations: this.#invalidated,
      evictions: this.#evicted,
    }
  }

  #counter<Label extends string>(name: string, help: string, labelNames: Label[] = []): Counter<Label> {
    return new Counter({ name: `onramp_${name}`, help, labelNames, registers: [this.registry] })
  }

  #histogram<Label extends string>(name: string, help: string, buckets = networkBuckets): HistogramMetric<Label> {
    const histogram = new HistogramMetric<Label>(`onramp_${name}`, help, buckets)
    this.registry.registerMetric(histogram.metric)
    return histogram
  }

  #of(route: string): RouteCounts {
    let counts = this.#routes.get(route)
    if (counts === undefined) {
      counts = noCounts()
      this.#routes.set(route, counts)
    }
    return counts
  }

  /** Adds to a count of `route`, and to that of all. */
  #add(route: string, name: Exclude<keyof RouteCounts, 'bySource' | 'audit'>, many: number): void {
    this.#of(route)[name] += many
    this.#total[name] += many
  }

  #countResponse(response: FactOf<'response'>): void {
    const { route, fallbackReason } = response
    if (fallbackReason !== undefined) this.#fallbacks.inc({ route, reason: fallbackReason })
    this.#batches.note(response)
  }

  #countBatch({ route, source, state, status, seconds, ageSecondsSum }: ResponseBatch): void {
    const many = seconds.length
    this.#responses.inc({ route, source, state, status }, many)
    const times = this.#timesOf(route, source)
    for (const one of seconds) times.add(one)
    for (const { bySource } of [this.#of(route), this.#total]) bySource.set(source, (bySource.get(source) ?? 0) + many)
    this.#add(route, 'requests', many)
    if (state === 'stale') this.#add(route, 'stale', many)
    if (status >= 500) this.#add(route, 'errors', many)
    this.#add(route, 'ageSecondsSum', ageSecondsSum)
  }

  #timesOf(route: string, source: string): Histogram {
    const ofRoute = this.#times.get(route) ?? new Map<string, Histogram>()
    this.#times.set(route, ofRoute)
    const times = ofRoute.get(source) ?? this.#responseSeconds.of({ route, source })
    ofRoute.set(source, times)
    return times
  }

  #countAudit({ route, outcome, ageSeconds }: FactOf<'audited'>): void {
    const counts = this.#of(route)
    if (counts.audit === undefined) {
      counts.audit = { match: 0, mismatch: 0, overtaken: 0, failed: 0, skipped: 0, worstStaleSeconds: 0 }
      // A series that begins at 1 has not risen, to Prometheus.
      this.#audits.inc({ route, outcome: 'mismatch' }, 0)
    }
    this.#audits.inc({ route, outcome })
    counts.audit[outcome] += 1
    if (outcome === 'mismatch') counts.audit.worstStaleSeconds = Math.max(counts.audit.worstStaleSeconds, ageSeconds)
  }
}
