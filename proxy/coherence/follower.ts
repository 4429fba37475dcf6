// The log follower: keeps the ledger synchronized with the invalidation log, and detects gaps.
import { CoherenceState } from './coherence-state.ts'
import type { Invalidation, Position } from './ledger.ts'
import { type LogDependencies, LogReader, logFailure } from './log-reader.ts'
import { LogWriter } from './log-writer.ts'

/** Interval of comparing the log's head with the applied position, in milliseconds. */
const verifyMs = 1000
/** Pause before a failed recovery from a gap is tried again, in milliseconds. */
const mendMs = 100
/** How long one comparison is valid, in milliseconds. */
const trustMs = 3000

/**
 * Keeps the ledger synchronized with the invalidation log, and detects when it is not. Once a second it compares the
 * head of the log with the applied position.
 *
 * A head that is not where it was counts as a gap: Redis restarted with an older snapshot, or a replica without the
 * tail took over. Recovery from a gap:
 *   1. the ledger leaves the log: Redis is neither read nor written
 *   2. this process appends a barrier, which is after every event it ever applied
 *   3. the ledger continues from the barrier, and distrusts every stamp before it
 *   4. this process appends again what it has published in the last half minute
 *
 * After three seconds without a valid comparison the state is 'degraded'. The ledger's verdict is then 'unverified',
 * and entries are served for a few seconds only.
 */
export class LogFollower {
  readonly #dependencies: LogDependencies
  readonly #reader: LogReader
  readonly #writer: LogWriter
  readonly #state: CoherenceState
  #isDatabaseFollowed = false
  #isClosed = false
  #hasJoined = false
  /** Since the last connection, or gap, the log has been found to continue the applied prefix. */
  #isChecked = false
  #sharedUntil = Number.NEGATIVE_INFINITY
  #beat: string | undefined
  #beatAt = Number.NEGATIVE_INFINITY
  /** There was a gap, and no barrier has been appended yet. */
  #isLost = false
  #gaps = 0
  #checking: Promise<void> | undefined
  #cancelNext = () => {}

  constructor(dependencies: LogDependencies) {
    this.#dependencies = dependencies
    const { log, ledger, clock, observe } = dependencies
    this.#reader = new LogReader(dependencies, () => this.#gap())
    this.#writer = new LogWriter(dependencies, this.#reader)
    this.#state = new CoherenceState(trustMs + verifyMs, clock, observe)
    if (log.isShared) ledger.verifiedUntil = Number.NEGATIVE_INFINITY
    log.onReconnect(() => {
      this.#isChecked = false
      void this.check()
    })
  }

  /** Says whether any process is to follow the database. If so, a log without new beats verifies nothing. */
  databaseFollowed(isFollowed: boolean): void {
    this.#isDatabaseFollowed = isFollowed
  }

  /** Begins. Resolves after the first check of the log, successful or not. */
  async start(): Promise<void> {
    await this.check()
    void this.#reader.run()
  }

  /** Whether this process may read the entries of other processes from Redis, and write its own there. */
  get isShared(): boolean {
    const { log, ledger, clock } = this.#dependencies
    return (
      log.isShared &&
      this.#isChecked &&
      ledger.isSynchronized &&
      !this.#writer.hasUnpublished &&
      clock.now() <= this.#sharedUntil
    )
  }

  get state() {
    const { ledger } = this.#dependencies
    const { pos, id } = ledger.position
    const { state, degradedSeconds } = this.#state
    return {
      state,
      ...(ledger.isSynchronized && { position: `${pos}:${id}` }),
      gaps: this.#gaps,
      degradedSeconds,
    }
  }

  /**
   * Appends `invalidation`, whose transactions must be visible by now. Once this resolves, this process serves nothing
   * older.
   *
   * With a position, no process that has applied that position serves anything older either. Without one the log was
   * unreachable: the invalidation is applied here, and Redis is not used until the log has it.
   */
  publish(invalidation: Invalidation): Promise<Position | undefined> {
    return this.#writer.publish(invalidation)
  }

