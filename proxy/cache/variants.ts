// Compressed variants of bodies, built off the hit path.
import { promisify } from 'node:util'
import { brotliCompress, constants, gzip } from 'node:zlib'
import type { Observe } from '../observation.ts'
import { type Encoding, type Entry, ownBytes } from './entry.ts'
import type { Key } from './key.ts'
import type { MemoryTier } from './memory.ts'

/** In bytes. Smaller bodies fit in one packet as they are. */
export const smallestCompressed = 1024

const compress: Record<Encoding, (body: Buffer) => Promise<Buffer>> = {
  br: (body) =>
    promisify(brotliCompress)(body, {
      params: { [constants.BROTLI_PARAM_QUALITY]: 5, [constants.BROTLI_PARAM_SIZE_HINT]: body.length },
    }),
  gzip: (body) => promisify(gzip)(body, { level: 6 }),
}

// Compressions at a time: Node's thread pool has four threads, shared with name look-ups and files.
const atOnce = 2
const maxWaiting = 1000

/**
 * Builds the compressed variants of entries in memory, in Node's thread pool, so that no request waits for it. Each is
 * built once, after an uncompressed answer was sent to a client that accepts the encoding.
 *
 * Compression takes longer than many queries, so no variant is built before a client asks for it. While a thousand
 * entries wait, a further one is skipped; its next request asks again.
 */
export class VariantBuilder {
  readonly #memory: Pick<MemoryTier, 'peek' | 'attach'>
  readonly #observe: Observe
  /** Keys only: an entry that is evicted meanwhile must neither be kept alive nor be compressed. */
  readonly #waiting = new Map<Key, Encoding>()
  readonly #building = new Set<Key>()

  constructor(memory: Pick<MemoryTier, 'peek' | 'attach'>, observe: Observe) {
    this.#memory = memory
    this.#observe = observe
  }

  /** Queues the `encoding` variant of the entry under `key`, unless one of its variants is queued or being built. */
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

/** Whether `entry` is large enough for variants. */
export function isCompressible(entry: Entry): boolean {
  return entry.body.length >= smallestCompressed
}
