// Puts everything together.
import type { FastifyInstance } from 'fastify'
import type { Logger } from 'pino'
import { networks } from './address.ts'
import { Audit } from './cache/audit.ts'
import { failOpen } from './cache/fail-open.ts'
import { HotKeys } from './cache/hot-keys.ts'
import { noLeases, redisLeases } from './cache/lease.ts'
import { memoryTier } from './cache/memory.ts'
import { ReadThrough } from './cache/read-through.ts'
import { connectRedis, evictionFault, redisTier, untilReady } from './cache/redis.ts'
import { VariantBuilder } from './cache/variants.ts'
import { warm } from './cache/warm.ts'
import { DatabaseFollower } from './changes/database-follower.ts'
import type { Clock } from './clock.ts'
import { LogFollower } from './coherence/follower.ts'
import { Ledger } from './coherence/ledger.ts'
import { ownLog, redisLog } from './coherence/log.ts'
import { Publisher } from './coherence/publisher.ts'
import { purger } from './coherence/purge.ts'
import type { Config } from './config/schema.ts'
import { newServer } from './http/framework.ts'
import { handOver, othersClosed } from './http/listener.ts'
import { describeRoute, prepare, purgedTags, Routing, sourcesOf } from './http/routes/routing.ts'
import { type PublicServerLimits, publicServer } from './http/server.ts'
import { type Passthrough, passthrough } from './http/upstream/passthrough.ts'
import { type Observe, observers } from './observation.ts'
import { adminRoutes } from './ops/admin.ts'
import { advise } from './ops/advice.ts'
import { dashboardRoutes } from './ops/dashboard.ts'
import { DegradationMonitor } from './ops/degradation.ts'
import type { Gauges } from './ops/gauges.ts'
import { History } from './ops/history.ts'
import { logger } from './ops/log.ts'
import { eventLoopLag, metrics } from './ops/metrics.ts'
import { RecentEvents } from './ops/recent-events.ts'
import { RefreshStats } from './ops/refresh-stats.ts'
import { statsOf } from './ops/stats.ts'
import { guard } from './origin/guard.ts'
import { postgresOrigin } from './origin/postgres.ts'
import { detectOverload } from './overload/detector.ts'
import { Scheduler } from './overload/scheduler.ts'
import { routeTag } from './tags.ts'

/** For how long at most /ready waits for what `warm` lists, in milliseconds. */
const longestWarmMs = 10_000

/** What the process gives to the program. */
export interface Surroundings {
  config: Config
  /** Where `config.postgres.url` leads to: the embedded database has its address only once it runs. */
  databaseUrl: string
  /** Reads the configuration anew. Throws a Refusal. */
  readConfig(): Config
  pino: Logger
  clock: Clock
  random(): number
  version: string
  nodeVersion: string
}

export interface App {
  public: FastifyInstance
  admin: FastifyInstance
  /** What the database could not show of the routes, in sentences. */
  warnings: readonly string[]
  /** The tiers, nearest first, and how they are, for people. */
  tiers: readonly string[]
  /** From here on /ready says no; `signal` is what asked for it. */
  drain(signal: string): void
  /** Takes no more connections; those there are end with their answers, little by little. Resolves when all of them are to. */
  handOver(): Promise<void>
  /** Cuts every connection, whatever is under way on it. */
  cut(): void
  /** Ends what `createApp` opened; to be called when both listeners are closed. */
  close(): Promise<void>
}

/**
 * Puts the program together: every part once, given what it needs, in the order a request meets them. Opens connections,
 * does not listen. Throws a Refusal when the database has something against the configuration.
 */
