// The tier in this process, bounded by bytes.
import { LRUCache } from 'lru-cache'
import type { Observe } from '../observation.ts'
import type { Encoding, Entry } from './entry.ts'
import type { Key } from './key.ts'
import type { Tier } from './tier.ts'

/** What an entry costs beside its bytes: its objects, its buffer headers, its place in the LRU's map and lists. Measured
 * as resident memory: test/memory.live.test.ts. */
const overheadBytes = 900
/** What one entry may take of the whole: one big answer must not empty the cache. */
const largestShare = 1 / 8

/** The nearest tier: a least-recently-used map in this process, bounded by bytes, everything counted. */
export interface MemoryTier extends Tier {
  get(key: Key): Entry | undefined
  /** Variants of what it replaces stay, where that has the same bytes. */
  set(key: Key, entry: Entry): boolean
  /** What is under `key`, without that counting as a use of it. */
  peek(key: Key): Entry | undefined
  /**
   * Adds a variant to `entry`, if it is still the one under `key`, and counts its bytes; null, or more than an entry may take, is kept
   * as that: of no use.
   */
  attach(key: Key, entry: Entry, encoding: Encoding, variant: Buffer | null): void
  readonly bytes: number
  readonly entries: number
  readonly maxBytes: number
  /** What is held, most recently used first, without touching that order. */
  list(): Iterable<{ key: Key; entry: Entry; bytes: number }>
}

/**
 * Makes a memory tier that holds at most `maxBytes`, counted by {@link sizeOf}. An entry above an eighth of that is refused.
 * `asked` is told each key that is looked for, held or not.
 */
export function memoryTier(maxBytes: number, observe: Observe, asked: (key: Key) => void = () => {}): MemoryTier {
  const lru = new LRUCache<Key, Entry>({
    maxSize: maxBytes,
    maxEntrySize: Math.floor(maxBytes * largestShare),
    dispose(entry, key, reason) {
      if (reason === 'evict') observe({ kind: 'evicted', key, bytes: sizeOf(key, entry), readAt: entry.readAt })
    },
  })
  return {
    name: 'memory',
    label: 'Memory',
    maxBytes,
    get(key) {
      asked(key)
      return lru.get(key)
    },
    peek: (key) => lru.peek(key),
    set(key, entry) {
      const replaced = lru.peek(key)
      const isSame = replaced?.variants !== undefined && replaced.etag === entry.etag
      const whole = isSame ? { ...entry, variants: replaced.variants } : entry
      lru.set(key, whole, { size: sizeOf(key, whole) })
      return lru.peek(key) === whole
    },
    attach(key, entry, encoding, variant) {
      if (lru.peek(key) !== entry) return
      const held = sizeOf(key, entry) + (variant?.length ?? 0) <= lru.maxEntrySize ? variant : null
      const whole = { ...entry, variants: { ...entry.variants, [encoding]: held } }
      lru.set(key, whole, { size: sizeOf(key, whole) })
    },
    get bytes() {
      return lru.calculatedSize
    },
    get entries() {
      return lru.size
    },
    *list() {
      for (const [key, entry] of lru.entries()) yield { key, entry, bytes: sizeOf(key, entry) }
    },
  }
}

/** Bytes `entry` takes under `key`: body, variants, key, tags, and a fixed overhead. */
export function sizeOf(key: Key, entry: Entry): number {
  let bytes = overheadBytes + key.length + entry.body.length
  for (const tag of entry.tags) bytes += tag.length * 2 + 16
  for (const variant of Object.values(entry.variants ?? {})) bytes += variant?.length ?? 0
  return bytes
}
