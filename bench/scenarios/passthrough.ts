import { load, type Measured } from '../load.ts'
import { type Served, serve } from '../processes.ts'

/** One body size: onramp beside one bare proxy. */
export interface Row {
  bytes: number
  /** How the bare proxy uses undici. */
  beside: 'stream' | 'dispatch'
  /** onramp divided by the bare proxy, the median of the rounds. */
  throughput: number
  p99: number
  cpuPerRequest: number
  failed: number
}

/**
 * What is passed on, beside the same client behind a bare node:http server: the two take turns, round by round, so that what else the
 * machine does meets both.
 */
export async function passthrough({ rounds = 8, seconds = 2, sizes = [1024, 65_536] } = {}): Promise<Row[]> {
  const web = await serve('./web-tier.ts')
  const bares = {
    stream: await serve('./bare-proxy.ts', [web.url, 'stream']),
    dispatch: await serve('./bare-proxy.ts', [web.url, 'dispatch']),
  }
  const ports = { PORT: '0', ADMIN_PORT: '0' }
  const onramp = await serve('../proxy/main.ts', [], { UPSTREAM_URL: web.url, ...ports }, /clients +(http:\S+)/)
  try {
    const rows: Row[] = []
    for (const [bytes, beside] of sizes.flatMap((size) => [[size, 'stream'] as const, [size, 'dispatch'] as const])) {
      const bare = bares[beside]
      for (const { url } of [bare, onramp]) await load(`${url}/${bytes}`, 32, 2)
      const pairs: { ours: Round; theirs: Round }[] = []
      for (let i = 0; i < rounds; i += 1) {
        // Who goes first changes, for the first may find the machine cooler.
        const first = await round(i % 2 === 0 ? bare : onramp, bytes, seconds)
        const second = await round(i % 2 === 0 ? onramp : bare, bytes, seconds)
        pairs.push(i % 2 === 0 ? { ours: second, theirs: first } : { ours: first, theirs: second })
      }
      const ratio = (of: (round: Round) => number) => median(pairs.map(({ ours, theirs }) => of(ours) / of(theirs)))
      rows.push({
        bytes,
        beside,
        throughput: ratio((one) => one.perSecond),
        p99: ratio((one) => one.p99),
        cpuPerRequest: ratio((one) => one.cpuPerRequest),
        failed: pairs.reduce((sum, { ours }) => sum + ours.failed, 0),
      })
    }
    return rows
  } finally {
    await Promise.all([onramp.stop(), bares.stream.stop(), bares.dispatch.stop(), web.stop()])
  }
}

interface Round extends Measured {
  cpuPerRequest: number
}

async function round(served: Served, bytes: number, seconds: number): Promise<Round> {
  const before = served.cpuSeconds()
  const measured = await load(`${served.url}/${bytes}`, 32, seconds)
  return { ...measured, cpuPerRequest: (served.cpuSeconds() - before) / measured.requests }
}

export function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const at = (index: number) => sorted[index] as number
  const middle = (sorted.length - 1) / 2
  return (at(Math.floor(middle)) + at(Math.ceil(middle))) / 2
}
