// The contract of a tier.
import type { Entry } from './entry.ts'
import type { Key } from './key.ts'

/**
 * A place that keeps entries. It does not judge them, and may forget any of them at any moment.
 *
 * The same suite checks every tier: test/tier-contract.live.test.ts.
 */
export interface Tier {
  /** `name` as in metrics, `/stats` and `Cache-Status`; `label` for people. */
  readonly name: string
  readonly label: string
  /** False while the tier must not be asked: each operation is then a miss that says nothing about its health. */
  readonly isUsable?: boolean
  /** The entry last kept under `key`, or nothing. Rejects when it cannot tell; `fail-open` makes that a miss. */
  get(key: Key): Entry | undefined | Promise<Entry | undefined>
  /** Keeps `entry` for about `keepMs`, counted from its read. Resolves to whether it was kept. */
  set(key: Key, entry: Entry, keepMs: number): boolean | Promise<boolean>
}
