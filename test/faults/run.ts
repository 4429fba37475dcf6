import { setTimeout as pause } from 'node:timers/promises'
import { type FaultResult, isFull, type Share } from '../../bench/fault-results.ts'
import { type DegradationLevel, degradationLevels } from '../../proxy/ops/degradation.ts'
import { Control, type Lane, Load, type Sample } from './load.ts'
import { shedCount, sqlCount, type Target, untilHealthy, untilLevelHealthy, watching } from './look.ts'
import { redisDeadlineMs, type Stand } from './stand.ts'

/** Something that goes wrong, and what is promised while it does. */
export interface Fault {
  name: string
  /** Makes it go wrong. Resolves to what makes it go well again. */
  inject(stand: Stand): Promise<() => unknown> | (() => unknown)
  /** What is asked for the first time: it is answered as ever, or what does not depend on the same table is, or it may fail. */
  unheld: 'answered' | 'other answered' | 'may fail'
  /** The degradation level it must be seen on, or a worse one, and a breaker that must be seen open. */
  level?: DegradationLevel
  breaker?: string
  /** What the log must say meanwhile. */
  log?: RegExp
  /** Seconds in which it is to be well again, on a machine that has nothing else to do; twice that is a broken promise. */
  healthyWithin: number
  /** The most statements a second while it lasts. */
  mostSql?: number
}

export interface ObservedFault extends FaultResult {
  /** What the program has written meanwhile. */
  log: string
}

/** How long a fault lasts, and the load before it. */
export const holdMs = isFull ? 10_000 : 3000
const beforeMs = isFull ? 3000 : 1000

/** Puts `target` under load, makes `fault` happen to it, mends that, and waits until it is well: at most `waitMs`. */
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
  await pause(beforeMs)
  const watch = watching(target)
  const logged = target.log().length
  const sqlBefore = await sqlCount(target)
  const injectedAt = performance.now()
  const heal = await fault.inject(stand)
  try {
    await pause(holdMs)
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
  | 'no request for what is held fails'
  | 'what need not fail does not'
  | 'nobody waits longer than one deadline of Redis'
  | 'most wait for a failing Redis not at all'
  | 'no table waits for another'
  | 'it heals by itself in time'
  | 'the level is told'
  | 'the breaker opens'
  | 'the log tells'
  | 'the database is spared'

/**
 * The promises of `fault` that `result` breaks, in sentences. A machine with other things to do is allowed for, by what it did
 * meanwhile to a server that nothing happens to.
 */
export function broken(fault: Fault, result: ObservedFault): Promised[] {
  const { held, old, cold, other, healthySeconds, levels, breakers, log, noiseMs } = result
  const mostAddedMs = redisDeadlineMs + 400 + 2 * noiseMs
  const mostSeconds = 2 * fault.healthyWithin + (5 * noiseMs) / 1000
  const mostFailed = noiseMs > 100 ? result.shed : 0
  const answered = { answered: [cold, other], 'other answered': [other], 'may fail': [] }[fault.unheld]
  const quick = fault.unheld === 'answered' ? [held, cold, other] : [held]
  const promises: [Promised, boolean][] = [
    ['no request for what is held fails', held.failed + old.failed === 0],
    ['what need not fail does not', answered.every(({ failed }) => failed <= mostFailed)],
    ['nobody waits longer than one deadline of Redis', quick.every(({ worstAddedMs }) => worstAddedMs < mostAddedMs)],
    [
      'most wait for a failing Redis not at all',
      fault.level !== 'memory-only' ||
        quick.every(({ typicalAddedMs }) => typicalAddedMs < redisDeadlineMs / 2 + noiseMs),
    ],
    ['no table waits for another', fault.unheld !== 'other answered' || other.worstAddedMs < mostAddedMs + 1000],
    ['it heals by itself in time', healthySeconds !== null && healthySeconds <= mostSeconds],
    ['the level is told', (fault.level === undefined || levels.some(isAsBad(fault.level))) && result.isHealthy],
    ['the breaker opens', fault.breaker === undefined || breakers.includes(fault.breaker)],
    ['the log tells', fault.log === undefined || fault.log.test(log)],
    ['the database is spared', fault.mostSql === undefined || result.sqlPerSecond <= fault.mostSql],
  ]
  return promises.filter(([, isKept]) => !isKept).map(([promise]) => promise)
}

/** One refused request is worse than a database left alone, and stays to be seen for longer than a fault lasts here. */
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
