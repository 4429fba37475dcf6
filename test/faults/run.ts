import { Control, type Lane, Load, newId, type Sample, statusOf } from './load.ts'
import { isFull } from './results.ts'
import { redisDeadlineMs, type Stand } from './stand.ts'

/** Something that goes wrong, and what is promised while it does. */
export interface Fault {
  name: string
  /** Makes it go wrong. Resolves to what makes it go well again. */
  inject(stand: Stand): Promise<() => unknown> | (() => unknown)
  /** What is asked for the first time: it is answered as ever, or what does not depend on the same table is, or it may fail. */
  unheld: 'answered' | 'other answered' | 'may fail'
  /** The worst rung of the ladder it must be seen on, and a breaker that must be seen open. */
  rung?: 'memory-only' | 'stale-only' | 'shed'
  breaker?: string
  /** What the log must say meanwhile. */
  log?: RegExp
  /** Seconds in which it is to be well again, on a machine that has nothing else to do; twice that is a broken promise. */
  healthyWithin: number
  /** The most statements a second while it lasts. */
  mostSql?: number
}

/** The program, or what is there in its place. */
export interface Target {
  url: string
  adminUrl: string
  /** Everything it has written so far. */
  log(): string
}

/** What a share of the requests met. */
export interface Share {
  sent: number
  failed: number
  /** The slowest, beyond the median of the same before the fault. */
  worstAddedMs: number
}

export interface Result {
  fault: string
  /** Held, fresh or stale. */
  held: Share
  /** Held, but past `stale`: served only if the database fails. */
  old: Share
  /** Never asked for before. */
  cold: Share
  other: Share
  /** From when it was mended to when all is in use again and something new is read and kept everywhere; null: never. */
  healthySeconds: number | null
  /** It came to the first rung of the ladder in the end. */
  isFull: boolean
  sqlPerSecondBefore: number
  sqlPerSecond: number
  /** The rungs it was seen on, and the breakers that were seen open. */
  rungs: string[]
  breakers: string[]
  log: string
  /** The slowest answer of a server that does nothing and to which nothing happens, all the while: how busy the machine is. */
  noiseMs: number
  /** Fills refused because there was too much to do. */
  shed: number
}

/** How long a fault lasts, and the load before it. */
export const holdMs = isFull ? 10_000 : 3000
const beforeMs = isFull ? 3000 : 1000

