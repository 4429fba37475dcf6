import { table } from '../../bench/markdown.ts'
import { type GaugeReadings, registerGauges } from '../../proxy/ops/gauges.ts'
import { Metrics } from '../../proxy/ops/metrics.ts'

/** Readings of an idle program: the gauges are listed, not read. */
const noReadings: GaugeReadings = {
  tiers: () => [],
  connections: () => ({ total: 0, idle: 0, waiting: 0 }),
  breakers: () => [],
  clients: () => 0,
  degradationLevel: () => 'healthy',
  coherence: () => ({ logPosition: 0, isDegraded: false, degradedSeconds: 0 }),
  changes: () => ({ mode: 'off', state: 'off' }),
  eventLoopLagSeconds: () => 0,
}

export interface ListedMetric {
  name: string
  type: string
  help: string
  /** The declared labels, in their order. */
  labels: readonly string[]
}

/** Every metric of onramp, without those that prom-client adds for Node.js. */
export function ownMetrics(): ListedMetric[] {
  const { registry } = new Metrics()
  registerGauges(registry, noReadings, '', '')
  return registry
    .getMetricsAsArray()
    .filter(({ name }) => name.startsWith('onramp_'))
    .map((metric) => ({
      name: metric.name,
      type: String(metric.type),
      help: metric.help,
      labels: labelsOf(metric),
    }))
}

/** prom-client keeps the label names on its metrics, but its types do not say so. */
function labelsOf(metric: object): readonly string[] {
  if (!('labelNames' in metric) || !Array.isArray(metric.labelNames)) throw new Error('A metric has no labelNames.')
  return metric.labelNames.map(String)
}

export function metricsTable(): string {
  return table(
    ['metric', 'type', 'labels', 'meaning'],
    ownMetrics().map(({ name, type, labels, help }) => [
      `\`${name}\``,
      type,
      labels.map((label) => `\`${label}\``).join(', '),
      help,
    ]),
  )
}
