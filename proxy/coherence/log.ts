import { randomUUID } from 'node:crypto'
import type { Redis } from 'ioredis'
import { messageOf } from '../errors.ts'
import type { Observe } from '../observation.ts'
import type { Ledger } from './ledger.ts'

/**
 * The head of the invalidation log in Redis: one random id, replaced by every hard invalidation of any process.
 *
 * An entry in Redis carries the head its filler knew before its SQL; a reader believes it only if that is the head now. So
 * no process is given by Redis what was read before a purge that another process, or this one before a restart, has made.
 * An id is never used twice: a head lost with Redis' memory does not come back as an older one.
 *
 * While this process owes Redis a new head (Redis was down when somebody purged) the ledger's head is unknown: nothing from
 * Redis is believed and nothing is sent there.
 */
export class InvalidationLog {
  readonly #client: Redis
  readonly #key: string
  readonly #ledger: Ledger
  readonly #observe: Observe
  #isOwing = false
  /** Counts publications: an answer to a question asked before one says nothing after it. */
  #publications = 0

  constructor(client: Redis, keyPrefix: string, ledger: Ledger, observe: Observe) {
    this.#client = client
    this.#key = `{${keyPrefix}log}:head`
    this.#ledger = ledger
    this.#observe = observe
  }

  /**
   * Brings the ledger's head up to date. Called in the same tick as the read it is needed for, it shares that read's round
   * trip. Rejects when Redis cannot tell; the head stays what it was known to be.
   */
  async catchUp(): Promise<void> {
    if (this.#isOwing) return void (await this.#replace())
    const asked = this.#publications
    const head = (await this.#client.get(this.#key)) ?? (await this.#found())
    if (asked === this.#publications && !this.#isOwing) this.#ledger.head = head
  }

  /** Makes everything in Redis unbelievable, for every process. Resolves to whether Redis has heard it. */
  async publish(): Promise<boolean> {
    this.#isOwing = true
    this.#publications += 1
    this.#ledger.head = undefined
    try {
      return await this.#replace()
    } catch (error) {
      this.#observe({
        kind: 'tier-error',
        tier: 'redis',
        operation: 'head',
        reason: 'error',
        error: new Error(messageOf(error), { cause: error }),
      })
      return false
    }
  }

  async #replace(): Promise<boolean> {
    const asked = this.#publications
    const head = randomUUID()
    await this.#client.set(this.#key, head)
    if (asked !== this.#publications) return true // a later publication brings its own
    this.#isOwing = false
    this.#ledger.head = head
    return true
  }

  /** Names a head where there is none yet; of several processes that try, one wins. */
  async #found(): Promise<string> {
    await this.#client.set(this.#key, randomUUID(), 'NX')
    const head = await this.#client.get(this.#key)
    if (head === null) throw new Error('the head of the invalidation log vanished as it was made')
    return head
  }
}
