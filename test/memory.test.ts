import { brotliDecompressSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Entry } from '../proxy/cache/entry.ts'
import type { Key } from '../proxy/cache/key.ts'
import { memoryTier, sizeOf } from '../proxy/cache/memory.ts'
import { VariantBuilder } from '../proxy/cache/variants.ts'
import { entryOf, recorder } from './support.ts'

const keyOf = (name: string | number) => `plans@0123456789ab?n=${name}` as Key

const sized = (bytes: number, more: Partial<Entry> = {}) => entryOf(Buffer.alloc(bytes), { etag: 'x', ...more })

function setup(maxBytes = 80_000) {
  const { observe, of } = recorder()
  return { memory: memoryTier(maxBytes, observe), evicted: () => of('evicted').length }
}

/** Keys by recency, latest first. */
const held = (memory: ReturnType<typeof memoryTier>) => [...memory.list()].map(({ key }) => key)

describe('the bound', () => {
  test('holds: with room for N keys, one more evicts the least recently used', () => {
    const n = 10
    const size = sizeOf(keyOf('00'), sized(1000))
    const { memory, evicted } = setup(n * size)
    const keys = Array.from({ length: n + 1 }, (_, i) => keyOf(String(i).padStart(2, '0')))
    for (const key of keys.slice(0, n)) memory.set(key, sized(1000))
    expect([memory.entries, memory.bytes, evicted()]).toEqual([n, n * size, 0])
    memory.get(keys[0] as Key)
    memory.set(keys[n] as Key, sized(1000))
    expect([memory.entries, memory.bytes, evicted()]).toEqual([n, n * size, 1])
    expect(memory.get(keys[0] as Key)).toBeDefined()
    expect(memory.get(keys[1] as Key)).toBeUndefined()
  })

  test('holds one byte below room for N', () => {
    const size = sizeOf(keyOf('00'), sized(1000))
    const { memory } = setup(10 * size - 1)
    for (let i = 10; i < 20; i += 1) memory.set(keyOf(i), sized(1000))
    expect([memory.entries, memory.bytes]).toEqual([9, 9 * size])
  })

  test('property: holds whatever is done, and the reported bytes are those of the entries', () => {
    const name = fc.nat(9).map(keyOf)
    const step = fc.oneof(
      fc.record({ does: fc.constant('set' as const), name, bytes: fc.nat(12_000) }),
      fc.record({ does: fc.constant('get' as const), name, bytes: fc.constant(0) }),
      fc.record({ does: fc.constant('attach' as const), name, bytes: fc.nat(9000) }),
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const { memory } = setup(50_000)
        for (const { does, name: key, bytes } of steps) {
          const now = [...memory.list()].find((one) => one.key === key)?.entry
          if (does === 'set') memory.set(key, sized(bytes, { tags: ['t'.repeat(bytes % 50)] }))
          else if (does === 'get') expect(memory.get(key)).toBe(now)
          else now && memory.attach(key, now, 'br', Buffer.alloc(bytes))
          const all = [...memory.list()]
          expect(memory.bytes).toBeLessThanOrEqual(50_000)
          expect(memory.bytes).toBe(all.reduce((sum, one) => sum + one.bytes, 0))
          expect(all.every((one) => one.bytes === sizeOf(one.key, one.entry))).toBe(true)
          expect(memory.entries).toBe(all.length)
        }
      }),
    )
  })

  test('counts body, key, tags and variants, and a fixed overhead', () => {
    const plain = sizeOf(keyOf(''), sized(0))
    expect(plain).toBeGreaterThan(keyOf('').length)
    expect(sizeOf(keyOf(''), sized(100)) - plain).toBe(100)
    expect(sizeOf(keyOf('x'.repeat(100)), sized(0)) - plain).toBe(100)
    const tags = ['a'.repeat(30), 'b'.repeat(70)]
    expect(sizeOf(keyOf(''), sized(0, { tags })) - plain).toBeGreaterThanOrEqual(100)
    const variants = { br: Buffer.alloc(30), gzip: Buffer.alloc(70) }
    expect(sizeOf(keyOf(''), sized(0, { variants })) - plain).toBe(100)
  })

  test('counts many empty entries', () => {
    const { memory } = setup(80_000)
    for (let i = 0; i < 10_000; i += 1) memory.set(keyOf(i), sized(0))
    expect(memory.bytes).toBeLessThanOrEqual(80_000)
    expect(memory.entries).toBeLessThan(80_000 / keyOf(0).length)
    expect(memory.get(keyOf(9999))).toBeDefined()
  })
})

