// Observations counted.
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { Counter, collectDefaultMetrics, type Metric, Registry } from 'prom-client'
import type { AuditOutcome, Observation, Observe, Source } from '../observation.ts'
import { type Gauges, registerGauges } from './gauges.ts'
import { bounds, Histogram } from './histogram.ts'

/** The counts of one route since the start, as /stats shows them. */
export interface RouteCounts {
  requests: number
  memory: number
  redis: number
  origin: number
  upstream: number
  /** Answered by nobody: refused, failed, or no route's. */
  none: number
  stale: number
  errors: number
  collapsed: number
  shed: number
  queries: number
  failedQueries: number
  /** Where a route has audits; `worstStaleSeconds`: the age of the oldest entry that was found out of date. */
  audit?: Record<AuditOutcome, number> & { worstStaleSeconds: number }
  /** The ages of what the cache answered, added up. */
  ageSecondsSum: number
}

/** Everything counted since the start. The objects are those being counted in: copy what is to stay. */
export interface Counts {
  total: RouteCounts
  routes: Readonly<Record<string, RouteCounts>>
  /** How long responses took, by route and source. */
  times: Readonly<Record<string, Partial<Record<Source, Histogram>>>>
  invalidationLag: Histogram
  invalidations: number
  evictions: number
}

export interface Metrics {
  observe: Observe
  /** The Prometheus text format. */
  text(): Promise<string>
  readonly contentType: string
  counts(): Counts
}

type Response = Extract<Observation, { kind: 'response' }>
/** Responses alike, not counted yet. */
type Noted = Pick<Response, 'route' | 'source' | 'state' | 'status'> & { seconds: number[]; ageSecondsSum: number }

// From a memory hit (tens of microseconds) to the day everything is slow.
const ofResponses = [0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10]
// What goes over the network takes a millisecond.
const ofServers = ofResponses.filter((seconds) => seconds >= 0.001)

