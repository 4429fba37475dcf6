import type { Clock } from '../clock.ts'
import type { Observe, TierName } from '../observation.ts'
import type { Ledger } from './ledger.ts'
import type { InvalidationLog } from './log.ts'

/** What a person asks to be forgotten: tags, a route (with parameters: one entry of it), or everything. */
export type PurgeRequest = { soft: boolean } & (
  | { tags: string[] }
  | { route: string; params?: Record<string, unknown> }
  | { all: true }
)

/** What a purge did. */
export interface Purged {
  tags: readonly string[]
  soft: boolean
  /** The number of this invalidation in this process. */
  position: number
  /** The tiers in which nothing older than it will be found again, by this process. */
  reached: TierName[]
  /** The tiers that could not be told; they are not used until they have been. */
  missed: TierName[]
}

/**
 * Makes the one way a purge takes: first the ledger, so that this process serves nothing older from here on, then the log.
 *
 * A soft purge asks for a refresh, and only of this process.
 */
export function purger(ledger: Ledger, log: InvalidationLog | undefined, clock: Clock, observe: Observe) {
  return async (tags: readonly string[], soft: boolean): Promise<Purged> => {
    const asked = clock.now()
    const position = ledger.apply({ tags, soft }, asked)
    const isShared = log !== undefined && !soft
    const isHeard = isShared && (await log.publish())
    const lagSeconds = (clock.now() - asked) / 1000
    observe({ kind: 'invalidated', cause: soft ? 'soft-purge' : 'purge', tags, lagSeconds })
    const reached: TierName[] = isHeard ? ['memory', 'redis'] : ['memory']
    return { tags, soft, position, reached, missed: isShared && !isHeard ? ['redis'] : [] }
  }
}
