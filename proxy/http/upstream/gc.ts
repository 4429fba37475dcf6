// Garbage of large bodies, collected as they go.
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/** A body of no more than this is left to the engine. */
const largeBodyBytes = 1024 ** 2
/** How much of large bodies is carried between two collections. */
const everyBytes = 8 * 1024 ** 2

/**
 * Collects the garbage that large bodies leave.
 *
 * Node reads every piece of content into new memory of its own, and the engine lets 60 MiB of it gather before it looks for what is not
 * needed any more. For large bodies it is asked to look, among the youngest objects only, after every 8 MiB: a millisecond each time.
 */
export class LargeBodyCollector {
  #bytesSinceLast = 0
  #collect: NodeJS.GCFunction | undefined

  /** Notes a piece of content: `before` bytes of the same body have been carried, `bytes` come now. Returns their sum. */
  note(before: number, bytes: number): number {
    const sum = before + bytes
    if (sum > largeBodyBytes) this.#bytesSinceLast += bytes
    if (this.#bytesSinceLast >= everyBytes) {
      this.#bytesSinceLast = 0
      this.#collect ??= exposedCollector()
      this.#collect({ type: 'minor', execution: 'sync' })
    }
    return sum
  }
}

/** The engine's own function, which it gives to contexts that are made while a flag is set. */
function exposedCollector(): NodeJS.GCFunction {
  setFlagsFromString('--expose-gc')
  const gc: unknown = runInNewContext('gc')
  setFlagsFromString('--no-expose-gc')
  if (!isCollector(gc)) throw new TypeError('The engine has no function that collects garbage.')
  return gc
}

const isCollector = (value: unknown): value is NodeJS.GCFunction => typeof value === 'function'
