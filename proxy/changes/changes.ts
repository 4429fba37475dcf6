// The interface of following the database, for the rest of the program.

import type { Clock } from '../clock.ts'
import type { FollowState, Observe } from '../observation.ts'
import type { FollowedObjects } from '../tags.ts'
import type { AskVisible } from './visibility.ts'

/** Receives the changes of the database. Called in order; must not throw. */
export interface ChangeConsumer {
  /** Tags changed by transactions that every new snapshot sees by now. */
  changed(tags: readonly string[]): void
  /** Changes of these tags may have been missed: no process followed the database for a while. */
  missed(tags: readonly string[]): void
  /** Every change committed before `sinceMs` (this host's monotonic clock) has been handed on. */
  caughtUp(sinceMs: number): void
  /** Whether some process of the fleet is to follow the database from now on. Until the first call none is. */
  followed(isFollowed: boolean): void
}

export type FollowMode = 'replication' | 'notify' | 'off'

export interface Changes {
  /** How the database is followed; `why` gives the reason, and the way to a better mode, as the end of a sentence. */
  readonly mode: FollowMode
  readonly why: string
  readonly state: FollowState
  /** Changes that will not be noticed, one sentence each. */
  readonly warnings: readonly string[]
  /**
   * Follows `objects` from now on, instead of the earlier ones. Resolves when they are followed, or cannot be for now
   * (it keeps trying), after two seconds in any case. Rejects with a Refusal if the server does not allow the
   * configured mode.
   */
  follow(objects: FollowedObjects): Promise<void>
  close(): Promise<void>
}

export interface DatabaseFollowerOptions {
  url: string
  mode: FollowMode | 'auto'
  /** Name of the fleet: one of its processes follows for all. Undefined: this process follows for itself alone. */
  fleet: string | undefined
  consumer: ChangeConsumer
  clock: Clock
  random(): number
  observe: Observe
  /**
   * Called when followed objects may have been redefined since the routes were last inspected: the routes may read
   * other tables now. Called at the start too, in the background, one call at a time. Called again at the next look at
   * the catalog if it rejects. May call `follow`.
   */
  redefined(): Promise<void>
  /** For tests that must find violations: reports transactions as visible that are not. */
  visible?: AskVisible
}
