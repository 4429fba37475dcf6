import { setTimeout as pause } from 'node:timers/promises'
import { inspect, isDeepStrictEqual } from 'node:util'

/** Far longer than a busy machine needs: only a wait that would never end reaches it. */
const deadlineMs = 60_000

/**
 * Polls `look` until it returns the wanted value, or one for which the function `wanted` returns true. Resolves to that value.
 *
 * Rejects after `withinMs`, with the last value in the message, and at once if `look` throws.
 */
export async function until<T>(
  look: () => T | Promise<T>,
  wanted: T | ((seen: T) => boolean) = Boolean,
  withinMs = deadlineMs,
): Promise<T> {
  const isWanted = wanted instanceof Function ? wanted : (seen: T) => isDeepStrictEqual(seen, wanted)
  const deadline = performance.now() + withinMs
  for (;;) {
    const seen = await look()
    if (isWanted(seen)) return seen
    if (performance.now() > deadline)
      throw new Error(`Not ${inspect(wanted)} within ${withinMs} ms of ${look}; last seen: ${inspect(seen)}`)
    await pause(10)
  }
}