describe('one entry', () => {
  const eighth = 10_000
  const bodyOf = (bytes: number) => bytes - sizeOf(keyOf('a'), sized(0))

  test('may take an eighth of the cache, and no byte more', () => {
    const { memory } = setup(8 * eighth)
    const largest = sized(bodyOf(eighth))
    expect(memory.set(keyOf('a'), largest)).toBe(true)
    expect(memory.get(keyOf('a'))).toBe(largest)
    expect(memory.set(keyOf('b'), sized(bodyOf(eighth) + 1))).toBe(false)
    expect(memory.get(keyOf('b'))).toBeUndefined()
  })

  test('that is refused removes the earlier one under its key', () => {
    const { memory, evicted } = setup(8 * eighth)
    memory.set(keyOf('a'), sized(1))
    expect(memory.set(keyOf('a'), sized(eighth))).toBe(false)
    expect(memory.get(keyOf('a'))).toBeUndefined()
    expect([memory.entries, memory.bytes, evicted()]).toEqual([0, 0, 0])
  })

  test('that is refused evicts no other', () => {
    const { memory, evicted } = setup(8 * eighth)
    memory.set(keyOf('a'), sized(1))
    memory.set(keyOf('b'), sized(8 * eighth))
    expect([memory.entries, evicted()]).toEqual([1, 0])
  })

  test('replaces the one before it, and its bytes', () => {
    const { memory, evicted } = setup()
    memory.set(keyOf('a'), sized(5000))
    const next = sized(10)
    memory.set(keyOf('a'), next)
    expect(memory.get(keyOf('a'))).toBe(next)
    expect([memory.entries, memory.bytes, evicted()]).toEqual([1, sizeOf(keyOf('a'), next), 0])
  })
})

test('each evicted entry is observed, and no other', () => {
  const { memory, evicted } = setup(8 * 2000)
  for (let i = 10; i < 40; i += 1) memory.set(keyOf(i), sized(500))
  expect(memory.entries + evicted()).toBe(30)
})

describe('variants', () => {
  const [br, gzip] = [Buffer.alloc(300), Buffer.alloc(400)]

  test('are attached to the entry they were built from, and counted', () => {
    const { memory } = setup()
    const entry = sized(1000)
    memory.set(keyOf('a'), entry)
    const before = memory.bytes
    memory.attach(keyOf('a'), entry, 'br', br)
    expect(memory.get(keyOf('a'))).toEqual({ ...entry, variants: { br } })
    expect(memory.bytes - before).toBe(300)
    memory.attach(keyOf('a'), memory.get(keyOf('a')) as Entry, 'gzip', gzip)
    expect(memory.get(keyOf('a'))).toEqual({ ...entry, variants: { br, gzip } })
    expect(memory.bytes - before).toBe(700)
  })

  test('are not attached to an entry that has replaced theirs', () => {
    const { memory } = setup()
    const [before, after] = [sized(1000), sized(1000)]
    memory.set(keyOf('a'), before)
    memory.set(keyOf('a'), after)
    memory.attach(keyOf('a'), before, 'br', br)
    expect(memory.get(keyOf('a'))).toBe(after)
    expect(memory.get(keyOf('a'))?.variants).toBeUndefined()
  })

  test('stay if the new entry has the same bytes, and are dropped if not', () => {
    const { memory } = setup()
    const entry = sized(1000, { etag: 'same' })
    memory.set(keyOf('a'), entry)
    memory.attach(keyOf('a'), entry, 'br', br)
    expect(memory.set(keyOf('a'), sized(1000, { etag: 'same', readAt: 5 }))).toBe(true)
    expect(memory.get(keyOf('a'))).toMatchObject({ readAt: 5, variants: { br } })
    memory.set(keyOf('a'), sized(1000, { etag: 'another' }))
    expect(memory.get(keyOf('a'))).not.toHaveProperty('variants')
    expect(memory.bytes).toBe(sizeOf(keyOf('a'), sized(1000)))
  })

  test('that make the entry too large, or are no smaller, are recorded as useless, and the plain body stays', () => {
    const { memory } = setup(80_000)
    const entry = sized(5000)
    memory.set(keyOf('a'), entry)
    memory.attach(keyOf('a'), entry, 'br', Buffer.alloc(5000))
    expect(memory.get(keyOf('a'))).toEqual({ ...entry, variants: { br: null } })
    memory.attach(keyOf('a'), memory.get(keyOf('a')) as Entry, 'gzip', null)
    expect(memory.get(keyOf('a'))).toEqual({ ...entry, variants: { br: null, gzip: null } })
    expect(memory.bytes).toBe(sizeOf(keyOf('a'), entry))
  })

  test('that need room evict other entries', () => {
    const size = sizeOf(keyOf('10'), sized(1000))
    const { memory, evicted } = setup(10 * size)
    for (let i = 10; i < 20; i += 1) memory.set(keyOf(i), sized(1000))
    const latest = memory.get(keyOf(19)) as Entry
    memory.attach(keyOf(19), latest, 'br', br)
    expect(memory.get(keyOf(19))?.variants).toEqual({ br })
    expect([memory.entries, evicted()]).toEqual([9, 1])
    expect(memory.bytes).toBeLessThanOrEqual(10 * size)
  })
})

