// Compressed bodies, off the hit path.
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
 * Builds the compressed variants of entries in memory: each once, when an answer was sent to somebody who would rather have had it, in
 * Node's thread pool, so that no request waits for it.
 *
 * Compressing takes longer than much of what is asked of a database, so what nobody asks for is not built. When more than a
 * thousand entries wait, further ones are passed over until somebody asks again.
 */
export class VariantBuilder {
  readonly #memory: Pick<MemoryTier, 'peek' | 'attach'>
  readonly #observe: Observe
  /** Keys only: an entry that is evicted meanwhile must not be kept alive, nor be compressed. */
  readonly #waiting = new Map<Key, Encoding>()
  readonly #building = new Set<Key>()

  constructor(memory: Pick<MemoryTier, 'peek' | 'attach'>, observe: Observe) {
    this.#memory = memory
    this.#observe = observe
  }

  /** Sees to it that what memory holds under `key` gets its variant in `encoding`, unless another one of it is under way. */
  want(key: Key, encoding: Encoding): void {
    if (this.#building.has(key) || this.#waiting.has(key) || this.#waiting.size >= maxWaiting) return
    this.#waiting.set(key, encoding)
    this.#next()
  }

  #next(): void {
    for (const [key, encoding] of this.#waiting) {
      if (this.#building.size >= atOnce) return
      this.#waiting.delete(key)
      const entry = this.#memory.peek(key)
      if (entry === undefined || !isCompressible(entry) || entry.variants?.[encoding] !== undefined) continue
      this.#building.add(key)
      this.#build(key, entry, encoding)
        .catch((error) => this.#observe({ kind: 'variant-failed', error }))
        .finally(() => {
          this.#building.delete(key)
          this.#next()
        })
    }
  }

  async #build(key: Key, entry: Entry, encoding: Encoding): Promise<void> {
    const bytes = await compress[encoding](entry.body)
    this.#memory.attach(key, entry, encoding, bytes.length < entry.body.length ? ownBytes(bytes) : null)
  }
}

/** Whether `entry` has, or may have, variants. */
export function isCompressible(entry: Entry): boolean {
  return entry.body.length >= smallestCompressed
}
