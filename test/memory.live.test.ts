import { execFileSync } from 'node:child_process'
import { expect, test } from 'vitest'

/**
 * Fills a memory tier in a process of its own. Returns the bytes that it counts for the last three quarters of the entries, and the
 * growth of resident memory for the same: by then the engine's own heap has its size.
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
])('resident memory of %d entries of %d bytes is within 1.15 times the counted bytes', (entries, bodyBytes) => {
  const { counted, resident } = fill(entries, bodyBytes)
  expect(resident / counted).toBeLessThan(1.15)
  expect(resident / counted).toBeGreaterThan(0.7)
})

/**
 * Fills a memory tier of `maxBytes` three times over, each key once, with bodies of the sizes that the expression `size` gives; half
 * of them have variants.
 *
 * Returns the most it ever was over its bound, then its size at the end: as the tier counts, as the engine counts after a garbage
 * collection, and as resident memory.
 */
function attack(maxBytes: number, size: string): { over: number; counted: number; used: number; resident: number } {
  const module = (path: string) => JSON.stringify(new URL(`../proxy/${path}`, import.meta.url).pathname)
  const script = `
    import { memoryTier } from ${module('cache/memory.ts')}
    import { etagOf, ownBytes } from ${module('cache/entry.ts')}
    const memory = memoryTier(${maxBytes}, () => {})
    let seed = 7
    const random = () => (seed = (seed * 1103515245 + 12345) % 2 ** 31) / 2 ** 31
    const size = (n) => Math.floor(${size})
    const source = Buffer.alloc(${maxBytes} / 7, 'x')
    let [over, total, sinceCollected] = [0, 0, 0]
    const usage = () => process.memoryUsage()
    gc()
    const before = usage()
    for (let n = 0; total < ${maxBytes} * 3; n += 1) {
      const body = ownBytes(source.subarray(0, size(n)))
      const tags = ['route:county-stats', 'county:' + n]
      const [stamp, readAt, jitter] = [{ seq: 0, head: undefined }, performance.now(), random()]
      const entry = { body, rows: 1, tags, stamp, readAt, fillMs: 1.5, jitter, etag: String(n).padStart(22, '0') }
      const key = 'plan-names@0123456789ab?q=' + 'k'.repeat(random() * 200) + n
      memory.set(key, entry)
      const variant = (share) => ownBytes(source.subarray(0, body.length * share))
      if (body.length > 1024 && n % 2 === 0) {
        memory.attach(key, entry, 'br', variant(0.1))
        const held = memory.peek(key)
        if (held !== undefined) memory.attach(key, held, 'gzip', variant(0.2))
      }
      over = Math.max(over, memory.bytes - ${maxBytes})
      total += body.length + 900
      sinceCollected += body.length + 900
      // Garbage that the engine has not collected yet is not the tier's.
      if (sinceCollected > ${maxBytes} / 8) {
        gc()
        sinceCollected = 0
      }
    }
    gc()
    gc()
    const after = usage()
    const used = after.heapUsed + after.arrayBuffers - before.heapUsed - before.arrayBuffers
    console.log(JSON.stringify({ over, counted: memory.bytes, used, resident: after.rss - before.rss }))`
  // As `npm start` and the image set it.
  const env = { ...process.env, MALLOC_MMAP_THRESHOLD_: '131072' }
  const options = { encoding: 'utf8', env } as const
  return JSON.parse(execFileSync(process.execPath, ['--expose-gc', '--input-type=module', '-e', script], options))
}

test.each([
  ['of every size', 128, '50 * 20000 ** random()'],
  ['up to the largest allowed, and above', 64, '2 ** 23 * (0.6 + 0.5 * random())'],
])(
  'bodies %s, each key once, stay within %d MiB, and within 1.3 times that in resident memory',
  (_what, mebibytes, size) => {
    const maxBytes = mebibytes * 1024 ** 2
    const { over, counted, resident } = attack(maxBytes, size)
    expect(over).toBeLessThanOrEqual(0)
    expect(counted).toBeGreaterThan(maxBytes * 0.8)
    expect(resident / maxBytes).toBeLessThan(1.3)
  },
)

// Resident memory is not checked: the engine keeps the pages of freed small objects for later ones.
test('bodies of two bytes, each key once, stay within their bound, also as the engine counts', () => {
  const maxBytes = 24 * 1024 ** 2
  const { over, used } = attack(maxBytes, '2')
  expect(over).toBeLessThanOrEqual(0)
  expect(used / maxBytes).toBeLessThan(1.1)
})
