// Assembles the program: each part once, in the order in which a request meets them.
import type { Logger } from 'pino'
import { Audit } from './cache/audit.ts'
import { FailOpenTier } from './cache/fail-open.ts'
import { HotKeys } from './cache/hot-keys.ts'
import { noLeases, redisLeases } from './cache/lease.ts'
import { memoryTier } from './cache/memory.ts'
import { ReadThrough } from './cache/read-through.ts'
import { evictionFaults, RedisConnection, redisTier, redisTierNames, untilReady } from './cache/redis.ts'
import type { Tier } from './cache/tier.ts'
import { VariantBuilder } from './cache/variants.ts'
import { warm } from './cache/warm.ts'
import { DatabaseFollower } from './changes/database-follower.ts'
import type { Clock } from './clock.ts'
import { LogFollower } from './coherence/follower.ts'
import { Ledger } from './coherence/ledger.ts'
import { ownLog, redisLog } from './coherence/log.ts'
import { Publisher } from './coherence/publisher.ts'
import type { Config } from './config/schema.ts'
import { Dispatcher, publicLimits } from './http/dispatch.ts'
import { PublicListener } from './http/listener.ts'
import { prepare } from './http/routes/prepare.ts'
import { Routing } from './http/routes/routing.ts'
import { upstreamOptions } from './http/upstream/address.ts'
import { Passthrough } from './http/upstream/passthrough.ts'
import { adminListener } from './ops/admin-listener.ts'
import { type Observers, startObservers } from './ops/observers.ts'
import { GuardedOrigin } from './origin/guard.ts'
import { PostgresOrigin } from './origin/postgres.ts'
import { OverloadDetector } from './overload/detector.ts'
import { Scheduler } from './overload/scheduler.ts'
import { RunningApp } from './running-app.ts'
import { answerSources } from './sources.ts'

/** What the program needs from the process. */
export interface Surroundings {
  config: Config
  /** The address of the database. The embedded database has one only after it has started. */
  databaseUrl: string
  /** Reads the configuration file again. Throws a Refusal. */
  readConfig(): Config
  pino: Logger
  clock: Clock
  random(): number
  version: string
  nodeVersion: string
}

type Base = Surroundings & Observers & { opened: AsyncDisposableStack }
type Coherent = Base & ReturnType<typeof keepCoherent>
type Guarded = Coherent & ReturnType<typeof guardDatabase>
type Cached = Guarded & ReturnType<typeof readThrough>
type Followed = Cached & Awaited<ReturnType<typeof followRoutes>>

/** Maximum time, in milliseconds, that /ready waits for the reads listed in `warm`. */
const longestWarmMs = 10_000
/** Maximum time, in milliseconds, that a request waits for the position in the invalidation log that it names. */
const positionMs = 50

/**
 * Opens connections, does not listen yet. Throws a Refusal when the database rejects the configuration, and closes
 * everything it had opened.
 */
export async function createApp(given: Surroundings): Promise<RunningApp> {
  await using opened = new AsyncDisposableStack()
  const base = { ...given, ...(await startObservers(given, opened)), opened }
  const coherent = { ...base, ...keepCoherent(base) }
  const guarded = { ...coherent, ...guardDatabase(coherent) }
  const cached = { ...guarded, ...readThrough(guarded) }
  const followed = { ...cached, ...(await followRoutes(cached)) }
  const parts = { ...followed, ...serveClients(followed) }
  return new RunningApp({ ...parts, admin: adminListener(parts), closing: opened.move() })
}

/** The invalidation ledger, and the log that tells every process. */
function keepCoherent({ config, clock, observe, opened }: Base) {
  const { url, keyPrefix } = config.redis
  const redis = url === undefined ? undefined : new RedisConnection(url, observe)
  opened.defer(() => redis?.close())
  const log = redis ? redisLog(redis.client, redis.waiting(), keyPrefix) : ownLog()
  const ledger = new Ledger()
  const logFollower = new LogFollower({ log, ledger, clock, observe })
  opened.defer(() => logFollower.close())
  return { redis, ledger, logFollower }
}

/**
 * The database with its circuit breakers and bulkhead, and the overload detection of this process. Closed before Redis,
 * because Redis still stores the answers read until then.
 */
