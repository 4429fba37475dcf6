// Puts everything together: each part once, in the order in which a request meets them.
import type { Logger } from 'pino'
import { Audit } from './cache/audit.ts'
import { FailOpenTier } from './cache/fail-open.ts'
import { HotKeys } from './cache/hot-keys.ts'
import { noLeases, redisLeases } from './cache/lease.ts'
import { memoryTier } from './cache/memory.ts'
import { ReadThrough } from './cache/read-through.ts'
import { connectRedis, evictionFaults, redisTier, redisTierNames, untilReady } from './cache/redis.ts'
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
import { Dispatcher, publicLimits } from './http/dispatch.ts'
import { PublicListener } from './http/listener.ts'
import { describeRoute } from './http/routes/description.ts'
import { prepare } from './http/routes/prepare.ts'
import { purgedTags } from './http/routes/purged-tags.ts'
import { RouteReads } from './http/routes/reads.ts'
import { Routing } from './http/routes/routing.ts'
import { upstreamOptions } from './http/upstream/address.ts'
import { Passthrough } from './http/upstream/passthrough.ts'
import { adminListener } from './ops/admin-listener.ts'
import { type Observers, startObservers } from './ops/observers.ts'
import { GuardedOrigin } from './origin/guard.ts'
import { PostgresOrigin } from './origin/postgres.ts'
import { detectOverload } from './overload/detector.ts'
import { Scheduler } from './overload/scheduler.ts'
import { RunningApp } from './running-app.ts'
import { answerSources } from './sources.ts'

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

type Base = Surroundings & Observers & { opened: AsyncDisposableStack }
type Reading = ReturnType<typeof readDatabase>
type Coherence = ReturnType<typeof keepCoherent>
type Caching = ReturnType<typeof cacheAnswers>

/** For how long at most /ready waits for what `warm` lists, and the start for Redis, in milliseconds. */
const [longestWarmMs, redisReadyMs] = [10_000, 1000]
/** The most a reader waits for a place in the invalidation log that it names, in milliseconds. */
const positionMs = 50
/** How much longer than a statement a lease lasts, in milliseconds: a holder that is alive has filled, or given up, by then. */
const leaseGraceMs = 250

/**
 * Opens connections, does not listen. Throws a Refusal when the database has something against the configuration; what was opened by
 * then is closed.
 */
export async function createApp(given: Surroundings): Promise<RunningApp> {
  await using opened = new AsyncDisposableStack()
  const base: Base = { ...given, ...(await startObservers(given, opened)), opened }
  const reading = readDatabase(base)
  const coherence = keepCoherent(base)
  const caching = cacheAnswers(base, reading, coherence)
  const serving = await serveRoutes(base, reading, coherence, caching)
  const { routing } = serving
  const purge = purger(coherence.logFollower, coherence.redis !== undefined)
  const parts = { ...base, ...reading, ...coherence, ...caching, ...serving }
  const admin = adminListener({
    ...parts,
    token: given.config.admin.token,
    routes: () => routing.table.routes.map(describeRoute),
    purge: (request) => purge(purgedTags(routing.table, request), request.soft),
    reload: () => routing.reload(given.readConfig),
  })
  return new RunningApp({ ...parts, admin, closing: opened.move() })
}

/** The database behind its guards, and how this process is kept from more work than it can do. */
function readDatabase({ config, databaseUrl, clock, observe, opened }: Base) {
  const { connections, statementTimeout: statementTimeoutMs, maxRows, maxBytes } = config.postgres
  const scheduler = new Scheduler(clock)
  const overload = detectOverload(clock, () => scheduler.waitedMs)
  opened.defer(() => overload.stop())
  const settings = { url: databaseUrl, connections, statementTimeoutMs, maxRows, maxBytes }
  const waitMs = config.request.timeout - statementTimeoutMs
  const guards = {
    slots: connections,
    waitMs,
    statementMs: statementTimeoutMs,
    isOverloaded: () => overload.isOverloaded,
  }
  const origin = new GuardedOrigin(new PostgresOrigin(settings, clock, observe), guards, clock, observe)
  opened.defer(() => origin.close())
  return { scheduler, overload, origin }
}

