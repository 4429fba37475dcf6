import { expect, test } from 'vitest'
import { type ListedMetric, ownMetrics } from '../config/documents/metrics.ts'
import { metricsOfEverything, seriesOf } from './scrape.ts'

/** Names and labels that users' dashboards and alerts build on: a change of one is a breaking change. */
const contract: Record<string, string> = {
  responses_total: 'route,source,state,status',
  response_seconds_bucket: 'le,route,source',
  origin_queries_total: 'outcome,route',
  origin_query_seconds_bucket: 'le,route',
  tier_errors_total: 'operation,reason,tier',
  tier_bytes: 'tier',
  tier_entries: 'tier',
  evictions_total: '',
  invalidations_total: 'cause',
  invalidation_lag_seconds_bucket: 'le',
  collapsed_total: 'route',
  shed_total: 'reason,route',
  breaker_state: 'name',
  pool_connections: 'state',
  event_loop_lag_seconds: '',
  build_info: 'node,version',
  degradation_level: '',
  audits_total: 'outcome,route',
}

test.each(Object.entries(contract))('onramp_%s has the labels %s, and no others', async (name, labels) => {
  const series = seriesOf(await metricsOfEverything().text())
  expect([...(series.get(`onramp_${name}`)?.keys() ?? ['is not there'])].sort().join()).toBe(labels)
})

test('the name of a metric has the suffix of its type', async () => {
  const text = await metricsOfEverything().text()
  const kinds = [...text.matchAll(/^# TYPE (onramp_\w+) (\w+)$/gm)]
  expect(kinds.length).toBeGreaterThan(15)
  for (const [, name, kind] of kinds) {
    expect(text).toMatch(new RegExp(`^# HELP ${name} .+$`, 'm'))
    expect((name as string).endsWith('_total'), name).toBe(kind === 'counter')
    if (kind === 'histogram') expect(name).toMatch(/_seconds$/)
  }
})

/** Words that make a clause of a noun phrase, and words that were replaced. */
const clauseWords =
  /\b(?:who|whom|whose|what|which|that it|as long as|how long|is|are|was|were|has|have|had|came|held|refused|alive)\b/i

/** The faults of a metric's help text. */
function helpFaults({ name, help, labels }: Omit<ListedMetric, 'type'>): string[] {
  const named = labels.length === 0 ? '' : `, by ${listed(labels)}`
  return [
    ...(help.length > 120 ? ['it is longer than 120 characters'] : []),
    ...(/^[A-Z]/.test(help) ? [] : ['it does not begin with a capital letter']),
    ...(/\.(?: |$)/.test(help) ? ['it has a full stop'] : []),
    ...(clauseWords.test(help) ? [`it has the word "${clauseWords.exec(help)?.[0]}"`] : []),
    ...(name.endsWith('_seconds') && !/\bin seconds\b/.test(help) ? ['it does not say "in seconds"'] : []),
    ...(name.endsWith('_bytes') && !/^Bytes\b|\bin bytes\b/.test(help) ? ['it does not say "bytes"'] : []),
    ...(help.endsWith(named) ? [] : [`it does not end with "${named}"`]),
    ...(labels.length === 0 && / by \w+$/.test(help) ? ['it names a label that there is not'] : []),
  ]
}

function listed(labels: readonly string[]): string {
  return labels.length < 2 ? labels.join() : `${labels.slice(0, -1).join(', ')} and ${labels.at(-1)}`
}

test('the help of every metric is a noun phrase with its unit, and ends with its labels', () => {
  const metrics = ownMetrics()
  expect(metrics.length).toBeGreaterThan(25)
  for (const metric of metrics) expect(helpFaults(metric), `${metric.name}: ${metric.help}`).toEqual([])
})

test.each([
  [{ name: 'onramp_a_total', help: 'Work done, by route and reason', labels: ['route', 'reason'] }, []],
  [{ name: 'onramp_a_total', help: 'work done', labels: [] }, ['it does not begin with a capital letter']],
  [{ name: 'onramp_a_total', help: 'Work done.', labels: [] }, ['it has a full stop']],
  [{ name: 'onramp_a_total', help: 'Work that was done', labels: [] }, ['it has the word "was"']],
  [{ name: 'onramp_a_total', help: 'W'.repeat(121), labels: [] }, ['it is longer than 120 characters']],
  [{ name: 'onramp_a_seconds', help: 'Time of work', labels: [] }, ['it does not say "in seconds"']],
  [{ name: 'onramp_a_bytes', help: 'Size of work', labels: [] }, ['it does not say "bytes"']],
  [
    { name: 'onramp_a', help: 'Work, by route', labels: ['route', 'tier'] },
    ['it does not end with ", by route and tier"'],
  ],
  [{ name: 'onramp_a', help: 'Work, by route', labels: [] }, ['it names a label that there is not']],
])('twin: %j', (metric, faults) => {
  expect(helpFaults(metric)).toEqual(faults)
})

test('the declared labels of every metric are those of its series', async () => {
  const series = seriesOf(await metricsOfEverything().text())
  for (const { name, type, labels } of ownMetrics()) {
    const found = series.get(type === 'histogram' ? `${name}_count` : name)
    if (found !== undefined && found.size > 0) expect([...found.keys()].sort(), name).toEqual([...labels].sort())
  }
})

test('the buckets separate a fast memory hit from a slow one, and a statement from one at its timeout', async () => {
  const buckets = [
    ...(seriesOf(await metricsOfEverything().text())
      .get('onramp_response_seconds_bucket')
      ?.get('le') ?? []),
  ]
  const bounds = buckets.filter((le) => le !== '+Inf').map(Number)
  // A quantile is interpolated between two bounds, so no bound is more than five times the one before.
  for (const [i, bound] of bounds.entries()) if (i > 0) expect(bound / (bounds[i - 1] as number)).toBeLessThanOrEqual(5)
  expect(bounds[0]).toBeLessThanOrEqual(0.000_25)
  for (const said of [0.1, 0.5, 2.5]) expect(bounds).toContain(said)
  expect(bounds.at(-1)).toBe(10)
})

test('a matching audit shows a mismatch count of 0, so that the first mismatch is an increase', async () => {
  expect(await metricsOfEverything().text()).toContain('onramp_audits_total{route="plan",outcome="mismatch"} 0')
})

test('a scrape with a hundred routes takes less than 50 ms of CPU', async () => {
  const quickest = async (routes: number) => {
    const counts = metricsOfEverything(Array.from({ length: routes }, (_, i) => `route-${i}`))
    const times: number[] = []
    for (let i = 0; i < 10; i += 1) {
      const before = process.threadCpuUsage()
      await counts.text()
      const { user, system } = process.threadCpuUsage(before)
      times.push((user + system) / 1000)
    }
    return Math.min(...times)
  }
  // CPU time in milliseconds, of the quickest of ten scrapes, when the code is warm.
  expect(await quickest(100)).toBeLessThan(50)
})
