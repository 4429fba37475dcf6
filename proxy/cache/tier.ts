// The contract of a tier.
import type { Entry } from './entry.ts'
import type { Key } from './key.ts'

/**
 * A place an entry may be found. It keeps entries and does not judge them; it may forget any of them at any moment.
 *
 * The same suite checks every tier: test/tier-contract.live.test.ts.
 */
export interface Tier {
  /** As metrics, `/stats` and `Cache-Status` spell it, and as people read it. */
  readonly name: string
  readonly label: string
  /** The entry last kept under `key`, or nothing. Rejects when it cannot tell; `fail-open` makes that a miss. */
  get(key: Key): Entry | undefined | Promise<Entry | undefined>
  /** Keeps `entry` for about `keepMs`, counted from when it was read. Resolves to whether it was taken. */
  set(key: Key, entry: Entry, keepMs: number): boolean | Promise<boolean>
}
