// A pause of random length around a mean, which an abort ends.
import type { Clock } from '../clock.ts'

/**
 * Waits `ms`, give or take 20 %: processes that wait for the same thing should not all try at one moment. Rejects when
 * `signal` aborts.
 */
export function pause(
  ms: number,
  signal: AbortSignal,
  { clock, random }: { clock: Clock; random(): number },
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  if (signal.aborted) return Promise.reject(signal.reason)
  const stop = clock.after(ms * (0.8 + 0.4 * random()), resolve)
  const abort = () => {
    stop()
    reject(signal.reason)
  }
  signal.addEventListener('abort', abort, { once: true })
  return promise.finally(() => signal.removeEventListener('abort', abort))
}
