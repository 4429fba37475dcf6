import { expect, test } from 'vitest'
import { metricsOfEverything, seriesOf } from './scrape.ts'

/** Names and labels that dashboards and alerts of others may build on: never fewer, never others. */
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

test('every metric of ours says what it is, in a sentence, and ends as its kind does', async () => {
  const text = await metricsOfEverything().text()
  const kinds = [...text.matchAll(/^# TYPE (onramp_\w+) (\w+)$/gm)]
  expect(kinds.length).toBeGreaterThan(15)
  for (const [, name, kind] of kinds) {
    expect(text).toMatch(new RegExp(`^# HELP ${name} .+\\.$`, 'm'))
    expect((name as string).endsWith('_total'), name).toBe(kind === 'counter')
    if (kind === 'histogram') expect(name).toMatch(/_seconds$/)
  }
})

test('the buckets tell a memory hit from a slow one, and a statement from one at its timeout', async () => {
  const buckets = [
    ...(seriesOf(await metricsOfEverything().text())
      .get('onramp_response_seconds_bucket')
      ?.get('le') ?? []),
  ]
  const bounds = buckets.filter((le) => le !== '+Inf').map(Number)
  // A quantile is read off between two of them: none is more than five times the one before.
  for (const [i, bound] of bounds.entries()) if (i > 0) expect(bound / (bounds[i - 1] as number)).toBeLessThanOrEqual(5)
  expect(bounds[0]).toBeLessThanOrEqual(0.000_25)
  for (const said of [0.1, 0.5, 2.5]) expect(bounds).toContain(said)
  expect(bounds.at(-1)).toBe(10)
})

test('an audit that finds nothing shows a mismatch of 0, so that the first one is a rise', async () => {
  expect(await metricsOfEverything().text()).toContain('onramp_audits_total{route="plan",outcome="mismatch"} 0')
})

test('a scrape with a hundred routes is quick', async () => {
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
  // Of the processor, in milliseconds, once the code is warm: a scrape must take less than 50 ms.
  expect(await quickest(100)).toBeLessThan(50)
})
