import { load } from '../load.ts'
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
  failed: number
}

/**
 * What open pages of the dashboard cost those who ask for hits. Each page is its stream, and the past fetched when it opens and with
 * each step, as the browser does. Rounds with and without take turns.
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
        p99: median(ratios((one) => one.p99)),
        failed: pairs.reduce((sum, pair) => sum + pair.with.failed, 0),
      },
    ]
  } finally {
    await onramp.stop()
  }
}

interface Round {
  perSecond: number
  cpuPerRequest: number
  p99: number
  failed: number
}

async function round(onramp: Served, admin: string, pages: number, seconds: number): Promise<Round> {
  const opened = await Promise.all(Array.from({ length: pages }, () => openPage(admin)))
  const before = onramp.cpuSeconds()
  const measured = await load(`${onramp.url}/api/states`, 32, seconds)
  const cpuPerRequest = (onramp.cpuSeconds() - before) / measured.requests
  for (const close of opened) close()
  return { ...measured, cpuPerRequest }
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
