// Visibility: holds changes back until every new snapshot sees their transaction.
import type { Clock } from '../clock.ts'

/** Asks the server which transactions, by their 64-bit ids, every new snapshot sees now. */
export type AskVisible = () => Promise<(xid: bigint) => boolean>

/**
 * The transactions that a snapshot sees, from the text `xmin:xmax:xip` of `pg_current_snapshot`. Those below xmin have
 * ended, those from xmax on have not begun, and xip lists those in progress between. Equals `pg_visible_in_snapshot`,
 * for any number of transactions at the cost of one query.
 */
export function seenBy(snapshot: string): (xid: bigint) => boolean {
  const [, xmin, xmax, xip] = /^(\d+):(\d+):([\d,]*)$/.exec(snapshot) ?? []
  if (xmin === undefined || xmax === undefined) throw new Error(`not a snapshot: ${snapshot}`)
  const [first, next, running] = [BigInt(xmin), BigInt(xmax), new Set(xip?.split(','))]
  return (xid) => xid < first || (xid < next && !running.has(String(xid)))
}

/**
 * Extends the 32-bit transaction id of a replication stream to the 64-bit id nearest to `recentXid`. Any id that the
 * server has assigned recently will do as that: ids in use at one time are less than 2^31 apart.
 */
export function widen(xid: number, recentXid: bigint): bigint {
  return recentXid + BigInt.asIntN(32, BigInt(xid) - recentXid)
}

/** Commits of this many milliseconds are asked about together: each query costs the server about as much as a small transaction. */
const gatherMs = 10
const askAgainMs = 2
const askAgainMostMs = 100

/**
 * Holds the changes of a transaction back until new snapshots see it.
 *
 * A commit is decoded before it is visible:
 *   1. a commit reaches the disk, and the replication stream
 *   2. a reader that queries now, because the stream reported the change, reads the old row, and caches it as new
 *   3. the commit becomes visible: usually at once, but with a synchronous standby only once that has confirmed it
 *
 * So the server is asked until the transaction is visible. Transactions found visible together are handed on in the
 * order of their commits.
 */
export class UntilVisible<T> {
  readonly #pending = new Map<bigint, T[]>()
  readonly #ask: AskVisible
  readonly #deliver: (item: T) => Promise<void> | undefined
  readonly #clock: Clock
  #isRunning = false
  #latest = 0

  /** `failed` is called when the server cannot be asked. Nothing is handed on after that. */
  readonly #failed: (error: unknown) => void

  constructor(
    ask: AskVisible,
    deliver: (item: T) => Promise<void> | undefined,
    failed: (error: unknown) => void,
    clock: Clock,
  ) {
    this.#ask = ask
    this.#deliver = deliver
    this.#failed = failed
    this.#clock = clock
  }

  get size(): number {
    return this.#pending.size
  }

  add(xid: bigint, item: T): void {
    const others = this.#pending.get(xid)
    if (others === undefined) this.#pending.set(xid, [item])
    else others.push(item)
    this.#latest = this.#clock.now()
    if (this.#isRunning) return
    this.#isRunning = true
    this.#run().then(
      () => {
        this.#isRunning = false
      },
      (error) => this.#failed(error),
    )
  }

  async #run(): Promise<void> {
    while (this.#pending.size > 0) {
      // Items added after the query was sent wait for the next query.
      const asked = [...this.#pending]
      const isVisible = await this.#ask()
      const visible = asked.filter(([xid]) => isVisible(xid))
      for (const [xid, items] of visible) {
        this.#pending.delete(xid)
        for (const item of items) await this.#deliver(item)
      }
      await this.#pause(visible.length === asked.length)
    }
  }

  /** 10 ms after all were visible. Else 2 ms; up to 100 ms if nothing has been added for a while, as with a stuck standby. */
  #pause(wasAllVisible: boolean): Promise<void> {
    const waitedMs = this.#clock.now() - this.#latest
    const ms = wasAllVisible ? gatherMs : Math.min(askAgainMostMs, Math.max(askAgainMs, waitedMs / 20))
    return new Promise((resolve) => void this.#clock.after(ms, resolve))
  }
}

/**
 * The transactions in progress when a stream begins. Finds those that end although the stream does not show their
 * commit: it was in the WAL before, though not visible. Such a transaction cannot be told from one that was rolled
 * back, so both count.
 */
export class Unseen {
  readonly #ask: AskVisible
  readonly #open = new Set<bigint>()
  /** Ended before the heartbeat of this number was sent. Once that returns, their commits have passed, or never will. */
  readonly #ended = new Map<bigint, number>()

  constructor(ask: AskVisible) {
    this.#ask = ask
  }

  watch(xids: readonly bigint[]): void {
    for (const xid of xids) this.#open.add(xid)
  }

  /** The stream shows the commit of `xid`. */
  see(xid: bigint): void {
    this.#open.delete(xid)
    this.#ended.delete(xid)
  }

  /** To be called before the heartbeat `number` is sent. */
  async expect(number: number): Promise<void> {
    if (this.#open.size === 0) return
    const isVisible = await this.#ask()
    for (const xid of [...this.#open]) {
      if (!isVisible(xid)) continue
      this.#open.delete(xid)
      this.#ended.set(xid, number)
    }
  }

  /** Whether one ended unseen before the heartbeat `number` was sent, which has returned. Each is reported once. */
  passed(number: number): boolean {
    const gone = [...this.#ended].filter(([, before]) => before <= number)
    for (const [xid] of gone) this.#ended.delete(xid)
    return gone.length > 0
  }
}
