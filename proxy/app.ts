import type { FastifyInstance } from 'fastify'
import type { Logger } from 'pino'
import { networks } from './address.ts'
import { failOpen } from './cache/fail-open.ts'
import { Hottest } from './cache/hottest.ts'
import { noLeases, redisLeases } from './cache/lease.ts'
import { memoryTier } from './cache/memory.ts'
import { ReadThrough } from './cache/read-through.ts'
import { connectRedis, redisTier, untilReady } from './cache/redis.ts'
import { Variants } from './cache/variants.ts'
import type { Clock } from './clock.ts'
import { Ledger } from './coherence/ledger.ts'
import { InvalidationLog } from './coherence/log.ts'
import { purger } from './coherence/purge.ts'
import type { Config } from './config.ts'
import { newServer } from './http/framework.ts'
import { type Passthrough, passthrough } from './http/passthrough.ts'
import { describeRoute, prepare, purgedTags, Routing } from './http/prepare.ts'
import { type Limits, publicServer } from './http/server.ts'
import { type Observe, observers } from './observation.ts'
import { adminRoutes } from './ops/admin.ts'
import { dashboardRoutes } from './ops/dashboard.ts'
import { History } from './ops/history.ts'
import { Ladder } from './ops/ladder.ts'
import { Lately } from './ops/lately.ts'
import { logger } from './ops/log.ts'
import { eventLoopLag, type Gauges, metrics } from './ops/metrics.ts'
import { statsOf } from './ops/stats.ts'
import { guard } from './origin/guard.ts'
import { postgresOrigin } from './origin/postgres.ts'

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
  /** From here on /ready says no. */
  drain(): void
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
    rung: () => ladder.rung,
    clients: () => clients,
    eventLoopLagSeconds: lag.read,
  }
  let clients = 0
  const counts = metrics(gauges, version, nodeVersion)
  const write = logger(pino, config.log.slow / 1000, clock)
  const lately = new Lately(clock)
  const tell = observers(write, lately.observe)
  const ladder = new Ladder(clock, (rung, before) => tell({ kind: 'rung', rung, before }))
  const observe = observers(counts.observe, tell, ladder.observe)
  const { connections, statementTimeout, maxRows, maxBytes } = config.postgres
  const database = { url: databaseUrl, connections, statementTimeoutMs: statementTimeout, maxRows, maxBytes }
  const guards = { slots: connections, waitMs: config.request.timeout, slowMs: statementTimeout / 2 }
  const origin = guard(postgresOrigin(database, clock, observe), guards, clock, observe)
  const ledger = new Ledger()

  const hottest = new Hottest(random)
  const memory = memoryTier(config.memory.maxBytes, observe, (key) => hottest.note(key))
  const variants = new Variants(memory, observe)
  const { url, keyPrefix, timeout } = config.redis
  const redis = url === undefined ? undefined : connectRedis(url, timeout, observe)
  const log = redis && new InvalidationLog(redis.client, keyPrefix, ledger, observe)
  const shared = redis && log && redisTier(redis.client, keyPrefix, () => log.catchUp(), clock, observe)
  const tier = shared && failOpen(shared, { deadlineMs: timeout, failuresToOpen: 5, openMs: 1000 }, clock, observe)
  const farther = tier ? [tier] : []
  // A holder that is alive has filled, or given up, by then.
  const leases = redis && tier ? redisLeases(redis.client, keyPrefix, statementTimeout + 250, tier) : noLeases
  const cache = new ReadThrough({
    memory,
    farther,
    leases,
    ledger,
    variants,
    clock,
    observe,
    random,
    deadlineMs: config.request.timeout,
  })
  const upstream = upstreamOf(config, clock, random, observe)
  const history = new History(clock, counts.counts, () => ({
    poolActive: origin.connections.total - origin.connections.idle,
    poolWaiting: origin.connections.waiting,
    memoryBytes: memory.bytes,
    entries: memory.entries,
    clients,
  }))
  const close = async () => {
    lag.stop()
    history.stop()
    redis?.close()
    await Promise.all([origin.close(), upstream?.close()])
  }

  try {
    const [prepared, isRedisReady] = await Promise.all([
      prepare(config, origin),
      redis && untilReady(redis.client, clock, 1000),
    ])
    // The first requests find connections open.
    await origin.warm(Math.min(connections, 4))
    const routing = new Routing(config, prepared, origin, observe)
    const invalidate = purger(ledger, log, clock, observe)
    const state = () => ({
      uptimeSeconds: clock.now() / 1000,
      rung: ladder.rung,
      rungSeconds: ladder.forMs / 1000,
      memory: { bytes: memory.bytes, maxBytes: memory.maxBytes, entries: memory.entries },
      ...(redis && { redis: { connected: redis.client.status === 'ready' } }),
      postgres: origin.connections,
      breakers: gauges.breakers(),
      clients,
      flights: cache.flights,
      ...(upstream && { upstream: { underWay: upstream.underWay } }),
    })
    let isDraining = false

    const server = publicServer({
      routes: () => routing.table,
      cache,
      origin,
      passthrough: upstream,
      cors: config.cors.origins,
      clock,
      observe,
      limits: limitsOf(config),
      certificate: config.listen.tls,
      random,
    })
    server.server.on('connection', (socket) => {
      clients += 1
      socket.once('close', () => {
        clients -= 1
      })
    })
    const needsToken = config.admin.token !== undefined
    const stats = () => ({ version, needsToken, ...state(), ...statsOf(counts.counts(), history, lately) })
    const admin = newServer(1024 ** 2, random)
    dashboardRoutes(admin, {
      stats,
      history,
      isRoute: (name) => routing.table.byName.has(name),
      hottest: (route) => hottest.of(route),
      slowest: (route) => lately.slowest(route),
    })
    history.listen(() => hottest.settle())
    history.start()
    adminRoutes(admin, {
      token: config.admin.token,
      metrics: counts,
      memory,
      state,
      stats,
      now: () => clock.now(),
      notReady: () => (isDraining ? 'it is draining' : undefined),
      routes: () => routing.table.routes.map(describeRoute),
      purge: (request) => invalidate(purgedTags(routing.table, request), request.soft),
      reload: () => routing.reload(readConfig),
    })
    return {
      public: server,
      admin,
      warnings: prepared.inspection.warnings,
      tiers: ['memory', ...(redis ? [isRedisReady ? 'redis' : 'redis (not reachable now)'] : [])],
      drain: () => {
        isDraining = true
        upstream?.drain()
      },
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

function limitsOf({ limits, request, upstream }: Config): Limits {
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
