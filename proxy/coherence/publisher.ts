// Puts what the database says into the log, gathered.
import type { Clock } from '../clock.ts'
import type { Observe } from '../observation.ts'
import type { LogFollower } from './follower.ts'

/** After one event this long passes before the next, which then holds all that came meanwhile. */
const gatherMs = 10
/** Of one event: what touches more becomes several. */
const maxTags = 1000

/**
 * Puts what the database says into the log: the first change at once, what follows closely gathered.
 *
 * Tags handed in must be of transactions that every new snapshot sees. A sign of life (`heard`) is passed on only behind all that was
 * handed in before it, and only once that is in the log: whoever sees it has missed nothing up to then.
 */
export class Publisher {
  readonly #follower: Pick<LogFollower, 'publish' | 'beat'>
  readonly #clock: Clock
  readonly #observe: Observe
  #changed = new Set<string>()
  #missed = new Set<string>()
  #heard: { lagMs: number; at: number } | undefined
  #isBusy = false

  constructor(follower: Pick<LogFollower, 'publish' | 'beat'>, clock: Clock, observe: Observe) {
    this.#follower = follower
    this.#clock = clock
    this.#observe = observe
  }

  /** Something with these tags has changed. */
  changed(tags: readonly string[]): void {
    for (const tag of tags) this.#changed.add(tag)
    this.#begin()
  }

  /** Something with these tags may have changed while nobody looked: it is refreshed behind the next reader. */
  missed(tags: readonly string[]): void {
    for (const tag of tags) this.#missed.add(tag)
    this.#begin()
  }

  /** All that was committed up to a moment ago has been handed in; `lagMs` from its commit to now. */
  caughtUp(_sinceMs: number, lagMs: number): void {
    this.#heard = { lagMs, at: this.#clock.now() }
    this.#begin()
  }

  #begin(): void {
    if (this.#isBusy) return
    this.#isBusy = true
    void this.#publishAll()
  }

  async #publishAll(): Promise<void> {
    while (this.#changed.size > 0 || this.#missed.size > 0 || this.#heard !== undefined) {
      const [changed, missed, heard] = [[...this.#changed], [...this.#missed], this.#heard]
      this.#changed.clear()
      this.#missed.clear()
      this.#heard = undefined
      const isInLog = (await this.#publish(changed, false)) && (await this.#publish(missed, true))
      if (heard !== undefined && isInLog) {
        await this.#follower.beat()
        this.#observe({ kind: 'followed', lagSeconds: (heard.lagMs + this.#clock.now() - heard.at) / 1000 })
      }
      if (changed.length > 0 || missed.length > 0)
        await new Promise<void>((resolve) => this.#clock.after(gatherMs, resolve))
    }
    this.#isBusy = false
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