/** Counts every observation. Labels hold names from the configuration and words of this program, never what a client sent. */
export function metrics(gauges: Gauges, version: string, nodeVersion: string): Metrics {
  const registry = new Registry()
  const registers = [registry]
  collectDefaultMetrics({ register: registry })
  const counter = <L extends string>(name: string, help: string, labelNames: L[] = []) =>
    new Counter({ name: `onramp_${name}`, help, labelNames, registers })
  // Ours, for the same numbers are read a second time for /stats and the dashboard; and counting in them needs no look at labels.
  const histogram = <L extends string>(name: string, help: string, buckets = ofServers) => {
    const series = new Map<string, Labelled>()
    registry.registerMetric(exposed(`onramp_${name}`, help, series, buckets))
    return (labels: Record<L, string>): Histogram => {
      const key = Object.values(labels).join(' ')
      const { times } = series.get(key) ?? { times: new Histogram() }
      series.set(key, { labels, times })
      return times
    }
  }
  const responses = counter(
    'responses_total',
    'Responses, by where their bytes came from and what state they were in.',
    ['route', 'source', 'state', 'status'],
  )
  const responseSeconds = histogram<'route' | 'source'>(
    'response_seconds',
    'From the end of the request head to the response being written; of what is passed on, to the head of the answer.',
    ofResponses,
  )
  const queries = counter('origin_queries_total', 'Statements sent to PostgreSQL.', ['route', 'outcome'])
  const querySeconds = histogram<'route'>('origin_query_seconds', 'Waiting for a connection included.')
  const tierErrors = counter('tier_errors_total', 'Times a tier failed, or held something odd.', [
    'tier',
    'operation',
    'reason',
  ])
  const evictions = counter('evictions_total', 'Entries dropped from memory for room.')
  const invalidations = counter('invalidations_total', 'Invalidations applied.', ['cause'])
  const invalidationLag = histogram<never>(
    'invalidation_lag_seconds',
    'From a commit (a heartbeat, each second), or from when a purge was asked for, to when it was applied.',
  )({})
  const gaps = counter('log_gaps_total', 'Times something in the invalidation log may have been missed.')
  const collapsed = counter('collapsed_total', 'Requests that waited for the fill of another.', ['route'])
  const fallbacks = counter('fallback_total', 'Older answers served in place of what the database would have said.', [
    'route',
    'reason',
  ])
  const shed = counter('shed_total', 'Work refused to stay alive.', ['route', 'reason'])
  const raced = counter(
    'raced_fills_total',
    'Fills kept nowhere, because an invalidation came while they were under way.',
    ['route'],
  )
  const refreshFailures = counter('refresh_failures_total', 'Refreshes behind a stale answer that failed.', ['route'])
  const audits = counter('audits_total', 'Hits whose statement was run again, by what came of it.', [
    'route',
    'outcome',
  ])
  const certificates = counter('certificate_reloads_total', 'Certificates taken over, or refused, while running.', [
    'outcome',
  ])
  const reloads = counter('config_reloads_total', 'Configurations taken over, or refused, while running.', ['outcome'])
  registerGauges(registry, gauges, version, nodeVersion)

  const total = noCounts()
  const routes: Record<string, RouteCounts> = {}
  const times: Record<string, Partial<Record<Source, Histogram>>> = {}
  let evicted = 0
  let invalidated = 0
  const both = (route: string, add: (counts: RouteCounts) => void) => {
    routes[route] ??= noCounts()
    add(routes[route])
    add(total)
  }

  // Every request makes one of these: they are noted in a few words here, and counted when somebody looks, or when there are many.
  const noted = new Map<string, Noted>()
  let latest: Noted | undefined
  let waiting = 0
  function note({ route, source, state, status, seconds, ageSeconds = 0 }: Response): void {
    const isLatest =
      latest !== undefined &&
      latest.status === status &&
      latest.route === route &&
      latest.source === source &&
      latest.state === state
    if (!isLatest) {
      const name = `${route} ${source} ${state} ${status}`
      latest = noted.get(name) ?? { route, source, state, status, seconds: [], ageSecondsSum: 0 }
      noted.set(name, latest)
    }
    if (latest !== undefined) {
      latest.seconds.push(seconds)
      latest.ageSecondsSum += ageSeconds
    }
    waiting += 1
    if (waiting >= 1000) count()
  }

  function count(): void {
    waiting = 0
    for (const alike of noted.values()) {
      const { route, source, state, status, seconds } = alike
      const many = seconds.length
      if (many === 0) continue
      responses.inc({ route, source, state, status }, many)
      times[route] ??= {}
      times[route][source] ??= responseSeconds({ route, source })
      for (const one of seconds) times[route][source].add(one)
      both(route, (counts) => {
        counts.requests += many
        counts[source] += many
        if (state === 'stale') counts.stale += many
        if (status >= 500) counts.errors += many
        counts.ageSecondsSum += alike.ageSecondsSum
      })
      seconds.length = 0
      alike.ageSecondsSum = 0
    }
  }

  function audited({ route, outcome, ageSeconds }: Extract<Observation, { kind: 'audited' }>): void {
    routes[route] ??= noCounts()
    let audit = routes[route].audit
    if (audit === undefined) {
      audit = { match: 0, mismatch: 0, overtaken: 0, failed: 0, skipped: 0, worstStaleSeconds: 0 }
      routes[route].audit = audit
      // A series that begins at 1 has not risen, to Prometheus.
      audits.inc({ route, outcome: 'mismatch' }, 0)
    }
    audits.inc({ route, outcome })
    audit[outcome] += 1
    if (outcome === 'mismatch') audit.worstStaleSeconds = Math.max(audit.worstStaleSeconds, ageSeconds)
  }

  const observe: Observe = (fact) => {
    switch (fact.kind) {
      case 'response':
        if (fact.fallbackReason !== undefined) fallbacks.inc({ route: fact.route, reason: fact.fallbackReason })
        return note(fact)
      case 'origin-query':
        queries.inc({ route: fact.route, outcome: fact.outcome })
        querySeconds({ route: fact.route }).add(fact.seconds)
        return both(fact.route, (counts) => {
          counts.queries += 1
          if (fact.outcome !== 'ok') counts.failedQueries += 1
        })
      case 'collapsed':
        collapsed.inc({ route: fact.route })
        return both(fact.route, (counts) => {
          counts.collapsed += 1
        })
      case 'tier-error':
        return tierErrors.inc({ tier: fact.tier, operation: fact.operation, reason: fact.reason })
      case 'evicted':
        evicted += 1
        return evictions.inc()
      case 'invalidated':
        // A barrier touches nothing.
        if (fact.cause === 'barrier') return
        invalidated += 1
        if (fact.lagSeconds !== undefined) invalidationLag.add(fact.lagSeconds)
        return invalidations.inc({ cause: fact.cause })
      case 'fill-raced':
        return raced.inc({ route: fact.route })
      case 'refresh-failed':
        return refreshFailures.inc({ route: fact.route })
      case 'shed':
        shed.inc({ route: fact.route, reason: fact.reason })
        return both(fact.route, (counts) => {
          counts.shed += 1
        })
      case 'certificate':
        return certificates.inc({ outcome: fact.outcome })
      case 'config-reloaded':
        return reloads.inc({ outcome: 'taken' })
      case 'config-refused':
        return reloads.inc({ outcome: 'refused' })
      case 'followed':
        return invalidationLag.add(fact.lagSeconds)
      case 'log-gap':
        return gaps.inc()
      case 'audited':
        return audited(fact)
      case 'filled':
      case 'changes':
      case 'breaker':
      case 'coherence':
      case 'degradation':
      case 'traces':
      case 'draining':
      case 'drained':
      case 'origin-connection-lost':
      case 'redis-connection':
      case 'tier-bypassed':
      case 'tier-back':
      case 'variant-failed':
      case 'warmed':
      case 'redefined':
        return
      default:
        fact satisfies never
    }
  }
  return {
    observe,
    text() {
      count()
      return registry.metrics()
    },
    contentType: registry.contentType,
    counts() {
      count()
      return { total, routes, times, invalidationLag, invalidations: invalidated, evictions: evicted }
    },
  }
}