export async function createApp({
  config,
  databaseUrl,
  readConfig,
  pino,
  clock,
  random,
  version,
  nodeVersion,
}: Surroundings): Promise<App> {
  const lag = eventLoopLag()
  const gauges: Gauges = {
    tiers: () => [{ tier: 'memory', bytes: memory.bytes, entries: memory.entries }],
    connections: () => origin.connections,
    breakers: () => [
      ...farther.map(({ name, isOpen }) => ({ name, state: isOpen ? ('open' as const) : ('closed' as const) })),
      ...origin.breakers,
    ],
    degradationLevel: () => degradation.level,
    coherence: () => ({
      logPosition: ledger.position.pos,
      isDegraded: logFollower.state.state === 'degraded',
      degradedSeconds: logFollower.state.degradedSeconds,
    }),
    following: () => ({ mode: changes.mode, state: changes.state }),
    clients: () => clients,
    eventLoopLagSeconds: lag.read,
  }
  let clients = 0
  const counts = metrics(gauges, version, nodeVersion)
  const write = logger(pino, config.log.slow / 1000, clock)
  const recentEvents = new RecentEvents(clock)
  const tell = observers(write, recentEvents.observe)
  const degradation = new DegradationMonitor(clock, (level, before) => tell({ kind: 'degradation', level, before }))
  const refreshStats = new RefreshStats(clock)
  // Its packages are large, and loaded only where they are used.
  const { Traces } = config.traces.url === undefined ? {} : await import('./ops/traces.ts')
  const traces = Traces && new Traces(config.traces.url as string, version, clock, write)
  const watching = [
    counts.observe,
    tell,
    degradation.observe,
    refreshStats.observe,
    ...(traces ? [traces.observe] : []),
  ]
  const observe = observers(...watching)
  const { connections, statementTimeout, maxRows, maxBytes } = config.postgres
  const database = { url: databaseUrl, connections, statementTimeoutMs: statementTimeout, maxRows, maxBytes }
  const scheduler = new Scheduler(clock)
  const overload = detectOverload(clock, () => scheduler.waitedMs)
  const guards = {
    slots: connections,
    waitMs: config.request.timeout - statementTimeout,
    statementMs: statementTimeout,
    isOverloaded: () => overload.isOverloaded,
  }
  const origin = guard(postgresOrigin(database, clock, observe), guards, clock, observe)
  const ledger = new Ledger()

  const hotKeys = new HotKeys(random)
  const memory = memoryTier(config.memory.maxBytes, observe, (key) => hotKeys.note(key))
  const variants = new VariantBuilder(memory, observe)
  const { url, keyPrefix, timeout } = config.redis
  const redis = url === undefined ? undefined : connectRedis(url, observe)
  const log = redis ? redisLog(redis.client, redis.waiting(), keyPrefix) : ownLog()
  const logFollower = new LogFollower({ log, ledger, clock, observe })
  let inspectAgain = async (): Promise<void> => {}
  const changes = new DatabaseFollower({
    url: databaseUrl,
    mode: config.postgres.follow,
    fleet: redis && keyPrefix,
    consumer: new Publisher(logFollower, clock, observe),
    clock,
    random,
    observe,
    redefined: () => inspectAgain(),
  })
  const shared = redis && redisTier(redis.client, keyPrefix, logFollower, clock, observe)
  const limits = { deadlineMs: timeout, failuresToOpen: 5, openMs: 1000, isLate: () => overload.isLate }
  const tier = shared && failOpen(shared, limits, clock, observe)
  const farther = tier ? [tier] : []
  // A holder that is alive has filled, or given up, by then.
  const leases =
    redis && tier
      ? redisLeases(redis.client, keyPrefix, statementTimeout + 250, tier, () => logFollower.isShared)
      : noLeases
  const cache = new ReadThrough({
    memory: traces?.memory(memory) ?? memory,
    farther: traces === undefined ? farther : farther.map((one) => traces.tier(one)),
    leases,
    ledger,
    clock,
    observe,
    random,
    softMs: config.request.softTimeout,
    deadlineMs: config.request.timeout,
    // Half of the connections are left to those who wait.
    mayRefresh: (underWay) => underWay < Math.ceil(connections / 2) && !overload.isOverloaded,
    reached: (position) => logFollower.reached(position, 50),
    turn: () => scheduler.turn(),
  })
  const upstream = upstreamOf(config, clock, random, observe)
  const history = new History(clock, counts.counts, () => ({
    poolActive: origin.connections.total - origin.connections.idle,
    poolWaiting: origin.connections.waiting,
    memoryBytes: memory.bytes,
    entries: memory.entries,
    clients,
  }))
  let drainingSince: number | undefined
  const close = async () => {
    lag.stop()
    overload.stop()
    history.stop()
    await Promise.all([changes.close(), origin.close(), upstream?.close()])
    logFollower.close()
    redis?.close()
    await traces?.close()
    if (drainingSince !== undefined) observe({ kind: 'drained', seconds: (clock.now() - drainingSince) / 1000 })
  }

  try {
    const [prepared, isRedisReady] = await Promise.all([
      prepare(config, origin),
      redis && untilReady(redis.client, clock, 1000),
    ])
    const routing = new Routing(config, prepared, origin, observe)
    // What was kept until then has not the tags of what its route reads now.
    inspectAgain = async () => {
      const changed = await routing.inspectAgain()
      if (changed.length === 0) return
      await logFollower.publish({ tags: changed.map((name) => routeTag(name)), soft: false, cause: 'change' })
      await changes.follow(sourcesOf(routing.table))
    }
    await logFollower.start()
    await changes.follow(sourcesOf(prepared.table))
    const evictionWarning = redis && isRedisReady ? await evictionFault(redis.client) : undefined
    // The first requests find connections open.
    await origin.warm(Math.min(connections, 4))
    const invalidate = purger(logFollower, redis !== undefined)
    const state = () => ({
      uptimeSeconds: clock.now() / 1000,
      degradationLevel: degradation.level,
      degradationSeconds: degradation.forMs / 1000,
      memory: { bytes: memory.bytes, maxBytes: memory.maxBytes, entries: memory.entries },
      ...(redis && { redis: { connected: redis.client.status === 'ready' } }),
      coherence: { ...logFollower.state, follow: { mode: changes.mode, state: changes.state, why: changes.why } },
      postgres: origin.connections,
      breakers: gauges.breakers(),
      clients,
      flights: cache.flights,
      ...(upstream && { upstream: { underWay: upstream.underWay } }),
    })
    let isWarming = true
    void warm(prepared.warm, cache, longestWarmMs, clock, observe).then(() => {
      isWarming = false
    })

    const server = publicServer({
      routes: () => routing.table,
      cache: traces?.cache(cache) ?? cache,
      audit: new Audit({ ledger, clock, observe, random }),
      variants,
      origin,
      passthrough: upstream,
      cors: config.cors.origins,
      scheduler: scheduler,
      clock,
      observe,
      limits: limitsOf(config),
      certificate: config.listen.tls,
      random,
      within: traces && ((...all) => traces.within(...all)),
    })
    if (traces) {
      traces.follow(server.server)
      server.addHook('preHandler', (request, _reply, done) =>
        traces.within(request.raw, request.road.found?.route.path, done),
      )
    }
    server.server.on('connection', (socket) => {
      clients += 1
      socket.once('close', () => {
        clients -= 1
      })
    })
    server.addHook('onClose', () => othersClosed(server.server))
    const needsToken = config.admin.token !== undefined
    const advice = () => {
      const { routes } = counts.counts()
      return advise(
        refreshStats.routes((route) => routes[route]?.requests ?? 0),
        refreshStats.memory(memory.maxBytes),
      )
    }
    const stats = () => ({
      version,
      needsToken,
      ...state(),
      ...statsOf(counts.counts(), history, recentEvents),
      advice: advice(),
    })
    const admin = newServer(1024 ** 2, random)
    dashboardRoutes(admin, {
      stats,
      history,
      isRoute: (name) => routing.table.byName.has(name),
      hotKeys: (route) => hotKeys.of(route),
      slowest: (route) => recentEvents.slowest(route),
    })
    history.listen(() => hotKeys.settle())
    history.start()
    adminRoutes(admin, {
      token: config.admin.token,
      metrics: counts,
      memory,
      state,
      stats,
      now: () => clock.now(),
      notReady: () => (drainingSince !== undefined ? 'it is draining' : isWarming ? 'it is warming up' : undefined),
      routes: () => routing.table.routes.map(describeRoute),
      purge: (request) => invalidate(purgedTags(routing.table, request), request.soft),
      async reload() {
        const outcome = await routing.reload(readConfig)
        await changes.follow(sourcesOf(routing.table))
        return outcome
      },
    })
    return {
      public: server,
      admin,
      warnings: [...prepared.inspection.warnings, ...changes.warnings, ...(evictionWarning ? [evictionWarning] : [])],
      tiers: ['memory', ...(redis ? [isRedisReady ? 'redis' : 'redis (not reachable now)'] : [])],
      drain: (signal) => {
        drainingSince = clock.now()
        observe({ kind: 'draining', signal })
        upstream?.drain()
      },
      handOver: () => handOver(server.server, clock, config.limits.drainTimeout),
      cut: () => {
        for (const { server: listener } of [server, admin]) listener.closeAllConnections()
        void upstream?.close()
      },
      close,
    }
  } catch (error) {
    await close()
    throw error
  }
}

function upstreamOf(
  { upstream, limits }: Config,
  clock: Clock,
  random: () => number,
  observe: Observe,
): Passthrough | undefined {
  if (upstream.url === undefined) return undefined
  return passthrough(
    {
      url: upstream.url,
      maxRequests: upstream.maxRequests,
      connectTimeoutMs: upstream.connectTimeout,
      firstByteTimeoutMs: upstream.firstByteTimeout,
      idleTimeoutMs: limits.idleTimeout,
      trusted: networks(upstream.trustedProxies),
      maxHeaderBytes: limits.maxHeader,
    },
    clock,
    random,
    observe,
  )
}

function limitsOf({ limits, request, upstream }: Config): PublicServerLimits {
  return {
    maxConnections: limits.maxConnections,
    maxRequests: limits.maxRequests,
    maxHeaderBytes: limits.maxHeader,
    headerTimeoutMs: limits.headerTimeout,
    // While an answer is awaited nothing moves, and that has limits of its own.
    quietMs: Math.max(limits.idleTimeout, upstream.firstByteTimeout, request.timeout) + 1000,
    keepAliveTimeoutMs: limits.keepAliveTimeout,
    maxBodyBytes: request.maxBody,
    maxParameters: request.maxParameters,
  }
}
