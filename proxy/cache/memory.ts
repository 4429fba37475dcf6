// The memory tier: an LRU cache in this process, bounded by bytes.
import { LRUCache } from 'lru-cache'
import type { Observe } from '../observation.ts'
import type { Encoding, Entry } from './entry.ts'
import type { Key } from './key.ts'
import type { Tier } from './tier.ts'

/**
 * Cost of an entry beside its bytes: objects, buffer headers, its slots in the map and lists of the LRU. Measured as
 * resident memory: test/memory.live.test.ts.
 */
const overheadBytes = 900
/** Largest share of the cache for one entry: one big answer must not empty the cache. */
const largestShare = 1 / 8

/** The nearest tier: a least-recently-used map in this process, bounded by bytes, everything counted. */
export interface MemoryTier extends Tier {
  get(key: Key): Entry | undefined
  /** Keeps the variants of the replaced entry if the new one has the same bytes. */
  set(key: Key, entry: Entry): boolean
  /** The entry under `key`, without counting as a use of it. */
  peek(key: Key): Entry | undefined
  /**
   * Adds a variant to `entry`, if it is still the one under `key`, and counts its bytes. A variant that is null, or
   * makes the entry too large, is recorded as null: of no use.
   */
  attach(key: Key, entry: Entry, encoding: Encoding, variant: Buffer | null): void
  readonly bytes: number
  readonly entries: number
  readonly maxBytes: number
  /** All entries, most recently used first, without changing that order. */
  list(): Iterable<{ key: Key; entry: Entry; bytes: number }>
}

/**
 * Makes a memory tier of at most `maxBytes`, counted by {@link sizeOf}. It refuses an entry above an eighth of that.
 * `asked` is called with each key that is looked up, found or not.
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
