import type { Entry } from '../../proxy/cache/entry.ts'
import { spellKey } from '../../proxy/cache/key.ts'
import { memoryTier } from '../../proxy/cache/memory.ts'
import { routeTag, tableTag } from '../../proxy/tags.ts'
import { random } from '../random.ts'

/* Fills the memory tier with many keys. Prints nanoseconds per get and per set, and bytes per key. Argument: the number of keys. */

const count = Number(process.argv[2])
const tier = memoryTier(64 * 1024 ** 3, () => {})
const keyOf = (i: number) => spellKey('plan-search', '0123456789abcdef', { county: String(i % 3000), number: i })
const before = process.memoryUsage().rss
const stamp = {} as Entry['stamp']
const began = performance.now()
for (let i = 0; i < count; i += 1) {
  const tags = [routeTag('plan-search'), tableTag('plans'), tableTag('rates'), `county:${i % 3000}`]
  tier.set(keyOf(i), {
    body: Buffer.allocUnsafeSlow(100),
    rows: 1,
    tags,
    stamp,
    readAt: 0,
    readBy: 0,
    fillMs: 1,
    jitter: 0,
    etag: String(i),
  })
}
const set = ((performance.now() - began) * 1e6) / count
const bytes = (process.memoryUsage().rss - before) / count
const next = random(count)
const asked = Array.from({ length: 200_000 }, () => keyOf(Math.floor(next() * count)))
let found = 0
for (const key of asked.slice(0, 100_000)) if (tier.get(key) !== undefined) found += 1
const from = performance.now()
for (const key of asked) if (tier.get(key) !== undefined) found += 1
const get = ((performance.now() - from) * 1e6) / asked.length
if (found !== 300_000) throw new Error(`${300_000 - found} of 300,000 gets found no entry, but all keys were set.`)
process.stdout.write(`get ${get.toFixed(0)} set ${set.toFixed(0)} bytes ${bytes.toFixed(0)}\n`)
setInterval(() => {}, 1000)
