import { setTimeout as pause } from 'node:timers/promises'
import { type FaultResult, isFull, type Share } from '../../bench/fault-results.ts'
import { type DegradationLevel, degradationLevels } from '../../proxy/ops/degradation.ts'
import { Control, type Lane, Load, type Sample } from './load.ts'
import { shedCount, sqlCount, type Target, untilHealthy, untilLevelHealthy, watching } from './look.ts'
import { redisDeadlineMs, type Stand } from './stand.ts'

/** A fault, and the promises that hold during it. */
export interface Fault {
  name: string
  /** Starts the fault. Resolves to the function that ends it. */
  inject(stand: Stand): Promise<() => unknown> | (() => unknown)
  /** Requests for new keys: all are answered, or those of the table that is not affected, or all may fail. */
  unheld: 'answered' | 'other answered' | 'may fail'
  /** The degradation level, or a worse one, must be reported. */
  level?: DegradationLevel
  /** This circuit breaker must open. */
  breaker?: string
  /** The log must have a line like this. */
  log?: RegExp
  /** Seconds to recover, on an idle machine; twice that breaks the promise. */
  healthyWithin: number
  /** The most statements a second during the fault. */
  mostSql?: number
}

export interface ObservedFault extends FaultResult {
  /** The output of the program since the fault began. */
  log: string
}

/** The duration of a fault. */
export const holdMs = isFull ? 10_000 : 3000
/** The duration of the load before the fault. */
const beforeMs = isFull ? 3000 : 1000

/** Puts `target` under load, starts `fault` and ends it, and waits at most `waitMs` for `target` to recover. */
export async function run(fault: Fault, stand: Stand, target: Target, waitMs = 20_000): Promise<ObservedFault> {
  const load = new Load(target.url)
  const control = new Control(stand.idleUrl)
  await untilHealthy(stand, target, waitMs)
  await load.warm()
  load.start()
  control.start()
  const shedAtStart = await shedCount(target)
  const sqlAtStart = await sqlCount(target)
  const startedAt = performance.now()
  await pause(beforeMs) // the load before the fault, with which it is compared
  const watch = watching(target)
  const logged = target.log().length
  const sqlBefore = await sqlCount(target)
  const injectedAt = performance.now()
  const heal = await fault.inject(stand)
  try {
    await pause(holdMs) // the fault itself
  } finally {
    await heal()
  }
  const healedAt = performance.now()
  const sqlAfter = await sqlCount(target)
  const healthySeconds = await untilHealthy(stand, target, waitMs)
  const isHealthy = await untilLevelHealthy(target, waitMs)
  const { levels, breakers } = await watch.end()
  const shed = (await shedCount(target)) - shedAtStart
  await Promise.all([load.stop(), control.stop()])

  const share = (...wanted: Lane[]) => shareOf(load.samples, injectedAt, wanted)
  return {
    fault: fault.name,
    held: share('fresh', 'stale'),
    old: share('old'),
    cold: share('cold'),
    other: share('other'),
    healthySeconds,
    isHealthy,
    sqlPerSecondBefore: (sqlBefore - sqlAtStart) / ((injectedAt - startedAt) / 1000),
    sqlPerSecond: (sqlAfter - sqlBefore) / ((healedAt - injectedAt) / 1000),
    levels,
    breakers,
    log: target.log().slice(logged),
    noiseMs: control.worstMs,
    shed,
  }
}

export type Promised =
  | 'no request for a cached entry fails'
  | 'no request fails without need'
  | 'no request waits longer than one deadline of Redis'
  | 'most requests do not wait for a failing Redis'
  | 'requests for one table do not wait for another'
  | 'the program recovers by itself in time'
  | 'the degradation level is reported'
  | 'the breaker opens'
  | 'the log reports the fault'
  | 'the load on the database is limited'

/**
 * The promises of `fault` that `result` breaks. The limits grow with the noise of the machine: the slowest answer of an idle server
 * at the same time.
 */
export function broken(fault: Fault, result: ObservedFault): Promised[] {
  const { held, old, cold, other, healthySeconds, levels, breakers, log, noiseMs } = result
  const mostAddedMs = redisDeadlineMs + 400 + 2 * noiseMs
  const mostSeconds = 2 * fault.healthyWithin + (5 * noiseMs) / 1000
  const mostFailed = noiseMs > 100 ? result.shed : 0
  const answered = { answered: [cold, other], 'other answered': [other], 'may fail': [] }[fault.unheld]
  const quick = fault.unheld === 'answered' ? [held, cold, other] : [held]
  const promises: [Promised, boolean][] = [
    ['no request for a cached entry fails', held.failed + old.failed === 0],
    ['no request fails without need', answered.every(({ failed }) => failed <= mostFailed)],
    [
      'no request waits longer than one deadline of Redis',
      quick.every(({ worstAddedMs }) => worstAddedMs < mostAddedMs),
    ],
    [
      'most requests do not wait for a failing Redis',
      fault.level !== 'memory-only' ||
        quick.every(({ typicalAddedMs }) => typicalAddedMs < redisDeadlineMs / 2 + noiseMs),
    ],
    [
      'requests for one table do not wait for another',
      fault.unheld !== 'other answered' || other.worstAddedMs < mostAddedMs + 1000,
    ],
    ['the program recovers by itself in time', healthySeconds !== null && healthySeconds <= mostSeconds],
    [
      'the degradation level is reported',
      (fault.level === undefined || levels.some(isAsBad(fault.level))) && result.isHealthy,
    ],
    ['the breaker opens', fault.breaker === undefined || breakers.includes(fault.breaker)],
    ['the log reports the fault', fault.log === undefined || fault.log.test(log)],
    ['the load on the database is limited', fault.mostSql === undefined || result.sqlPerSecond <= fault.mostSql],
  ]
  return promises.filter(([, isKept]) => !isKept).map(([promise]) => promise)
}

/** The level shedding is worse than an open circuit breaker, and outlasts a fault here: so a worse level counts too. */
const isAsBad = (least: DegradationLevel) => (seen: string) =>
  degradationLevels.indexOf(seen as DegradationLevel) >= degradationLevels.indexOf(least)

function shareOf(samples: readonly Sample[], from: number, wanted: Lane[]): Share {
  const all = samples.filter(({ lane }) => wanted.includes(lane))
  const during = all.filter(({ at }) => at >= from)
  const median = medianMs(all.filter(({ at }) => at < from))
  return {
    sent: during.length,
    failed: during.filter(({ isFailed }) => isFailed).length,
    worstAddedMs: Math.max(0, ...during.map(({ ms }) => ms - median)),
    typicalAddedMs: Math.max(0, medianMs(during) - median),
  }
}

function medianMs(samples: readonly Sample[]): number {
  const sorted = samples.map(({ ms }) => ms).sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? 0
}
