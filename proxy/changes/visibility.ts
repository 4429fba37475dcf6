// Holds back what a transaction has changed until it can be read.
import type { Clock } from '../clock.ts'

/** Of transactions, as the numbers of 64 bits the server gives them, which every new snapshot sees: asked now. */
export type AskVisible = () => Promise<(xid: bigint) => boolean>

/**
 * What a snapshot sees, as `pg_current_snapshot` writes it: xmin:xmax:xip, ended before, begun after, and in progress between. The same as
 * `pg_visible_in_snapshot`, of any number of transactions at the price of one question.
 */
export function seenBy(snapshot: string): (xid: bigint) => boolean {
  const [, xmin, xmax, xip] = /^(\d+):(\d+):([\d,]*)$/.exec(snapshot) ?? []
  if (xmin === undefined || xmax === undefined) throw new Error(`this is no snapshot: ${snapshot}`)
  const [first, next, running] = [BigInt(xmin), BigInt(xmax), new Set(xip?.split(','))]
  return (xid) => xid < first || (xid < next && !running.has(String(xid)))
}

/**
 * A transaction's number in a replication stream, of 32 bits, made the one of 64 bits that is nearest to `recentXid`. Any number the server
 * has given out lately will do as that: those in use at a time are less than 2^31 apart.
 */
export function widen(xid: number, recentXid: bigint): bigint {
  return recentXid + BigInt.asIntN(32, BigInt(xid) - recentXid)
}

/** What is committed meanwhile is asked for together: each question costs the server about as much as a small transaction. */
const gatherMs = 10
const askAgainMs = 2
const askAgainMostMs = 100

/**
 * Holds back what a transaction has changed until new snapshots see it.
 *
 * A commit is decoded before it is visible:
 *   1. a commit reaches the disk, and the replication stream
 *   2. whoever reads now, because the stream said so, reads the old row, and keeps it as new
 *   3. the commit becomes visible: usually at once, but only once a synchronous standby has confirmed it
 * So the server is asked until it is. Of what is seen at one moment everything is handed on in the order of the commits.
 */
export class UntilVisible<T> {
  readonly #pending = new Map<bigint, T[]>()
  readonly #ask: AskVisible
  readonly #deliver: (item: T) => Promise<void> | undefined
  readonly #clock: Clock
  #isRunning = false
  #latest = 0

  /** `failed` is told when the server cannot be asked; nothing is handed on after that. */
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
      // What comes after the question is meant by the next one.
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

  /** Two milliseconds when some is not visible yet; longer when nothing has come for a while, as a stuck standby has it. */
  #pause(wasAllVisible: boolean): Promise<void> {
    const waitedMs = this.#clock.now() - this.#latest
    const ms = wasAllVisible ? gatherMs : Math.min(askAgainMostMs, Math.max(askAgainMs, waitedMs / 20))
    return new Promise((resolve) => void this.#clock.after(ms, resolve))
  }
}

/**
 * The transactions in progress when a stream begins: whether one has ended whose commit the stream does not show, for it was in the
 * WAL before, though not visible. Nobody can tell such a one from one that was rolled back; both count.
 */
export class Unseen {
  readonly #ask: AskVisible
  readonly #open = new Set<bigint>()
  /** Ended before the heartbeat of this number was sent: once that is back, their commits are through, or will never be. */
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

  /** Whether one has ended unseen before the heartbeat `number` was sent, which is back. Says so once. */
  passed(number: number): boolean {
    const gone = [...this.#ended].filter(([, before]) => before <= number)
    for (const [xid] of gone) this.#ended.delete(xid)
    return gone.length > 0
  }
}