describe('list', () => {
  test('has all entries, most recently used first', () => {
    const { memory } = setup()
    for (const name of ['a', 'b', 'c']) memory.set(keyOf(name), sized(10))
    memory.get(keyOf('a'))
    expect(held(memory)).toEqual(['a', 'c', 'b'].map(keyOf))
    const [first] = memory.list()
    expect(first).toEqual({ key: keyOf('a'), entry: memory.get(keyOf('a')), bytes: sizeOf(keyOf('a'), sized(10)) })
  })

  test('does not change that order, so looking does not keep an entry alive', () => {
    const size = sizeOf(keyOf('10'), sized(1000))
    const { memory } = setup(10 * size)
    for (let i = 10; i < 20; i += 1) memory.set(keyOf(i), sized(1000))
    const before = held(memory)
    expect(held(memory)).toEqual(before)
    memory.set(keyOf(20), sized(1000))
    expect(memory.get(keyOf(10))).toBeUndefined()
  })
})

describe('the variant builder', () => {
  const large = Buffer.from('[1,2,3]'.repeat(1000))

  function building(body = large) {
    const { observe } = recorder()
    const memory = memoryTier(1024 ** 2, observe)
    const attached: string[] = []
    const builder = new VariantBuilder(
      {
        peek: memory.peek,
        attach(key, entry, encoding, variant) {
          memory.attach(key, entry, encoding, variant)
          attached.push(encoding)
          done.resolve()
        },
      },
      observe,
    )
    let done = Promise.withResolvers<void>()
    const built = async () => {
      await done.promise
      done = Promise.withResolvers()
    }
    memory.set(keyOf('a'), sized(0, { body }))
    return { memory, builder, attached, built }
  }

  test('builds a wanted variant once, and nothing else', async () => {
    const { memory, builder, attached, built } = building()
    for (let i = 0; i < 5; i += 1) builder.want(keyOf('a'), 'br')
    await built()
    const { variants } = memory.peek(keyOf('a')) ?? {}
    expect(brotliDecompressSync(variants?.br as Buffer)).toEqual(large)
    expect(variants).not.toHaveProperty('gzip')
    builder.want(keyOf('a'), 'br')
    await new Promise(setImmediate) // when the builder is free for the next variant
    builder.want(keyOf('a'), 'gzip')
    await built()
    expect(attached).toEqual(['br', 'gzip'])
    expect(memory.peek(keyOf('a'))?.variants?.br).toBe(variants?.br)
  })

  test('records a variant that is no smaller as useless', async () => {
    const { memory, builder, built } = building(crypto.getRandomValues(Buffer.alloc(2000)))
    builder.want(keyOf('a'), 'gzip')
    await built()
    expect(memory.peek(keyOf('a'))?.variants).toEqual({ gzip: null })
  })

  test('skips an entry that is small or gone', async () => {
    const { builder, attached, built, memory } = building(Buffer.from('[]'))
    builder.want(keyOf('a'), 'br')
    builder.want(keyOf('gone'), 'br')
    memory.set(keyOf('b'), sized(0, { body: large }))
    builder.want(keyOf('b'), 'br')
    await built()
    expect(attached).toEqual(['br'])
  })
})
