import { execFileSync } from 'node:child_process'
import { expect, test } from 'vitest'

/**
 * Fills a memory tier in a process of its own. The bytes it counts, and by how many its resident memory grew, for the last
 * three quarters of the entries: by then the engine's own heap has its size.
 */
function fill(entries: number, bodyBytes: number): { counted: number; resident: number } {
  const module = (path: string) => JSON.stringify(new URL(`../proxy/${path}`, import.meta.url).pathname)
  const script = `
    import { memoryTier } from ${module('cache/memory.ts')}
    import { etagOf, ownBytes } from ${module('cache/entry.ts')}
    const memory = memoryTier(4 * 1024 ** 3, () => {})
    const fill = (from, to) => {
      for (let i = from; i < to; i += 1) {
        const body = ownBytes(Buffer.alloc(${bodyBytes}, 'x'))
        const tags = ['route:county-stats', 'table:counties', 'table:plans', 'table:plan_county', 'table:rates', 'county:' + i]
        const [stamp, readAt, jitter] = [{ seq: 0, head: undefined }, performance.now(), Math.random()]
        const entry = { body, rows: 1, tags, stamp, readAt, fillMs: 1.5, jitter, etag: etagOf(body) }
        memory.set('county-stats@0123456789ab?fips=' + i + '&age=40&year=2014', entry)
      }
      gc()
      gc()
      return { counted: memory.bytes, resident: process.memoryUsage().rss }
    }
    const before = fill(0, ${entries / 4})
    const after = fill(${entries / 4}, ${entries})
    console.log(JSON.stringify({ counted: after.counted - before.counted, resident: after.resident - before.resident }))`
  const options = { encoding: 'utf8' } as const
  return JSON.parse(execFileSync(process.execPath, ['--expose-gc', '--input-type=module', '-e', script], options))
}

test.each([
  [300_000, 100],
  [300_000, 1000],
  [20_000, 20_000],
])('resident memory of %d entries of %d bytes is within 1.15 times what is counted', (entries, bodyBytes) => {
  const { counted, resident } = fill(entries, bodyBytes)
  expect(resident / counted).toBeLessThan(1.15)
  expect(resident / counted).toBeGreaterThan(0.7)
})