function noCounts(): RouteCounts {
  return {
    requests: 0,
    memory: 0,
    redis: 0,
    origin: 0,
    upstream: 0,
    none: 0,
    stale: 0,
    errors: 0,
    collapsed: 0,
    shed: 0,
    queries: 0,
    failedQueries: 0,
    ageSecondsSum: 0,
  }
}

interface Labelled {
  labels: Record<string, string>
  times: Histogram
}

/** `series` as prom-client's registry reads a histogram. */
function exposed(
  name: string,
  help: string,
  series: ReadonlyMap<string, Labelled>,
  buckets: readonly number[],
): Metric {
  const valuesOf = ({ labels: sharedLabels, times }: Labelled) => {
    let [below, next] = [0, 0]
    const upTo = (bound: number) => {
      for (; next < bounds.length && (bounds[next] as number) <= bound; next += 1) below += times.counts[next] as number
      return below
    }
    const bucket = (le: number | '+Inf', value: number) => ({
      metricName: `${name}_bucket`,
      labels: { le },
      sharedLabels,
      value,
    })
    return [
      ...buckets.map((le) => bucket(le, upTo(le))),
      bucket('+Inf', times.count),
      { metricName: `${name}_sum`, labels: {}, sharedLabels, value: times.sum },
      { metricName: `${name}_count`, labels: {}, sharedLabels, value: times.count },
    ]
  }
  const shape = { name, help, type: 'histogram', aggregator: 'sum' }
  return {
    ...shape,
    get: async () => ({ ...shape, values: [...series.values()].flatMap(valuesOf) }),
    reset() {},
  } as unknown as Metric
}

/** Measures how late this process' timers are, every 10 ms, until stopped. */
export function eventLoopLag(): { read(): number; stop(): void } {
  const histogram = monitorEventLoopDelay({ resolution: 10 })
  histogram.enable()
  return {
    read() {
      const seconds = histogram.count === 0 ? 0 : histogram.percentile(99) / 1e9
      histogram.reset()
      return seconds
    },
    stop: () => histogram.disable(),
  }
}
