import { Agent, request } from 'undici'

/* Traffic of a few visitors of the marketplace, some places much more popular than others: for the picture of the dashboard. */

const counties = ['51059', '51107', '12086', '48201', '37119', '47157', '13121', '17031', '39049', '42003']
const states = ['VA', 'FL', 'TX', 'NC', 'TN', 'GA', 'IL', 'OH', 'PA']
const metals = ['Bronze', 'Silver', 'Gold']

/** Sends requests to `url` at a fixed rate, whether or not earlier ones are answered, until stopped. */
export function traffic(url: string, perSecond: number, random: () => number): { stop(): void; failed(): number } {
  const dispatcher = new Agent({ connections: 48 })
  let failed = 0
  let due = 0
  let before = performance.now()
  const timer = setInterval(() => {
    const now = performance.now()
    due = Math.min(due + ((now - before) / 1000) * perSecond, perSecond)
    before = now
    for (; due >= 1; due -= 1) {
      request(url + pathOf(random), { dispatcher, signal: AbortSignal.timeout(10_000) })
        .then(({ body }) => body.dump())
        .catch(() => (failed += 1))
    }
  }, 20)
  return {
    stop() {
      clearInterval(timer)
      void dispatcher.destroy()
    },
    failed: () => failed,
  }
}

function pathOf(random: () => number): string {
  /** Draws one value; the first ones most often. */
  const of = <T>(values: readonly T[]) => values[Math.floor(values.length * random() ** 3)] as T
  const age = 20 + Math.floor(45 * random() ** 2)
  const kinds: [share: number, path: () => string][] = [
    [30, () => `/api/plans/search?county=${of(counties)}&ages=${age}&metal=${of(metals)}`],
    [15, () => `/api/counties/${of(counties)}`],
    [12, () => `/api/counties/${of(counties)}/benchmark?age=${age}`],
    [10, () => `/api/counties/${of(counties)}/stats?age=${age}`],
    [8, () => '/api/states'],
    [8, () => `/api/states/${of(states)}/issuers`],
    [6, () => '/api/reference/metal-levels'],
    [5, () => `/api/plans/names?q=${of(['silver', 'gold', 'blue', 'care', 'health'])}`],
    [4, () => `/api/states/${of(states)}/lowest?age=${of([21, 30, 40, 50])}`],
    [2, () => `/api/benchmarks?age=${of([21, 30, 40, 50])}`],
  ]
  let left = random() * kinds.reduce((sum, [share]) => sum + share, 0)
  for (const [share, path] of kinds) {
    left -= share
    if (left < 0) return path()
  }
  return '/api/states'
}
