// Warming: reads that fill the cache at the start.
import type { Clock } from '../clock.ts'
import type { Observe } from '../observation.ts'
import type { Read } from './answer.ts'
import type { ReadThrough } from './read-through.ts'

/** Reads at a time: few, beside those that clients wait for. */
const atOnce = 4

/**
 * Reads `reads` through `cache`, in order, as requests would: from Redis if the entry is there, else from the database.
 *
 * Resolves when all have been read or have failed, after `limitMs` at most. The remaining reads go on in the
 * background.
 */
export async function warm(
  reads: readonly Read[],
  cache: Pick<ReadThrough, 'read'>,
  limitMs: number,
  clock: Clock,
  observe: Observe,
): Promise<void> {
  if (reads.length === 0) return
  const began = clock.now()
  const left = reads.values()
  let failed = 0
  const reader = async () => {
    for (const read of left) {
      await cache.read(read).catch(() => {
        failed += 1 // the failure is observed where it happened
      })
    }
  }
  const all = Promise.all(Array.from({ length: atOnce }, reader)).then(() => {
    observe({ kind: 'warmed', entries: reads.length - failed, failed, seconds: (clock.now() - began) / 1000 })
  })
  let cancel = () => {}
  const late = new Promise<void>((resolve) => {
    cancel = clock.after(limitMs, resolve)
  })
  await Promise.race([all, late])
  cancel()
}
