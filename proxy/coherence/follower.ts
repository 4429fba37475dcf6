// Keeps the ledger synchronized with the log, and knows when it is not.
import { CoherenceState } from './coherence-state.ts'
import type { Invalidation, Position } from './ledger.ts'
import { type LogDependencies, LogReader, logFailure } from './log-reader.ts'
import { LogWriter } from './log-writer.ts'

/** How often the log's head is compared with what was applied. */
const verifyMs = 1000
/** How soon after a gap that could not be mended it is tried again. */
const mendMs = 100
/** For how long one such comparison is good. */
const trustMs = 3000

/**
 * Keeps the ledger synchronized with the log, and knows when it is not: once a second it looks where the log stands.
 *
 * A gap, or a head that is not where it was (Redis restarted with what it had saved, or a replica without the tail took over):
 *   1. the ledger is synchronized with nothing: Redis is neither read nor written
 *   2. a barrier of our own is appended, which is after every event we ever applied
 *   3. the ledger goes on from there, and believes nothing stamped before it
 *   4. what this process has published in the last half minute is published once more
 *
 * Not verified for three seconds is 'degraded': the ledger calls what it is asked 'unverified', and entries live a few seconds.
 */
export class LogFollower {
  readonly #dependencies: LogDependencies
  readonly #reader: LogReader
  readonly #writer: LogWriter
  readonly #state: CoherenceState
  #isDatabaseFollowed = false
  #isClosed = false
  #hasJoined = false
  /** Since the last connection, or gap, the log was seen to continue what was applied. */
  #isChecked = false
  #sharedUntil = Number.NEGATIVE_INFINITY
  #beat: string | undefined
  #beatAt = Number.NEGATIVE_INFINITY
  /** There was a gap, and no barrier yet. */
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

  /** Tells whether somebody is to follow the database: then a log without a beat is as good as none. */
  databaseFollowed(isFollowed: boolean): void {
    this.#isDatabaseFollowed = isFollowed
  }

  /** Begins; resolves when the log has been asked once, whatever came of it. */
  async start(): Promise<void> {
    await this.check()
    void this.#reader.run()
  }

  /** Whether what other processes have kept may be looked at, and they be given what this one keeps. */
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
   * Appends `invalidation`, whose transactions must be visible by now. When this resolves, this process serves nothing older;
   * with a position, neither does anybody who has applied that. Without one the log could not be reached: it is applied here,
   * and the log is not used until it has it.
   */
  publish(invalidation: Invalidation): Promise<Position | undefined> {
    return this.#writer.publish(invalidation)
  }

  /** Waits until what `position` names has been applied: at most `ms`. Resolves to whether it has. */
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

  /** The database was followed up to a moment ago, and all that came of it is in the log. */
  async beat(): Promise<void> {
    const { log } = this.#dependencies
    if (this.#writer.hasUnpublished || !log.isReachable) return
    await log.beat().catch((error) => this.#failed(error))
    if (!log.isShared) await this.check()
  }

  /** Compares the log's head with what was applied, and mends what there is to mend. One at a time. */
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
    // Not by the time alone: what was published before a long loss of the log may be what it has lost.
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

  /** Whether `head` is what was applied, once all that leads to it has been. */
  async #continues(head: Position): Promise<boolean> {
    const { ledger } = this.#dependencies
    // Twice: one that was under way may have read before the head was.
    for (let i = 0; i < 2 && head.pos > ledger.position.pos; i += 1) await this.#reader.catchUp()
    return ledger.holds(head)
  }

  /** Starts with all the log still holds; after a gap, with a barrier. */
  async #join(): Promise<void> {
    const { log, ledger } = this.#dependencies
    if (!this.#hasJoined && (await this.#joinAtBeginning())) return
    // Appended now, after the gap was noticed: whatever we have applied is before it.
    const barrier = await log.append({ tags: [], soft: false, cause: 'barrier' })
    this.#hasJoined = true
    this.#isLost = false
    ledger.join(barrier)
    this.#writer.publishRecentAgain()
  }

  /** Applies all that the log still holds. Resolves to whether that worked. */
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
    // What is held may be older than what was missed.
    ledger.verifiedUntil = clock.now() - 1
    observe({ kind: 'log-gap' })
    void this.check()
  }

  #failed(error: unknown): void {
    this.#dependencies.observe(logFailure(error))
  }
}
