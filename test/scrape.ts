import type { Observation } from '../proxy/observation.ts'
import { registerGauges } from '../proxy/ops/gauges.ts'
import { Metrics } from '../proxy/ops/metrics.ts'
import { someGauges } from './stats-parts.ts'

const response = { kind: 'response', state: 'fresh', status: 200, seconds: 0.001, method: 'GET', path: '/' } as const

/** Every fact that is counted, for each of `routes`. */
function facts(routes: readonly string[]): Observation[] {
  return routes.flatMap((route): Observation[] => [
    ...(['memory', 'redis', 'origin', 'none'] as const).map((source) => ({ ...response, route, source })),
    { ...response, route, source: 'none', state: 'error', status: 503 },
    { kind: 'origin-query', route, outcome: 'ok', seconds: 0.01 },
    { kind: 'origin-query', route, outcome: 'timeout', seconds: 2 },
    { kind: 'tier-error', tier: 'redis', operation: 'get', reason: 'timeout' },
    { kind: 'evicted', key: `${route}@1`, bytes: 1000, readAt: 0 },
    { kind: 'collapsed', route },
    { kind: 'shed', route, reason: 'queue-full' },
    { kind: 'invalidated', cause: 'purge', soft: false, tags: ['x'], lagSeconds: 0.02 },
    { kind: 'fill-raced', route },
    { kind: 'refresh-failed', route, error: undefined },
    { kind: 'audited', route, outcome: 'match', ageSeconds: 1 },
    { kind: 'certificate', outcome: 'taken' },
    { kind: 'config-reloaded', routes: 1, changed: [] },
  ])
}

/** Returns metrics that have counted every fact, for each of `routes`. */
export function metricsOfEverything(routes: readonly string[] = ['plan']): Metrics {
  const metrics = new Metrics()
  registerGauges(metrics.registry, someGauges, '1.2.3', 'v26')
  for (const fact of facts(routes)) metrics.observe(fact)
  return metrics
}

/** The series of a scrape: by metric name and label, the values of the label. */
export type Series = Map<string, Map<string, Set<string>>>

/** Reads the Prometheus text format. */
export function seriesOf(text: string): Series {
  const series: Series = new Map()
  for (const line of text.split('\n')) {
    const [, name, labels = ''] = /^([a-z_:][\w:]*)(?:\{(.*)\})? /i.exec(line) ?? []
    if (name === undefined) continue
    const known = series.get(name) ?? new Map<string, Set<string>>()
    series.set(name, known)
    for (const [, label, value] of labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)) {
      const values = known.get(label as string) ?? new Set()
      known.set(label as string, values.add(value as string))
    }
  }
  return series
}
