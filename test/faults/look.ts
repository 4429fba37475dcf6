import { setTimeout as pause } from 'node:timers/promises'
import { until } from '../../bench/until.ts'
import { newId, statusOf } from './load.ts'
import type { Stand } from './stand.ts'

/** The program under test, or the bare cache in its place. */
export interface Target {
  url: string
  adminUrl: string
  /** Its output so far. */
  log(): string
}

interface Ready {
  degradationLevel: string
  redis: { connected: boolean }
}

/** Samples the degradation level and the breakers until `end` is called. */
export function watching(target: Target): { end(): Promise<{ levels: string[]; breakers: string[] }> } {
  const levels = new Set<string>()
  const breakers = new Set<string>()
  let isOver = false
  const looking = (async () => {
    while (!isOver) {
      const level = (await ready(target))?.degradationLevel
      if (level !== undefined && level !== 'healthy') levels.add(level)
      for (const [, name] of (await metrics(target)).matchAll(/^onramp_breaker_state\{name="(.+)"\} 1$/gm))
        breakers.add(name as string)
      await pause(100) // the sampling interval
    }
  })()
  return {
    async end() {
      isOver = true
      await looking
      return { levels: [...levels], breakers: [...breakers] }
    },
  }
}

/** Resolves to the seconds until every tier is in use and a new entry reaches Redis; to null after `waitMs`. */
export async function untilHealthy(stand: Stand, target: Target, waitMs: number): Promise<number | null> {
  const began = performance.now()
  const isHealthy = async () => {
    const isConnected = (await ready(target))?.redis.connected === true
    return isConnected && !/_state\{name="(redis|origin)"\} [12]/.test(await metrics(target)) && isKept(stand, target)
  }
  return (await comes(isHealthy, waitMs)) ? (performance.now() - began) / 1000 : null
}

/** Waits for the level healthy: one rejected request keeps the level at shedding for some seconds. */
export function untilLevelHealthy(target: Target, waitMs: number): Promise<boolean> {
  return comes(async () => (await ready(target))?.degradationLevel === 'healthy', waitMs)
}

/** Resolves to whether `isSo` holds within `waitMs`. A broken promise is a result, no error. */
function comes(isSo: () => Promise<boolean>, waitMs: number): Promise<boolean> {
  return until(isSo, true, waitMs).catch(() => false)
}

/** Resolves to whether an answer to a new request is kept in Redis, which happens after the response. */
async function isKept(stand: Stand, target: Target): Promise<boolean> {
  const id = newId()
  if ((await statusOf(`${target.url}/cold/${id}`)) !== 200) return false
  const keys = async () => (await stand.redis.command('KEYS', `*cold@*id=${id}`).catch(() => [])) as string[]
  return comes(async () => (await keys()).length > 0, 100)
}

async function ready(target: Target): Promise<Ready | undefined> {
  const response = await fetch(`${target.adminUrl}/ready`).catch(() => undefined)
  return response?.ok ? ((await response.json()) as Ready) : undefined
}

async function metrics(target: Pick<Target, 'adminUrl'>): Promise<string> {
  const response = await fetch(`${target.adminUrl}/metrics`).catch(() => undefined)
  return (await response?.text()) ?? ''
}

/** Statements sent so far, as the program counts them. */
export const sqlCount = (target: Pick<Target, 'adminUrl'>) =>
  metricSum(target, /^onramp_origin_queries_total\{.*\} (\d+)$/gm)
/** Fills rejected so far, those by an open breaker excepted. */
export const shedCount = (target: Target) =>
  metricSum(target, /^onramp_shed_total\{.*reason="(?!breaker-open).*\} (\d+)$/gm)

/** Adds up the numbers that `line` finds in the metrics. */
async function metricSum(target: Pick<Target, 'adminUrl'>, line: RegExp): Promise<number> {
  return [...(await metrics(target)).matchAll(line)].reduce((total, [, count]) => total + Number(count), 0)
}
