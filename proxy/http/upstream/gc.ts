// Garbage of large bodies, collected as they go.
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/** A body of no more than this is left to the engine. */
const largeBodyBytes = 1024 ** 2
/** How much of large bodies is carried between two collections. */
const everyBytes = 8 * 1024 ** 2

let sinceLast = 0
let collect: NodeJS.GCFunction | undefined

/**
 * To be told of each piece of content that is passed on: `before` bytes of the same body have been, `bytes` come now. Returns their sum.
 *
 * Node reads every piece into new memory of its own, and the engine lets 60 MiB of it gather before it looks for what is not needed any
 * more. For large bodies it is asked to look, among what is young only, after every 8 MiB: a millisecond each time.
 */
export function noteCarried(before: number, bytes: number): number {
  const sum = before + bytes
  if (sum > largeBodyBytes) sinceLast += bytes
  if (sinceLast >= everyBytes) {
    sinceLast = 0
    collect ??= collector()
    collect({ type: 'minor', execution: 'sync' })
  }
  return sum
}

/** The engine's own function, which it gives to contexts that are made while a flag is set. */
function collector(): NodeJS.GCFunction {
  setFlagsFromString('--expose-gc')
  const gc = runInNewContext('gc') as NodeJS.GCFunction
  setFlagsFromString('--no-expose-gc')
  return gc
}
