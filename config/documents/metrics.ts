import { type GaugeReadings, registerGauges } from '../../proxy/ops/gauges.ts'
import { Metrics } from '../../proxy/ops/metrics.ts'
import { table } from './markdown.ts'

/** Readings of a program that does nothing: the gauges are listed, not read. */
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

/** Every metric of onramp; those that Node.js has by itself are left out. */
export function ownMetrics(): { name: string; type: string; help: string }[] {
  const { registry } = new Metrics()
  registerGauges(registry, noReadings, '', '')
  return registry
    .getMetricsAsArray()
    .map(({ name, type, help }) => ({ name, type: String(type), help }))
    .filter(({ name }) => name.startsWith('onramp_'))
}

export function metricsTable(): string {
  return table(
    ['metric', 'type', 'meaning'],
    ownMetrics().map(({ name, type, help }) => [`\`${name}\``, type, help]),
  )
}
