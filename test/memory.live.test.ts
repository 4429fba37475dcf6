import { execFileSync } from 'node:child_process'
import { expect, test } from 'vitest'

/** Fills a memory tier in a process of its own; the bytes it counts, and by how many its resident memory grew. */
function fill(entries: number, bodyBytes: number): { counted: number; resident: number } {
  const module = (path: string) => JSON.stringify(new URL(`../proxy/${path}`, import.meta.url).pathname)
  const script = `
    import { memoryTier } from ${module('cache/memory.ts')}
    import { etagOf, ownBytes } from ${module('cache/entry.ts')}
    const resident = () => { gc(); gc(); return process.memoryUsage().rss }
    const memory = memoryTier(4 * 1024 ** 3, () => {})
    const before = resident()
    for (let i = 0; i < ${entries}; i += 1) {
      const body = ownBytes(Buffer.alloc(${bodyBytes}, 'x'))
      const tags = ['route:county-stats', 'table:counties', 'table:plans', 'table:plan_county', 'table:rates', 'county:' + i]
      memory.set('county-stats@0123456789ab?fips=' + i + '&age=40&year=2014', {
        body, rows: 1, tags, stamp: { seq: 0, head: undefined }, readAt: performance.now(), fillMs: 1.5, jitter: Math.random(), etag: etagOf(body),
      })
    }
    console.log(JSON.stringify({ counted: memory.bytes, resident: resident() - before }))`
  const options = { encoding: 'utf8' } as const
  return JSON.parse(execFileSync(process.execPath, ['--expose-gc', '--input-type=module', '-e', script], options))
}

test.each([
  [100_000, 100],
  [100_000, 1000],
  [20_000, 20_000],
])('resident memory of %d entries of %d bytes is within 1.15 times what is counted', (entries, bodyBytes) => {
  const { counted, resident } = fill(entries, bodyBytes)
  expect(resident / counted).toBeLessThan(1.15)
  expect(resident / counted).toBeGreaterThan(0.7)
})
