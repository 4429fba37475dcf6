// The clock of Redis, compared with this process's own.
import type { Cluster, Redis } from 'ioredis'
import type { Clock } from '../clock.ts'

/** How far the clock of Redis is ahead of this process's, in milliseconds: lower and upper bound. */
export interface Ahead {
  least: number
  most: number
}

/** How long a reading is used before Redis is asked again, in milliseconds. */
const goodMs = 1000
/** The most that one clock gains on another. One is slewed by at most 500 ppm (adjtimex); the crystals get as much again. */
export const drift = 0.001

/**
 * The clock that all processes can read, that of Redis (`TIME`), compared with this process's own.
 *
 * Redis reads its clock between the request and the arrival of the reply. So a moment on one clock is known on the
 * other to within a round trip. The caller chooses the side on which an entry errs. In a Cluster the bounds cover all
 * masters.
 */
export class RedisTime {
  readonly #client: Redis | Cluster
  readonly #clock: Clock
  /** The last reading of each master, and when it was requested. */
  readonly #told = new Map<Redis, Ahead & { at: number }>()
  #askedAt = Number.NEGATIVE_INFINITY
  #asking: Promise<void> | undefined

  constructor(client: Redis | Cluster, clock: Clock) {
    this.#client = client
    this.#clock = clock
    // A new connection may lead to another server.
    client.on('ready', () => this.#told.clear())
  }

  /** Asks once a second. Waits for that only while there is no reading yet. Rejects if no server gives one. */
  async ahead(): Promise<Ahead> {
    const isDue = this.#told.size === 0 || this.#clock.now() - this.#askedAt > goodMs
    if (isDue && this.#asking === undefined) {
      this.#asking = this.#ask().finally(() => {
        this.#asking = undefined
      })
      this.#asking.catch(() => {}) // earlier readings stay valid; without any, the waiting caller gets the failure
    }
    if (this.#told.size === 0) await this.#asking
    if (this.#told.size === 0) throw new Error('Redis has not answered TIME.')
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
    // A master that does not answer this time keeps its earlier reading.
    const asked = await Promise.allSettled(nodes.map((node) => this.#askOne(node)))
    if (this.#told.size === 0) throw asked.find((one) => one.status === 'rejected')?.reason
  }

  async #askOne(node: Redis): Promise<void> {
    const at = this.#clock.now()
    const [seconds, microseconds] = (await node.time()).map(Number)
    const time = (seconds ?? Number.NaN) * 1000 + (microseconds ?? Number.NaN) / 1000
    if (Number.isNaN(time)) throw new Error('Redis answered TIME without a time.')
    this.#told.set(node, { least: time - this.#clock.now(), most: time - at, at })
  }
}
