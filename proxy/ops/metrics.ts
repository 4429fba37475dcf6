// Counters and histograms of /metrics and /stats, fed by observations.
import { Counter, collectDefaultMetrics, Registry } from 'prom-client'
import { type FactOf, type FactTable, lookUpFact, type Observe } from '../observation.ts'
import { type Counts, noCounts, type RouteCounts } from './counts.ts'
import type { Histogram } from './histogram.ts'
import { HistogramMetric } from './histogram-metric.ts'
import { type ResponseBatch, ResponseBatches } from './response-batches.ts'

// A memory hit takes tens of microseconds; a request that times out, seconds.
const responseBuckets = [0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10]
// A network round trip takes a millisecond or more.
const networkBuckets = responseBuckets.filter((seconds) => seconds >= 0.001)

/**
 * Counts observations, for /metrics and for /stats. Labels hold names from the configuration and words of this program, never text that
 * a client sent. Gauges are added to `registry` by `ops/gauges`.
 *
 * A help text is a noun phrase with its unit, and ends with all labels: "…, by route and reason" (test/metrics.test.ts).
 */
export class Metrics {
  readonly registry = new Registry()
  readonly #responses = this.#counter('responses_total', 'Responses, by route, source, state and status', [
    'route',
    'source',
    'state',
    'status',
  ])
  readonly #responseSeconds = this.#histogram(
    'response_seconds',
    'Time from the end of the request head to the response (upstream: to its head), in seconds, by route and source',
    ['route', 'source'],
    responseBuckets,
  )
  readonly #queries = this.#counter('origin_queries_total', 'Statements sent to PostgreSQL, by route and outcome', [
    'route',
    'outcome',
  ])
  readonly #querySeconds = this.#histogram(
    'origin_query_seconds',
    'Time of a statement, including the wait for a free connection, in seconds, by route',
    ['route'],
  )
  readonly #tierErrors = this.#counter(
    'tier_errors_total',
    'Failed operations and unusable entries of a cache tier, by tier, operation and reason',
    ['tier', 'operation', 'reason'],
  )
  readonly #evictions = this.#counter('evictions_total', 'Entries evicted from memory to make room')
  readonly #invalidations = this.#counter('invalidations_total', 'Invalidations applied in this process, by cause', [
    'cause',
  ])
  readonly #invalidationLag = this.#histogram<never>(
    'invalidation_lag_seconds',
    'Time from a purge request or the commit of a heartbeat to its invalidation here, in seconds',
    [],
  ).of({})
  readonly #logGaps = this.#counter('log_gaps_total', 'Possible gaps in the invalidation log')
  readonly #collapsed = this.#counter('collapsed_total', "Requests collapsed into another request's fill, by route", [
    'route',
  ])
  readonly #fallbacks = this.#counter(
    'fallback_total',
    'Older answers served in place of a fresh answer, by route and reason',
    ['route', 'reason'],
  )
  readonly #shed = this.#counter('shed_total', 'Requests rejected to protect the service, by route and reason', [
    'route',
    'reason',
  ])
  readonly #racedFills = this.#counter(
    'raced_fills_total',
    'Fills served but not cached, because of an invalidation during the fill, by route',
    ['route'],
  )
  readonly #refreshFailures = this.#counter('refresh_failures_total', 'Failed background refreshes, by route', [
    'route',
  ])
  readonly #audits = this.#counter('audits_total', 'Audited cache hits, by route and outcome', ['route', 'outcome'])
  readonly #certificates = this.#counter(
    'certificate_reloads_total',
    'Reloads of the TLS certificate in the running process, by outcome',
    ['outcome'],
  )
  readonly #configReloads = this.#counter(
    'config_reloads_total',
    'Reloads of the configuration in the running process, by outcome',
    ['outcome'],
  )

  readonly #total = noCounts()
  readonly #routes = new Map<string, RouteCounts>()
  readonly #times = new Map<string, Map<string, Histogram>>()
  readonly #batches = new ResponseBatches((batch) => this.#countBatch(batch))
  #evicted = 0
  #invalidated = 0

  /** The counting of each kind of fact; a kind that is not listed is not counted. */
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
      if (cause === 'barrier') return // it invalidates no entry
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

  #histogram<Label extends string>(name: string, help: string, labelNames: Label[], buckets = networkBuckets) {
    const histogram = new HistogramMetric<Label>(`onramp_${name}`, help, labelNames, buckets)
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

  /** Adds to a count of `route`, and to the total. */
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
      // Prometheus sees no increase in a series that begins at 1: it must begin at 0.
      this.#audits.inc({ route, outcome: 'mismatch' }, 0)
    }
    this.#audits.inc({ route, outcome })
    counts.audit[outcome] += 1
    if (outcome === 'mismatch') counts.audit.worstStaleSeconds = Math.max(counts.audit.worstStaleSeconds, ageSeconds)
  }
}
