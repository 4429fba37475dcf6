import { setTimeout as wait } from 'node:timers/promises'
import { load, type Measured } from '../load.ts'
import { type Served, serve } from '../processes.ts'
import { median } from './passthrough.ts'

/** Hits while pages are open, divided by hits while none is: the median of the rounds, and how far the middle half of them spreads. */
export interface Row {
  pages: number
  throughput: number
  throughputSpread: [number, number]
  cpuPerRequest: number
  cpuPerRequestSpread: [number, number]
  p99: number
  /** The CPU time that the pages take a second, where nobody else asks; and that of the whole process without them. */
  coreShare: number
  coreShareWithout: number
  failed: number
}

/**
 * What open pages of the dashboard cost those who ask for hits. Each page is its stream, and the past fetched when it opens and with
 * each step, as the browser does. Rounds with and without take turns. What lies below their noise is seen without load
 * (`coreShare`): a page costs the same each second, whatever is asked.
 */
export async function dashboard({ rounds = 16, seconds = 5, pages = 3 } = {}): Promise<Row[]> {
  const ports = { PORT: '0', ADMIN_PORT: '0', LOG_LEVEL: 'warn' }
  const onramp = await serve('../proxy/main.ts', [], ports, /clients +(http:\S+)/)
  const admin = /admin +(http:\S+)/.exec(onramp.printed())?.[1] as string
  try {
    await load(`${onramp.url}/api/states`, 32, 3)
    const pairs: { with: Round; without: Round }[] = []
    for (let i = 0; i < rounds; i += 1) {
      // Who goes first changes, for the first may find the machine cooler.
      const first = await round(onramp, admin, i % 2 === 0 ? 0 : pages, seconds)
      const second = await round(onramp, admin, i % 2 === 0 ? pages : 0, seconds)
      pairs.push(i % 2 === 0 ? { with: second, without: first } : { with: first, without: second })
    }
    const idle = async (open: number) => (await round(onramp, admin, open, seconds, pause)).cpuSeconds / seconds
    const quiet: { with: number; without: number }[] = []
    for (let i = 0; i < 4; i += 1) quiet.push({ without: await idle(0), with: await idle(pages) })
    const ratios = (of: (round: Round) => number) => pairs.map((pair) => of(pair.with) / of(pair.without))
    const spread = (values: number[]): [number, number] => {
      const sorted = [...values].sort((a, b) => a - b)
      const half = Math.floor(sorted.length / 2)
      return [median(sorted.slice(0, half)), median(sorted.slice(-half))]
    }
    const throughput = ratios((one) => one.perSecond)
    const cpuPerRequest = ratios((one) => one.cpuPerRequest)
    return [
      {
        pages,
        throughput: median(throughput),
        throughputSpread: spread(throughput),
        cpuPerRequest: median(cpuPerRequest),
        cpuPerRequestSpread: spread(cpuPerRequest),
        coreShare: median(quiet.map((one) => one.with - one.without)),
        coreShareWithout: median(quiet.map((one) => one.without)),
        p99: median(ratios((one) => one.p99)),
        failed: pairs.reduce((sum, pair) => sum + pair.with.failed, 0),
      },
    ]
  } finally {
    await onramp.stop()
  }
}

interface Round extends Measured {
  cpuSeconds: number
  cpuPerRequest: number
}

const hits = (url: string, seconds: number) => load(`${url}/api/states`, 32, seconds)
const pause = async (_url: string, seconds: number): Promise<Measured> => {
  await wait(seconds * 1000)
  return { requests: 0, perSecond: 0, p50: 0, p99: 0, failed: 0 }
}

async function round(onramp: Served, admin: string, pages: number, seconds: number, run = hits): Promise<Round> {
  const opened = await Promise.all(Array.from({ length: pages }, () => openPage(admin)))
  const before = onramp.cpuSeconds()
  const measured = await run(onramp.url, seconds)
  const cpuSeconds = onramp.cpuSeconds() - before
  for (const close of opened) close()
  return { ...measured, cpuSeconds, cpuPerRequest: cpuSeconds / measured.requests }
}

/** Does what a page does, without drawing it. */
async function openPage(admin: string): Promise<() => void> {
  const closing = new AbortController()
  const events = await fetch(`${admin}/events`, { signal: closing.signal })
  const past = async (since: number) => {
    const response = await fetch(`${admin}/dashboard/history?since=${since}`, { signal: closing.signal })
    return ((await response.json()) as { steps: number }).steps
  }
  let steps = await past(0)
  const live = async () => {
    for await (const chunk of events.body as ReadableStream<Uint8Array>) {
      const found = /"historySteps":(\d+)/.exec(new TextDecoder().decode(chunk))
      if (found !== null && Number(found[1]) > steps) steps = await past(steps)
    }
  }
  live().catch(() => {}) // ended by closing
  return () => closing.abort()
}
