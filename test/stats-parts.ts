import { memoryTier } from '../proxy/cache/memory.ts'
import { redisTierNames } from '../proxy/cache/redis.ts'
import type { Tier } from '../proxy/cache/tier.ts'
import { ObservationBus } from '../proxy/observation.ts'
import { DegradationMonitor } from '../proxy/ops/degradation.ts'
import { type GaugeReadings, registerGauges } from '../proxy/ops/gauges.ts'
import { History } from '../proxy/ops/history.ts'
import { Metrics } from '../proxy/ops/metrics.ts'
import { RecentEvents } from '../proxy/ops/recent-events.ts'
import { RefreshStats } from '../proxy/ops/refresh-stats.ts'
import type { StatsParts } from '../proxy/ops/stats.ts'
import { answerSources } from '../proxy/sources.ts'
import { ManualClock } from './support.ts'

/** Gauges with values other than zero. */
export const someGauges: GaugeReadings = {
  tiers: () => [{ tier: 'memory', bytes: 1, entries: 1 }],
  connections: () => ({ total: 3, idle: 1, waiting: 2 }),
  breakers: () => ['redis', 'origin', 'route:plan'].map((name) => ({ name, state: 'open' })),
  clients: () => 1,
  degradationLevel: () => 'healthy',
  coherence: () => ({ logPosition: 7, isDegraded: false, degradedSeconds: 1 }),
  changes: () => ({ mode: 'replication', state: 'leading' }),
  eventLoopLagSeconds: () => 0.004,
}

/** The parts of `ops` on one bus, wired as in the program, with a memory tier and the tiers `farther`. */
export function statsParts(farther: readonly Pick<Tier, 'name' | 'label'>[] = [redisTierNames]) {
  const clock = new ManualClock()
  const bus = new ObservationBus()
  const metrics = new Metrics()
  const recentEvents = new RecentEvents(clock)
  const degradation = new DegradationMonitor(clock, bus.observe)
  const refreshStats = new RefreshStats(clock)
  for (const { observe } of [metrics, recentEvents, degradation, refreshStats]) bus.listen(observe)
  const memory = memoryTier(1024 ** 2, bus.observe)
  const sources = answerSources([memory, ...farther])
  const gauges = { poolActive: 1, poolWaiting: 0, memoryBytes: 1000, entries: 3, clients: 7 }
  const history = new History(clock, sources, metrics.counts, () => gauges)
  registerGauges(
    metrics.registry,
    { ...someGauges, tiers: () => [{ tier: memory.name, bytes: memory.bytes, entries: memory.entries }] },
    '1.2.3',
    'v26',
  )
  const parts = {
    version: '1.2.3',
    needsToken: false,
    sources,
    clock,
    metrics,
    history,
    recentEvents,
    refreshStats,
    degradation,
    memory,
    redis: { isConnected: true },
    logFollower: { state: { state: 'synchronized', position: '7:abc', gaps: 0, degradedSeconds: 0 } },
    changes: { mode: 'replication', state: 'leading', why: 'by logical replication' },
    origin: { connections: { total: 3, idle: 1, waiting: 2 }, breakers: [] },
    farther: [],
    ledger: { position: { pos: 7, id: 'abc' } },
    listener: { clients: 5 },
    cache: { flights: 0 },
    upstream: undefined,
  } satisfies StatsParts
  return { ...parts, bus, gauges }
}

/** A route as /routes describes it. */
export const described = (name: string) => ({
  name,
  path: `/api/${name}`,
  methods: ['GET'],
  lifetime: { fresh: 1000, stale: 0, staleIfError: 0, negative: 1000 },
  cacheControl: 'max-age=0',
  tags: [],
  purgeTags: [],
  tables: [],
  sql: 'select 1',
})
