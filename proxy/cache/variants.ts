import { promisify } from 'node:util'
import { brotliCompress, constants, gzip } from 'node:zlib'
import type { Observe } from '../observation.ts'
import { type Encoding, type Entry, ownBytes } from './entry.ts'
import type { Key } from './key.ts'
import type { MemoryTier } from './memory.ts'

/** Smaller bodies fit in one packet as they are. */
export const smallestCompressed = 1024

const compress: Record<Encoding, (body: Buffer) => Promise<Buffer>> = {
  br: (body) =>
    promisify(brotliCompress)(body, {
      params: { [constants.BROTLI_PARAM_QUALITY]: 5, [constants.BROTLI_PARAM_SIZE_HINT]: body.length },
    }),
  gzip: (body) => promisify(gzip)(body, { level: 6 }),
}

// Node's thread pool has four threads, shared with name look-ups and files.
const atOnce = 2
const maxWaiting = 1000

/**
 * Builds the compressed variants of entries in memory: once an entry, in Node's thread pool, never on the road of a request.
 *
 * A request that comes before they are there gets the plain body. When more than a thousand entries wait, further ones are
 * passed over until a hit asks again.
 */
export class Variants {
  readonly #memory: MemoryTier
  readonly #observe: Observe
  /** Keys only: an entry that is evicted meanwhile must not be kept alive, nor be compressed. */
  readonly #waiting = new Set<Key>()
  readonly #building = new Set<Key>()

  constructor(memory: MemoryTier, observe: Observe) {
    this.#memory = memory
    this.#observe = observe
  }

  /** Sees to it that `entry`, kept in memory under `key`, gets its variants. */
  want(key: Key, entry: Entry): void {
    if (!isCompressible(entry) || entry.variants !== undefined) return
    if (this.#building.has(key) || this.#waiting.size >= maxWaiting) return
    this.#waiting.add(key)
    this.#next()
  }

  #next(): void {
    for (const key of this.#waiting) {
      if (this.#building.size >= atOnce) return
      this.#waiting.delete(key)
      const entry = this.#memory.peek(key)
      if (entry === undefined || entry.variants !== undefined) continue
      this.#building.add(key)
      this.#build(key, entry)
        .catch((error) => this.#observe({ kind: 'variant-failed', error }))
        .finally(() => {
          this.#building.delete(key)
          this.#next()
        })
    }
  }

  async #build(key: Key, entry: Entry): Promise<void> {
    const built: Partial<Record<Encoding, Buffer>> = {}
    for (const encoding of ['br', 'gzip'] as const) {
      const bytes = await compress[encoding](entry.body)
      if (bytes.length < entry.body.length) built[encoding] = ownBytes(bytes)
    }
    this.#memory.attach(key, entry, built)
  }
}

/** Whether `entry` has, or will have, variants. */
export function isCompressible(entry: Entry): boolean {
  return entry.body.length >= smallestCompressed
}
