// The clock of Redis, beside this process's own.
import type { Cluster, Redis } from 'ioredis'
import type { Clock } from '../clock.ts'

/** How far the clock of Redis is ahead of this process's, in milliseconds: at the least, and at the most. */
export interface Ahead {
  least: number
  most: number
}

/** After how long it is asked again. */
const goodMs = 1000
/** How much one clock may gain on another: what a clock is slewed by at most (adjtimex: 500 ppm), and as much again for the crystals. */
export const drift = 0.001

/**
 * The clock all processes can read: that of Redis (`TIME`), beside this process's own.
 *
 * It was told between the moment it was asked for and the moment its answer was read, so a moment on one clock is known on the other to
 * within a round trip, and which side of it an entry errs on can be chosen. In a Cluster it is what all masters say.
 */
export class RedisTime {
  readonly #client: Redis | Cluster
  readonly #clock: Clock
  /** What each master has said last, and when it was asked. */
  readonly #told = new Map<Redis, Ahead & { at: number }>()
  #askedAt = Number.NEGATIVE_INFINITY
  #asking: Promise<void> | undefined

  constructor(client: Redis | Cluster, clock: Clock) {
    this.#client = client
    this.#clock = clock
    // It may be another server's from here on.
    client.on('ready', () => this.#told.clear())
  }

  /** Asks once a second, and waits for that only if nothing is known yet. Rejects where nobody says. */
  async ahead(): Promise<Ahead> {
    const isDue = this.#told.size === 0 || this.#clock.now() - this.#askedAt > goodMs
    if (isDue && this.#asking === undefined) {
      this.#asking = this.#ask().finally(() => {
        this.#asking = undefined
      })
      this.#asking.catch(() => {}) // known is what was told before; where nothing was, whoever waits gets the failure
    }
    if (this.#told.size === 0) await this.#asking
    if (this.#told.size === 0) throw new Error('Redis does not say what time it is.')
    const now = this.#clock.now()
    let [least, most] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]
    for (const told of this.#told.values()) {
      const drifted = (now - told.at) * drift
      least = Math.min(least, told.least - drifted)
      most = Math.max(most, told.most + drifted)
    }
    return { least, most }
  }

  async #ask(): Promise<void> {
    this.#askedAt = this.#clock.now()
    const nodes = 'nodes' in this.#client ? this.#client.nodes('master') : [this.#client]
    for (const node of this.#told.keys()) if (!nodes.includes(node)) this.#told.delete(node)
    // Of a master that does not answer this time holds what it has said before.
    const asked = await Promise.allSettled(nodes.map((node) => this.#askOne(node)))
    if (this.#told.size === 0) throw asked.find((one) => one.status === 'rejected')?.reason
  }

  async #askOne(node: Redis): Promise<void> {
    const at = this.#clock.now()
    const [seconds, microseconds] = (await node.time()).map(Number)
    const time = (seconds ?? Number.NaN) * 1000 + (microseconds ?? Number.NaN) / 1000
    if (Number.isNaN(time)) throw new Error('Redis does not say what time it is.')
    this.#told.set(node, { least: time - this.#clock.now(), most: time - at, at })
  }
}