/** Puts `target` under load, makes `fault` happen to it, mends that, and waits until it is well: at most `waitMs`. */
export async function run(fault: Fault, stand: Stand, target: Target, waitMs = 20_000): Promise<Result> {
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
  const isFull = await untilFull(target, waitMs)
  const { rungs, breakers } = await watch.end()
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
    isFull,
    sqlPerSecondBefore: (sqlBefore - sqlAtStart) / ((injectedAt - startedAt) / 1000),
    sqlPerSecond: (sqlAfter - sqlBefore) / ((healedAt - injectedAt) / 1000),
    rungs,
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
  | 'no table waits for another'
  | 'it heals by itself in time'
  | 'the ladder tells'
  | 'the breaker opens'
  | 'the log tells'
  | 'the database is spared'

/**
 * The promises of `fault` that `result` breaks, in sentences. A machine with other things to do is allowed for, by what it did
 * meanwhile to a server that nothing happens to.
 */
export function broken(fault: Fault, result: Result): Promised[] {
  const { held, old, cold, other, healthySeconds, rungs, breakers, log, noiseMs } = result
  const mostAddedMs = redisDeadlineMs + 400 + 2 * noiseMs
  const mostSeconds = 2 * fault.healthyWithin + (5 * noiseMs) / 1000
  const mostFailed = noiseMs > 100 ? result.shed : 0
  const answered = { answered: [cold, other], 'other answered': [other], 'may fail': [] }[fault.unheld]
  const quick = fault.unheld === 'answered' ? [held, cold, other] : [held]
  const promises: [Promised, boolean][] = [
    ['no request for what is held fails', held.failed + old.failed === 0],
    ['what need not fail does not', answered.every(({ failed }) => failed <= mostFailed)],
    ['nobody waits longer than one deadline of Redis', quick.every(({ worstAddedMs }) => worstAddedMs < mostAddedMs)],
    ['no table waits for another', fault.unheld !== 'other answered' || other.worstAddedMs < mostAddedMs + 1000],
    ['it heals by itself in time', healthySeconds !== null && healthySeconds <= mostSeconds],
    ['the ladder tells', (fault.rung === undefined || rungs.includes(fault.rung)) && result.isFull],
    ['the breaker opens', fault.breaker === undefined || breakers.includes(fault.breaker)],
    ['the log tells', fault.log === undefined || fault.log.test(log)],
    ['the database is spared', fault.mostSql === undefined || result.sqlPerSecond <= fault.mostSql],
  ]
  return promises.filter(([, isKept]) => !isKept).map(([promise]) => promise)
}

function shareOf(samples: readonly Sample[], from: number, wanted: Lane[]): Share {
  const all = samples.filter(({ lane }) => wanted.includes(lane))
  const during = all.filter(({ at }) => at >= from)
  const before = all.filter(({ at }) => at < from).map(({ ms }) => ms)
  const median = before.sort((a, b) => a - b)[Math.floor(before.length / 2)] ?? 0
  return {
    sent: during.length,
    failed: during.filter(({ isFailed }) => isFailed).length,
    worstAddedMs: Math.max(0, ...during.map(({ ms }) => ms - median)),
  }
}

interface Ready {
  rung: string
  redis: { connected: boolean }
}

/** Looks at the ladder and the breakers until told to end. */
function watching(target: Target): { end(): Promise<{ rungs: string[]; breakers: string[] }> } {
  const rungs = new Set<string>()
  const breakers = new Set<string>()
  let isOver = false
  const looking = (async () => {
    while (!isOver) {
      const rung = (await ready(target))?.rung
      if (rung !== undefined && rung !== 'full') rungs.add(rung)
      for (const [, name] of (await metrics(target)).matchAll(/^onramp_breaker_state\{name="(.+)"\} 1$/gm))
        breakers.add(name as string)
      await pause(100)
    }
  })()
  return {
    async end() {
      isOver = true
      await looking
      return { rungs: [...rungs], breakers: [...breakers] }
    },
  }
}

/** Seconds until every tier is in use and something new is read and found in Redis too; null when that takes for ever. */
async function untilHealthy(stand: Stand, target: Target, waitMs: number): Promise<number | null> {
  const began = performance.now()
  while (performance.now() - began < waitMs) {
    const state = await ready(target)
    const isInUse =
      state?.redis.connected === true && !/_state\{name="(redis|origin)"\} [12]/.test(await metrics(target))
    if (isInUse && (await isKept(stand, target))) return (performance.now() - began) / 1000
    await pause(20)
  }
  return null
}

/** Waits until it stands on the first rung: one refused request keeps it on the last for some seconds. */
async function untilFull(target: Target, waitMs: number): Promise<boolean> {
  const began = performance.now()
  while (performance.now() - began < waitMs) {
    if ((await ready(target))?.rung === 'full') return true
    await pause(20)
  }
  return false
}

async function isKept(stand: Stand, target: Target): Promise<boolean> {
  const id = newId()
  if ((await statusOf(`${target.url}/cold/${id}`)) !== 200) return false
  await pause(10)
  const found = await stand.redis.command('KEYS', `*cold@*id=${id}`).catch(() => [])
  return (found as string[]).length > 0
}

async function ready(target: Target): Promise<Ready | undefined> {
  const response = await fetch(`${target.adminUrl}/ready`).catch(() => undefined)
  return response?.ok ? ((await response.json()) as Ready) : undefined
}

async function metrics(target: Pick<Target, 'adminUrl'>): Promise<string> {
  const response = await fetch(`${target.adminUrl}/metrics`).catch(() => undefined)
  return (await response?.text()) ?? ''
}

/** Statements tried so far, as the program itself counts them. */
const sqlCount = (target: Target) => metricSum(target, /^onramp_origin_queries_total\{.*\} (\d+)$/gm)
/** Fills refused for another reason than an open breaker. */
const shedCount = (target: Target) => metricSum(target, /^onramp_shed_total\{.*reason="(?!breaker-open).*\} (\d+)$/gm)

/** The sum of what `line` finds in the metrics. */
export async function metricSum(target: Pick<Target, 'adminUrl'>, line: RegExp): Promise<number> {
  return [...(await metrics(target)).matchAll(line)].reduce((total, [, count]) => total + Number(count), 0)
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
