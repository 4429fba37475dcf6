// Puts what the database says into the log, gathered.
import type { ChangeConsumer } from '../changes/changes.ts'
import type { Clock } from '../clock.ts'
import type { Observe } from '../observation.ts'
import type { LogFollower } from './follower.ts'

/** After one event this long passes before the next, which then holds all that came meanwhile. */
const gatherMs = 10
/** Of one event: what touches more becomes several. */
const maxTags = 1000

type PublishedTo = Pick<LogFollower, 'publish' | 'beat' | 'databaseFollowed'>

/**
 * Puts what the database says into the log: the first change at once, what follows closely gathered.
 *
 * A sign of life (`caughtUp`) is passed on only behind all that was handed in before it, and only once that is in the log: whoever
 * sees it has missed nothing up to then.
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

  /** What may have changed is refreshed behind the next reader. */
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

  /** Resolves to whether the log has it. */
  async #publish(tags: readonly string[], soft: boolean): Promise<boolean> {
    let isInLog = true
    for (let i = 0; i < tags.length; i += maxTags) {
      const event = { tags: tags.slice(i, i + maxTags), soft, cause: soft ? 'missed' : 'change' } as const
      isInLog = (await this.#follower.publish(event)) !== undefined && isInLog
    }
    return isInLog
  }
}
