// What the rest of the program sees of following the database.

import type { Clock } from '../clock.ts'
import type { FollowState, Observe } from '../observation.ts'
import type { FollowedObjects } from '../tags.ts'
import type { AskVisible } from './visibility.ts'

/** Where what has changed in the database is handed on. Called in order; must not throw. */
export interface ChangeConsumer {
  /** What transactions that every new snapshot sees by now have changed. */
  changed(tags: readonly string[]): void
  /** Changes of these tags may have been missed: nobody followed for a while. */
  missed(tags: readonly string[]): void
  /** Every change committed before `sinceMs` (this host's monotonic clock) has been handed on. */
  caughtUp(sinceMs: number): void
  /** Whether the database is to be followed from now on, by whichever process of the fleet. Until the first call it is not. */
  followed(isFollowed: boolean): void
}

export type FollowMode = 'replication' | 'notify' | 'off'

export interface Changes {
  /** How the database is followed, and in one sentence why so: what the server allows, and what to do to get better. */
  readonly mode: FollowMode
  readonly why: string
  readonly state: FollowState
  /** What will not be noticed, a sentence each. */
  readonly warnings: readonly string[]
  /**
   * Follows these from now on, instead of what was followed. Resolves when they are, or cannot be for now (it goes on trying), after
   * two seconds in any case. Rejects with a Refusal when the server does not allow the mode that was asked for.
   */
  follow(objects: FollowedObjects): Promise<void>
  close(): Promise<void>
}

export interface DatabaseFollowerOptions {
  url: string
  mode: FollowMode | 'auto'
  /** Names the fleet: of its processes one follows, for all. Undefined: this process follows for itself alone. */
  fleet: string | undefined
  consumer: ChangeConsumer
  clock: Clock
  random(): number
  observe: Observe
  /**
   * What is followed is not known to be defined as it was when the routes were last looked at: they may read something else now. Called at the
   * start too, beside what is under way, one at a time, and again at the next look where it rejects. May call `follow`.
   */
  redefined(): Promise<void>
  /** For tests that must find violations: says of transactions that they are visible which are not. */
  visible?: AskVisible
}
