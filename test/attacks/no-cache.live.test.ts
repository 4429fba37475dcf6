// The limit on origin queries caused by no-cache.
import { describe, expect, test } from 'vitest'
import type { Config } from '../../proxy/config/schema.ts'
import type { Running } from '../live.ts'
import { WireClient } from '../wire/client.ts'
import { requestOf } from '../wire/messages.ts'
import { attackStage, queriesOf } from './stage.ts'

const stage = attackStage()

describe('no-cache on a route that allows it', () => {
  const allowing =
    (noCache: number) =>
    (config: Config): Config => ({
      ...config,
      routes: config.routes.map((route) => ({ ...route, lifetime: { ...route.lifetime, noCache } })),
    })
  const target = '/api/plans/search?county=51059&ages=30&limit=1'
  const hammer = async (running: Running, count: number, at = target) => {
    const client = await WireClient.to(running.url)
    for (let i = 0; i < count; i += 1) await client.ask(requestOf('GET', at, ['Cache-Control: no-cache']))
    client.close()
  }

  test('queries the origin once per interval, however many clients send it', async () => {
    const own = await stage.startOwn(allowing(60_000))
    await Promise.all([hammer(own, 50), hammer(own, 50), hammer(own, 50)])
    expect(await queriesOf(own, 'plan-search')).toBe(1)
  })

  test('queries the origin at most once per interval and key', async () => {
    const own = await stage.startOwn(allowing(50))
    const other = target.replace('ages=30', 'ages=31')
    const began = performance.now()
    const queriesAfterMore = async () => {
      await Promise.all([hammer(own, 20), hammer(own, 20), hammer(own, 20, other)])
      return queriesOf(own, 'plan-search')
    }
    await expect.poll(queriesAfterMore, { timeout: 10_000, interval: 0 }).toBeGreaterThanOrEqual(8)
    const queries = await queriesOf(own, 'plan-search')
    expect(queries).toBeLessThanOrEqual(2 * (1 + Math.floor((performance.now() - began) / 50)))
  })

  test('twin: with an interval of a millisecond the origin is queried again and again', async () => {
    const own = await stage.startOwn(allowing(1))
    await hammer(own, 50)
    expect(await queriesOf(own, 'plan-search')).toBeGreaterThan(5)
  })
})
