import { setTimeout as pause } from 'node:timers/promises'
import { inspect, isDeepStrictEqual } from 'node:util'

/** Long beside anything a busy machine takes: only a wait that would never end comes to it. */
const deadlineMs = 60_000

/**
 * Polls `look` until it sees what is wanted, and resolves to that: a value, or one for which a function returns true.
 *
 * Rejects after `withinMs` with what was seen last, and at once with what `look` throws.
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
