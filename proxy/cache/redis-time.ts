import { Cluster, type Redis } from 'ioredis'
import type { Clock } from '../clock.ts'

/** How far the clock of Redis is ahead of this process's, in milliseconds: at the least, and at the most. */
export interface Ahead {
  least: number
  most: number
}

/** After how long it is asked again. */
const goodMs = 1000
/** How much one clock may gain on another: what a clock is slewed by at most (adjtimex: 500 ppm), and as much again for the crystals. */
const drift = 0.001

/**
 * The clock all processes can read: that of Redis (`TIME`), beside this process's own.
 *
 * It was told between the moment it was asked for and the moment its answer was read, so a moment on one clock is known on the other to
 * within a round trip, and which side of it an entry errs on can be chosen. In a Cluster it is what all masters say.
 */
export class RedisTime {
  readonly #client: Redis | Cluster
  readonly #clock: Clock
  #told: (Ahead & { at: number }) | undefined
  #asking: Promise<void> | undefined

  constructor(client: Redis | Cluster, clock: Clock) {
    this.#client = client
    this.#clock = clock
    // It may be another server's from here on.
    client.on('ready', () => {
      this.#told = undefined
    })
  }

  /** Asks once a second, and waits for that only if nothing is known yet. Rejects where nobody says. */
  async ahead(): Promise<Ahead> {
    const isDue = this.#told === undefined || this.#clock.now() - this.#told.at > goodMs
    if (isDue && this.#asking === undefined) {
      this.#asking = this.#ask().finally(() => {
        this.#asking = undefined
      })
      this.#asking.catch(() => {}) // known is what was told before; where nothing was, whoever waits gets the failure
    }
    if (this.#told === undefined) await this.#asking
    if (this.#told === undefined) throw new Error('Redis does not say what time it is.')
    const { least, most, at } = this.#told
    const drifted = (this.#clock.now() - at) * drift
    return { least: least - drifted, most: most + drifted }
  }

  async #ask(): Promise<void> {
    const asked = this.#clock.now()
    const nodes = this.#client instanceof Cluster ? this.#client.nodes('master') : [this.#client]
    // Of a node that cannot be reached nothing is read either.
    const told = await Promise.allSettled(nodes.map((node) => this.#askOne(node, asked)))
    const all = told.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))
    if (all.length === 0) throw (told[0] as PromiseRejectedResult | undefined)?.reason
    const least = Math.min(...all.map(({ least }) => least))
    const most = Math.max(...all.map(({ most }) => most))
    this.#told = { least, most, at: asked }
  }

  async #askOne(node: Redis, asked: number): Promise<Ahead> {
    const [seconds, microseconds] = (await node.time()).map(Number) as [number, number]
    const time = seconds * 1000 + microseconds / 1000
    return { least: time - this.#clock.now(), most: time - asked }
  }
}
