import { setTimeout as pause } from 'node:timers/promises'
import { until } from '../../bench/until.ts'
import { newId, statusOf } from './load.ts'
import type { Stand } from './stand.ts'

/** The program, or what is there in its place. */
export interface Target {
  url: string
  adminUrl: string
  /** Everything it has written so far. */
  log(): string
}

interface Ready {
  degradationLevel: string
  redis: { connected: boolean }
}

/** Looks at the level and the breakers until told to end. */
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
      await pause(100)
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

/** Seconds until every tier is in use and something new is read and found in Redis too; null when that takes for ever. */
export async function untilHealthy(stand: Stand, target: Target, waitMs: number): Promise<number | null> {
  const began = performance.now()
  const isHealthy = async () => {
    const isConnected = (await ready(target))?.redis.connected === true
    return isConnected && !/_state\{name="(redis|origin)"\} [12]/.test(await metrics(target)) && isKept(stand, target)
  }
  return (await comes(isHealthy, waitMs)) ? (performance.now() - began) / 1000 : null
}

/** Waits until it is healthy: one refused request keeps it at shedding for some seconds. */
export function untilLevelHealthy(target: Target, waitMs: number): Promise<boolean> {
  return comes(async () => (await ready(target))?.degradationLevel === 'healthy', waitMs)
}

/** Whether `isSo` comes to hold in time: a promise that is not kept is a result too. */
function comes(isSo: () => Promise<boolean>, waitMs: number): Promise<boolean> {
  return until(isSo, true, waitMs).catch(() => false)
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
export const sqlCount = (target: Pick<Target, 'adminUrl'>) =>
  metricSum(target, /^onramp_origin_queries_total\{.*\} (\d+)$/gm)
/** Fills refused for another reason than an open breaker. */
export const shedCount = (target: Target) =>
  metricSum(target, /^onramp_shed_total\{.*reason="(?!breaker-open).*\} (\d+)$/gm)

/** The sum of what `line` finds in the metrics. */
async function metricSum(target: Pick<Target, 'adminUrl'>, line: RegExp): Promise<number> {
  return [...(await metrics(target)).matchAll(line)].reduce((total, [, count]) => total + Number(count), 0)
}
