// The publisher: puts changes of the database into the invalidation log, in batches.
import type { ChangeConsumer } from '../changes/changes.ts'
import type { Clock } from '../clock.ts'
import type { Observe } from '../observation.ts'
import type { LogFollower } from './follower.ts'

/** Pause after an event, in milliseconds. The next event holds all changes that came meanwhile. */
const gatherMs = 10
/** Most tags of one event. A larger batch becomes several events. */
const maxTags = 1000

type PublishedTo = Pick<LogFollower, 'publish' | 'beat' | 'databaseFollowed'>

/**
 * Puts changes of the database into the log: the first change at once, changes that follow closely as one batch.
 *
 * `caughtUp` becomes a beat, in this order:
 *   1. all changes handed in before it are appended to the log
 *   2. only if that worked, the beat is written
 *   3. a process that sees the beat has missed nothing up to then
 */
export class Publisher implements ChangeConsumer {
  readonly #follower: PublishedTo
  readonly #clock: Clock
  readonly #observe: Observe
  readonly #changed = new Set<string>()
  readonly #missed = new Set<string>()
  #caughtUpSinceMs: number | undefined
  #isPublishing = false

  constructor(follower: PublishedTo, clock: Clock, observe: Observe) {
    this.#follower = follower
    this.#clock = clock
    this.#observe = observe
  }

  changed(tags: readonly string[]): void {
    for (const tag of tags) this.#changed.add(tag)
    this.#begin()
  }

  /** Entries that may have changed are served once more, and refreshed in the background. */
  missed(tags: readonly string[]): void {
    for (const tag of tags) this.#missed.add(tag)
    this.#begin()
  }

  caughtUp(sinceMs: number): void {
    this.#caughtUpSinceMs = sinceMs
    this.#begin()
  }

  followed(isFollowed: boolean): void {
    this.#follower.databaseFollowed(isFollowed)
  }

  #begin(): void {
    if (this.#isPublishing) return
    this.#isPublishing = true
    void this.#publishAll()
  }

  async #publishAll(): Promise<void> {
    while (this.#changed.size > 0 || this.#missed.size > 0 || this.#caughtUpSinceMs !== undefined) {
      const [changed, missed, sinceMs] = [[...this.#changed], [...this.#missed], this.#caughtUpSinceMs]
      this.#changed.clear()
      this.#missed.clear()
      this.#caughtUpSinceMs = undefined
      const isInLog = (await this.#publish(changed, false)) && (await this.#publish(missed, true))
      if (sinceMs !== undefined && isInLog) {
        await this.#follower.beat()
        this.#observe({ kind: 'followed', lagSeconds: (this.#clock.now() - sinceMs) / 1000 })
      }
      if (changed.length > 0 || missed.length > 0)
        await new Promise<void>((resolve) => this.#clock.after(gatherMs, resolve))
    }
    this.#isPublishing = false
  }

  /** Resolves to whether all of it is in the log. */
  async #publish(tags: readonly string[], soft: boolean): Promise<boolean> {
    let isInLog = true
    for (let i = 0; i < tags.length; i += maxTags) {
      const event = { tags: tags.slice(i, i + maxTags), soft, cause: soft ? 'missed' : 'change' } as const
      isInLog = (await this.#follower.publish(event)) !== undefined && isInLog
    }
    return isInLog
  }
}