  /** Waits until `position` has been applied, at most `ms`. Resolves to whether it has. */
  async reached(position: Position, ms: number): Promise<boolean> {
    const { ledger, clock } = this.#dependencies
    if (position.pos > ledger.position.pos && this.#isChecked) {
      let cancel = () => {}
      const late = new Promise<void>((resolve) => {
        cancel = clock.after(ms, resolve)
      })
      await Promise.race([this.#reader.catchUp(), late]).catch((error) => this.#failed(error))
      cancel()
    }
    return ledger.holds(position)
  }

  /** Writes a beat: the database was followed up to a moment ago, and all its changes up to then are in the log. */
  async beat(): Promise<void> {
    const { log } = this.#dependencies
    if (this.#writer.hasUnpublished || !log.isReachable) return
    await log.beat().catch((error) => this.#failed(error))
    if (!log.isShared) await this.check()
  }

  /** Compares the head of the log with the applied position, and recovers from a gap. One check at a time. */
  check(): Promise<void> {
    const { ledger, clock } = this.#dependencies
    this.#checking ??= this.#check()
      .catch((error) => this.#failed(error))
      .finally(() => {
        this.#checking = undefined
        this.#writer.compact(clock.now())
        this.#state.update(ledger.verifiedUntil)
        this.#cancelNext()
        const pauseMs = this.#isLost ? mendMs : verifyMs
        if (!this.#isClosed) this.#cancelNext = clock.after(pauseMs, () => void this.check())
      })
    return this.#checking
  }

  close(): void {
    this.#isClosed = true
    this.#reader.close()
    this.#cancelNext()
    this.#dependencies.log.close()
  }

  async #check(): Promise<void> {
    const { log, ledger, clock } = this.#dependencies
    if (!log.isReachable) return
    const asked = clock.now()
    const before = ledger.position
    const wasSynchronized = ledger.isSynchronized
    const head = await log.head()
    if (wasSynchronized && (head === undefined || head.pos < before.pos)) this.#gap()
    else if (wasSynchronized && head !== undefined && !(await this.#continues(head))) this.#gap()
    if (!ledger.isSynchronized) await this.#join()
    await this.#writer.publishPending()
    if (!ledger.isSynchronized) return // another gap meanwhile
    // Only after a successful check, not by age alone: a log that was unreachable for long may have lost these events.
    this.#writer.forget(asked)
    this.#isChecked = true
    this.#sharedUntil = asked + trustMs
    if (head?.beat !== undefined && head.beat !== this.#beat) {
      this.#beat = head.beat
      this.#beatAt = asked
    }
    const logUntil = log.isShared ? this.#sharedUntil : Number.POSITIVE_INFINITY
    const databaseUntil = this.#isDatabaseFollowed ? this.#beatAt + trustMs + verifyMs : Number.POSITIVE_INFINITY
    ledger.verifiedUntil = Math.min(logUntil, databaseUntil)
  }

  /** Applies all events up to `head`. Resolves to whether `head` is then part of the applied log. */
  async #continues(head: Position): Promise<boolean> {
    const { ledger } = this.#dependencies
    // Twice: a catch-up already under way may have read the log before `head` was read.
    for (let i = 0; i < 2 && head.pos > ledger.position.pos; i += 1) await this.#reader.catchUp()
    return ledger.holds(head)
  }

  /** Joins the log: at the start with all events that it still holds, after a gap with a barrier. */
  async #join(): Promise<void> {
    const { log, ledger } = this.#dependencies
    if (!this.#hasJoined && (await this.#joinAtBeginning())) return
    // Appended after the gap was detected, so all events applied here are before it.
    const barrier = await log.append({ tags: [], soft: false, cause: 'barrier' })
    this.#hasJoined = true
    this.#isLost = false
    ledger.join(barrier)
    this.#writer.publishRecentAgain()
  }

  /** Applies all events that the log still holds. Resolves to whether that worked. */
  async #joinAtBeginning(): Promise<boolean> {
    const { log, ledger } = this.#dependencies
    const events = await log.read(0)
    const [first] = events
    if (first === undefined) return false
    this.#hasJoined = true
    this.#isLost = false
    ledger.join({ pos: first.pos - 1, id: first.prev })
    this.#reader.take(events)
    await this.#reader.catchUp()
    return ledger.isSynchronized
  }

  #gap(): void {
    const { ledger, clock, observe } = this.#dependencies
    if (this.#isLost) return
    this.#isLost = true
    this.#isChecked = false
    this.#gaps += 1
    ledger.lose()
    // Cached entries may be older than the missed events.
    ledger.verifiedUntil = clock.now() - 1
    observe({ kind: 'log-gap' })
    void this.check()
  }

  #failed(error: unknown): void {
    this.#dependencies.observe(logFailure(error))
  }
}