/** What has been invalidated, and the log that tells every process. */
function keepCoherent({ config, clock, observe, opened }: Base) {
  const { url, keyPrefix } = config.redis
  const redis = url === undefined ? undefined : connectRedis(url, observe)
  opened.defer(() => redis?.close())
  const log = redis ? redisLog(redis.client, redis.waiting(), keyPrefix) : ownLog()
  const ledger = new Ledger()
  const logFollower = new LogFollower({ log, ledger, clock, observe })
  opened.defer(() => logFollower.close())
  return { redis, ledger, logFollower }
}

/** The tiers, nearest first, and reading through them. */
function cacheAnswers(base: Base, { overload, scheduler }: Reading, { redis, ledger, logFollower }: Coherence) {
  const { config, clock, observe, random, traces } = base
  const { keyPrefix, timeout } = config.redis
  const hotKeys = new HotKeys(random)
  const memory = memoryTier(config.memory.maxBytes, observe, (key) => hotKeys.note(key))
  const limits = { deadlineMs: timeout, failuresToOpen: 5, openMs: 1000, isLate: () => overload.isLate }
  const shared = redis && redisTier(redis.client, keyPrefix, logFollower, clock, observe)
  const farther = (shared ? [shared] : []).map((tier) => new FailOpenTier(tier, limits, clock, observe))
  const leaseMs = config.postgres.statementTimeout + leaseGraceMs
  const [server] = farther
  const cache = new ReadThrough({
    memory: traces?.memory(memory) ?? memory,
    farther: traces ? farther.map((tier) => traces.tier(tier)) : farther,
    leases:
      redis && server ? redisLeases(redis.client, keyPrefix, leaseMs, server, () => logFollower.isShared) : noLeases,
    ...{ ledger, clock, observe, random, softMs: config.request.softTimeout, deadlineMs: config.request.timeout },
    // Half of the connections are left to those who wait.
    mayRefresh: (underWay) => underWay < Math.ceil(config.postgres.connections / 2) && !overload.isOverloaded,
    reached: (position) => logFollower.reached(position, positionMs),
    turn: () => scheduler.turn(),
  })
  return { hotKeys, memory, farther, cache, sources: answerSources([memory, ...(redis ? farther : [redisTierNames])]) }
}

/** The routes, the following of what they read, and the listener that clients meet. */
async function serveRoutes(
  base: Base,
  { origin, scheduler }: Reading,
  coherence: Coherence,
  { memory, cache }: Caching,
) {
  const { config, clock, observe, random, traces, opened } = base
  const { redis, ledger, logFollower } = coherence
  const isReady = redis && untilReady(redis.client, clock, redisReadyMs)
  const [prepared] = await Promise.all([prepare(config, origin), isReady])
  const routing = new Routing({ config, prepared, origin, logFollower, observe })
  const changes = new DatabaseFollower({
    url: base.databaseUrl,
    mode: config.postgres.follow,
    fleet: redis && config.redis.keyPrefix,
    consumer: new Publisher(logFollower, clock, observe),
    redefined: () => routing.inspectAgain(),
    ...{ clock, observe, random },
  })
  opened.defer(() => changes.close())
  routing.onSources((sources) => changes.follow(sources))
  await logFollower.start()
  await changes.follow(routing.sources)
  await origin.warm(Math.min(config.postgres.connections, 4)) // the first requests find connections open
  const reads = new RouteReads(() => routing.table, origin)
  const listed = prepared.warm.map(({ route, params }) => reads.of(route, params))
  void warm(listed, cache, longestWarmMs, clock, observe).then(() => base.readiness.warmed())
  const options = upstreamOptions(config)
  const upstream = options && new Passthrough(options, clock, random, observe)
  opened.defer(() => upstream?.close())
  const limits = publicLimits(config)
  const listener = new PublicListener(limits, config.listen.tls, clock, observe)
  const dispatcher = new Dispatcher({
    ...{ listener, limits, origin, scheduler, clock, observe, random },
    traces,
    routes: () => routing.table,
    cache: traces?.cache(cache) ?? cache,
    audit: new Audit({ ledger, clock, observe, random }),
    variants: new VariantBuilder(memory, observe),
    passthrough: upstream,
    cors: config.cors.origins,
  })
  listener.serve(dispatcher)
  traces?.follow(listener.server)
  const evictions = redis?.isConnected ? await evictionFaults(redis.client) : []
  return {
    routing,
    changes,
    upstream,
    listener,
    warnings: [...prepared.inspection.warnings, ...changes.warnings, ...evictions],
  }
}
