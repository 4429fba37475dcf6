// Garbage collection during large bodies.
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/** Up to this size a body does not count as large. */
const largeBodyBytes = 1024 ** 2
/** Bytes of large bodies between two collections. */
const everyBytes = 8 * 1024 ** 2

/**
 * Collects the garbage of large bodies.
 *
 * Node reads every piece of content into new memory, and the engine lets 60 MiB of garbage gather before it collects.
 * During large bodies this class requests a minor collection (young objects only) after every 8 MiB: one millisecond
 * each.
 */
export class LargeBodyCollector {
  #bytesSinceLast = 0
  #collect: NodeJS.GCFunction | undefined

  /** Notes `bytes` of a body of which `before` bytes were carried already. Returns their sum. */
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

/** The engine's own function, which exists in contexts created while the flag is set. */
function exposedCollector(): NodeJS.GCFunction {
  setFlagsFromString('--expose-gc')
  const gc: unknown = runInNewContext('gc')
  setFlagsFromString('--no-expose-gc')
  if (!isCollector(gc)) throw new TypeError('The JavaScript engine offers no gc function.')
  return gc
}

const isCollector = (value: unknown): value is NodeJS.GCFunction => typeof value === 'function'