function guardDatabase({ config, databaseUrl, clock, observe, opened }: Coherent) {
  const { connections, statementTimeout: statementMs, maxRows, maxBytes } = config.postgres
  const scheduler = new Scheduler(clock)
  const overload = new OverloadDetector(clock, () => scheduler.waitedMs)
  opened.defer(() => overload.stop())
  const settings = { url: databaseUrl, connections, statementTimeoutMs: statementMs, maxRows, maxBytes }
  const waitMs = config.request.timeout - statementMs
  const guards = { slots: connections, waitMs, statementMs, isOverloaded: () => overload.isOverloaded }
  const origin = new GuardedOrigin(new PostgresOrigin(settings, clock, observe), guards, clock, observe)
  opened.defer(() => origin.close())
  return { scheduler, overload, origin }
}

/** The cache tiers, nearest first, and the read-through over them. */
function readThrough(base: Guarded) {
  const { config, clock, observe, random, traces, overload, scheduler, origin, redis, ledger, logFollower } = base
  const { keyPrefix, timeout: deadlineMs } = config.redis
  const hotKeys = new HotKeys(random)
  const memory = memoryTier(config.memory.maxBytes, observe, (key) => hotKeys.note(key))
  const limits = { deadlineMs, failuresToOpen: 5, openMs: 1000, isLate: () => overload.isLate }
  const failOpen = (tier: Tier) => new FailOpenTier(tier, limits, clock, observe)
  const shared = redis && failOpen(redisTier(redis.client, keyPrefix, logFollower, clock, observe))
  const farther = [shared].filter((tier) => tier !== undefined)
  const cache = new ReadThrough({
    ...{ ledger, clock, observe, random, softMs: config.request.softTimeout, deadlineMs: config.request.timeout },
    memory: traces?.memory(memory) ?? memory,
    farther: traces ? farther.map((tier) => traces.tier(tier)) : farther,
    leases:
      redis && shared
        ? redisLeases(redis.client, keyPrefix, config.postgres.statementTimeout, shared, logFollower)
        : noLeases,
    mayRefresh: (underWay) => origin.mayRefresh(underWay),
    reached: (position) => logFollower.reached(position, positionMs),
    turn: () => scheduler.turn(),
  })
  const audit = new Audit({ ledger, clock, observe, random })
  const variants = new VariantBuilder(memory, observe)
  const sources = answerSources([memory, ...farther, ...(redis ? [] : [redisTierNames])])
  return { hotKeys, memory, farther, cache, audit, variants, sources }
}

/** The routes, and the follower of the tables and functions that they read. */
async function followRoutes(base: Cached) {
  const { config, databaseUrl, clock, observe, random, opened, origin, redis, logFollower, cache, readiness } = base
  const [prepared] = await Promise.all([prepare(config, origin), redis && untilReady(redis.client, clock)])
  const routing = new Routing({ config, prepared, origin, logFollower, observe })
  const database = { url: databaseUrl, mode: config.postgres.follow, fleet: redis && config.redis.keyPrefix }
  const changes = new DatabaseFollower({
    ...{ ...database, clock, observe, random },
    consumer: new Publisher(logFollower, clock, observe),
    redefined: () => routing.inspectAgain(),
  })
  opened.defer(() => changes.close())
  routing.onFollowed((objects) => changes.follow(objects))
  await logFollower.start()
  await changes.follow(routing.followed)
  await origin.warm(Math.min(config.postgres.connections, 4)) // so that the first requests need not connect
  void warm(routing.listedReads, cache, longestWarmMs, clock, observe).then(() => readiness.warmed())
  const warnings = [...prepared.inspection.warnings, ...changes.warnings, ...(await evictionFaults(redis))]
  return { routing, changes, warnings }
}

/** The public listener, and the passthrough to the upstream. */
function serveClients(base: Followed) {
  const { config, clock, observe, random, traces, opened, cache } = base
  const options = upstreamOptions(config)
  const upstream = options && new Passthrough(options, clock, random, observe)
  opened.defer(() => upstream?.close())
  const limits = publicLimits(config)
  const listener = new PublicListener(limits, config.listen.tls, clock, observe)
  const dispatcher = new Dispatcher({
    ...{ ...base, listener, limits, passthrough: upstream, cors: config.cors.origins },
    cache: traces?.cache(cache) ?? cache,
  })
  listener.serve(dispatcher)
  traces?.follow(listener.server)
  return { upstream, listener }
}
