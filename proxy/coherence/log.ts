import { randomUUID } from 'node:crypto'
import type { Redis } from 'ioredis'
import type { Observe } from '../observation.ts'
import type { Ledger } from './ledger.ts'

/**
 * The head of the invalidation log in Redis: one random id, replaced by every hard invalidation of any process.
 *
 * An entry in Redis carries the head its filler knew before its SQL; a reader believes it only if that is the head now. So
 * no process is given by Redis what was read before a purge that another process, or this one before a restart, has made.
 *
 * Redis may forget a head, and come back with an older one:
 *   1. an entry is kept under head a; Redis saves itself
 *   2. a purge replaces a by b
 *   3. Redis dies, and restarts with what it saved, or a replica without the tail takes over: head a, and the entry
 * So the first head seen on a new connection that is not the one known before is replaced. That also costs what Redis holds
 * when somebody else has purged meanwhile, which is no more than that purge did.
 *
 * While this process owes Redis a new head (Redis was down when somebody purged) the ledger's head is unknown: nothing from
 * Redis is believed and nothing is sent there. The debt is paid as soon as there is a connection.
 */
export class InvalidationLog {
  readonly #client: Redis
  readonly #key: string
  readonly #ledger: Ledger
  readonly #observe: Observe
  #isOwing = false
  /** The last head Redis was seen to have. */
  #known: string | undefined
  #isNewConnection = false
  /** Counts publications: an answer to a question asked before one says nothing after it. */
  #publications = 0

  constructor(client: Redis, keyPrefix: string, ledger: Ledger, observe: Observe) {
    this.#client = client
    this.#key = `{${keyPrefix}log}:head`
    this.#ledger = ledger
    this.#observe = observe
    client.on('ready', () => {
      this.#isNewConnection = true
      this.catchUp().catch((error) => this.#failed(error))
    })
  }

  /**
   * Brings the ledger's head up to date. Called in the same tick as the read it is needed for, it shares that read's round
   * trip. Rejects when Redis cannot tell; the head stays what it was known to be.
   */
  async catchUp(): Promise<void> {
    if (this.#isOwing) return void (await this.#replace())
    const asked = this.#publications
    const head = (await this.#client.get(this.#key)) ?? (await this.#found())
    if (asked !== this.#publications) return
    if (this.#isNewConnection && this.#known !== undefined && head !== this.#known) {
      this.#owe()
      return void (await this.#replace())
    }
    this.#isNewConnection = false
    this.#know(head)
  }

  /** Makes everything in Redis unbelievable, for every process. Resolves to whether Redis has heard it. */
  async publish(): Promise<boolean> {
    this.#owe()
    try {
      await this.#replace()
      return true
    } catch (error) {
      this.#failed(error)
      return false
    }
  }

  #owe(): void {
    this.#isOwing = true
    this.#publications += 1
    this.#ledger.head = undefined
  }

  #know(head: string): void {
    this.#known = head
    this.#ledger.head = head
  }

  async #replace(): Promise<void> {
    const asked = this.#publications
    const head = randomUUID()
    await this.#client.set(this.#key, head)
    if (asked !== this.#publications) return // a later publication brings its own
    this.#isOwing = false
    this.#isNewConnection = false
    this.#know(head)
  }

  /** Names a head where there is none yet; of several processes that try, one wins. */
  async #found(): Promise<string> {
    await this.#client.set(this.#key, randomUUID(), 'NX')
    const head = await this.#client.get(this.#key)
    if (head === null) throw new Error('the head of the invalidation log vanished as it was made')
    return head
  }

  #failed(error: unknown): void {
    this.#observe({ kind: 'tier-error', tier: 'redis', operation: 'head', reason: 'error', error })
  }
}
