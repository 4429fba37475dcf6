// Keeps the ledger synchronized with the log, and knows when it is not.
import type { Clock } from '../clock.ts'
import type { Coherence, Observe } from '../observation.ts'
import { everything } from '../tags.ts'
import type { Event, Invalidation, Ledger, Position } from './ledger.ts'
import type { Log } from './log.ts'

/** How often the log's head is compared with what was applied. */
const verifyMs = 1000
/** How soon after a gap that could not be mended it is tried again. */
const mendMs = 100
/** For how long one such comparison is good. */
const trustMs = 3000
/** What this process has published lately is published again when the server may have lost it. */
const rememberMs = 30_000
/** More tags than this in one event, and it touches everything. */
const maxTags = 1000

export interface LogFollowerDependencies {
  log: Log
  ledger: Ledger
  clock: Clock
  observe: Observe
}

/**
 * Keeps the ledger in step with the log, and knows when it is not.
 *
 * Three things bring events: waiting for the next one, looking once a second where the log stands, and what this process
 * appends itself. All end in `#take`; an event that was applied is known, one that does not continue the chain is a gap.
 *
 * A gap, or a head that is not where it was (Redis restarted with what it had saved, or a replica without the tail took over):
 *   1. the ledger is in step with nothing: Redis is neither read nor written
 *   2. a barrier of our own is appended, which is after every event we ever applied
 *   3. the ledger goes on from there, and believes nothing stamped before it
 *   4. what this process has published in the last half minute is published once more
 *
 * Not verified for three seconds is 'degraded': the ledger calls what it is asked 'unverified', and entries live a few seconds.
 */
export class LogFollower {
  readonly #parts: LogFollowerDependencies
  /** Whether somebody is to follow the database: then a log without a beat is as good as none. */
  isDatabaseFollowed = false
  #isClosed = false
  #hasJoined = false
  /** Since the last connection, or gap, the log was seen to continue what was applied. */
  #isChecked = false
  #sharedUntil = Number.NEGATIVE_INFINITY
  #beat: string | undefined
  #beatAt = Number.NEGATIVE_INFINITY
  /** There was a gap, and no barrier yet. */
  #isLost = false
  /** What the log has not heard of. */
  #owed: Invalidation[] = []
  #recent: { at: number; invalidation: Invalidation }[] = []
  #checking: Promise<void> | undefined
  #catching: Promise<void> | undefined
  #cancelNext = () => {}
  #state: Coherence = 'starting'
  readonly #startedAt: number
  #degradedSince = 0
  #degradedMs = 0
  #gaps = 0

  constructor(parts: LogFollowerDependencies) {
    this.#parts = parts
    const { log, ledger, clock } = parts
    this.#startedAt = clock.now()
    if (log.isShared) ledger.verifiedUntil = Number.NEGATIVE_INFINITY
    log.onReconnect(() => {
      this.#isChecked = false
      void this.check()
    })
  }

  /** Begins; resolves when the log has been asked once, whatever came of it. */
  async start(): Promise<void> {
    await this.check()
    void this.#follow()
  }

  /** Whether what other processes have kept may be looked at, and they be given what this one keeps. */
  get isShared(): boolean {
    const { log, ledger, clock } = this.#parts
    return (
      log.isShared &&
      this.#isChecked &&
      ledger.isSynchronized &&
      this.#owed.length === 0 &&
      clock.now() <= this.#sharedUntil
    )
  }

  get state() {
    const { ledger, clock } = this.#parts
    const { pos, id } = ledger.position
    const now = this.#state === 'degraded' ? clock.now() - this.#degradedSince : 0
    return {
      state: this.#state,
      ...(ledger.isSynchronized && { position: `${pos}:${id}` }),
      gaps: this.#gaps,
      degradedSeconds: (this.#degradedMs + now) / 1000,
    }
  }

  /**
   * Appends `invalidation`, whose transactions must be visible by now. When this resolves, this process serves nothing older;
   * with a position, neither does anybody who has applied that. Without one the log could not be reached: it is applied here,
   * and is owed to the log, which is not used until it has it.
   */
  async publish(invalidation: Invalidation): Promise<Position | undefined> {
    const { log, ledger, clock } = this.#parts
    if (!log.isReachable) return this.#keepHere(invalidation)
    const asked = clock.now()
    try {
      await this.#payDebts()
      const event = await this.#append(invalidation, asked)
      // Not applied in its place: until it is, or is appended once more, what others have kept cannot be judged by it.
      if (!ledger.holds(event)) this.#keepHere(invalidation)
      return { pos: event.pos, id: event.id }
    } catch (error) {
      this.#failed(error)
      return this.#keepHere(invalidation)
    }
  }

  /** Waits until what `position` names has been applied: at most `ms`. Resolves to whether it has. */
  async reached(position: Position, ms: number): Promise<boolean> {
    const { ledger, clock } = this.#parts
    if (position.pos > ledger.position.pos && this.#isChecked) {
      let cancel = () => {}
      const late = new Promise<void>((resolve) => {
        cancel = clock.after(ms, resolve)
      })
      await Promise.race([this.#catchUp(), late]).catch((error) => this.#failed(error))
      cancel()
    }
    return ledger.holds(position)
  }

  /** The database was followed up to a moment ago, and all that came of it is in the log. */
  async beat(): Promise<void> {
    if (this.#owed.length > 0 || !this.#parts.log.isReachable) return
    await this.#parts.log.beat().catch((error) => this.#failed(error))
    if (!this.#parts.log.isShared) await this.check()
  }

  /** Compares the log's head with what was applied, and mends what there is to mend. One at a time. */
  check(): Promise<void> {
    this.#checking ??= this.#check()
      .catch((error) => this.#failed(error))
      .finally(() => {
        this.#checking = undefined
        this.#judge()
        this.#cancelNext()
        const pauseMs = this.#isLost ? mendMs : verifyMs
        if (!this.#isClosed) this.#cancelNext = this.#parts.clock.after(pauseMs, () => void this.check())
      })
    return this.#checking
  }

  close(): void {
    this.#isClosed = true
    this.#cancelNext()
    this.#parts.log.close()
  }

  async #check(): Promise<void> {
    const { log, ledger, clock } = this.#parts
    if (!log.isReachable) return
    const asked = clock.now()
    const before = ledger.position
    const wasSynchronized = ledger.isSynchronized
    const head = await log.head()
    if (wasSynchronized && (head === undefined || head.pos < before.pos)) this.#gap()
    else if (wasSynchronized && head !== undefined && !(await this.#continues(head))) this.#gap()
    if (!ledger.isSynchronized) await this.#join()
    await this.#payDebts()
    if (!ledger.isSynchronized) return // another gap meanwhile
    // Not by the time alone: what was published before a long loss of the log may be what it has lost.
    this.#recent = this.#recent.filter(({ at }) => asked - at < rememberMs)
    this.#isChecked = true
    this.#sharedUntil = asked + trustMs
    if (head?.beat !== undefined && head.beat !== this.#beat) {
      this.#beat = head.beat
      this.#beatAt = asked
    }
    const logUntil = log.isShared ? this.#sharedUntil : Number.POSITIVE_INFINITY
    ledger.verifiedUntil = this.isDatabaseFollowed ? Math.min(logUntil, this.#beatAt + trustMs + verifyMs) : logUntil
  }

  /** Whether `head` is what was applied, once all that leads to it has been. */
  async #continues(head: Position): Promise<boolean> {
    const { ledger } = this.#parts
    // Twice: one that was under way may have read before the head was.
    for (let i = 0; i < 2 && head.pos > ledger.position.pos; i += 1) await this.#catchUp()
    return ledger.holds(head)
  }

  /** Starts with all the log still holds; after a gap, with a barrier. */
  async #join(): Promise<void> {
    const { log, ledger } = this.#parts
    if (!this.#hasJoined) {
      const events = await log.read(0)
      const [first] = events
      if (first !== undefined) {
        this.#hasJoined = true
        this.#isLost = false
        ledger.join({ pos: first.pos - 1, id: first.prev })
        this.#take(events)
        await this.#catchUp()
        if (ledger.isSynchronized) return
      }
    }
    // Appended now, after the gap was noticed: whatever we have applied is before it.
    const barrier = await log.append({ tags: [], soft: false, cause: 'barrier' })
    this.#hasJoined = true
    this.#isLost = false
    ledger.join(barrier)
    this.#owe(this.#recent.map(({ invalidation }) => invalidation))
  }

  async #follow(): Promise<void> {
    const { log, ledger, clock } = this.#parts
    while (!this.#isClosed) {
      try {
        if (ledger.isSynchronized) await this.#takeFrom((pos) => log.next(pos))
        else await new Promise<void>((resolve) => clock.after(50, resolve))
      } catch {
        // Whether it is the server or this connection, the next look at the head says.
        await new Promise<void>((resolve) => clock.after(200, resolve))
      }
    }
  }

  /** Reads and applies what there is beyond what was applied. Shared by all who ask meanwhile. */
  #catchUp(): Promise<void> {
    this.#catching ??= this.#readOn().finally(() => {
      this.#catching = undefined
    })
    return this.#catching
  }

  async #readOn(): Promise<void> {
    const { log, ledger } = this.#parts
    while (ledger.isSynchronized) if (!(await this.#takeFrom((pos) => log.read(pos)))) return
  }

  /**
   * Applies what `ask` says follows what was applied. Resolves to whether there was anything.
   *
   * An answer from before a gap says nothing of the time after it: what it holds would look like another gap.
   */
  async #takeFrom(ask: (pos: number) => Promise<Event[]>): Promise<boolean> {
    const { ledger } = this.#parts
    const from = ledger.position
    const events = await ask(from.pos)
    if (ledger.holds(from)) this.#take(events)
    return events.length > 0
  }

  /** Appends `invalidation` and applies it in its place, if all that comes before it can be read. */
  async #append(invalidation: Invalidation, asked: number): Promise<Event> {
    const { log, ledger } = this.#parts
    const event = await log.append(invalidation)
    this.#recent.push({ at: asked, invalidation })
    if (ledger.isSynchronized && event.prev === ledger.position.id) this.#take([event], asked)
    // Twice: one that was under way may have read before it was appended.
    for (let i = 0; i < 2 && ledger.isSynchronized && !ledger.holds(event); i += 1)
      await this.#catchUp().catch(() => {})
    return event
  }

  #take(events: readonly Event[], asked?: number): void {
    const { ledger, clock } = this.#parts
    for (const event of events) {
      const outcome = ledger.apply(event, clock.now())
      if (outcome === 'applied') this.#applied(event, asked)
      if (outcome === 'gap') return void this.#gap()
    }
  }

  #keepHere(invalidation: Invalidation): undefined {
    this.#owe([invalidation])
    this.#applyHere(invalidation)
  }

  #applyHere(invalidation: Invalidation): void {
    const { ledger, clock } = this.#parts
    ledger.applyHere(invalidation, clock.now())
    this.#applied(invalidation)
  }

  #applied({ cause, tags, soft }: Invalidation, asked?: number): void {
    const { clock, observe } = this.#parts
    const lag = asked === undefined ? {} : { lagSeconds: (clock.now() - asked) / 1000 }
    observe({ kind: 'invalidated', cause, soft, tags, ...lag })
  }

  #gap(): void {
    const { ledger, clock, observe } = this.#parts
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

  #owe(invalidations: readonly Invalidation[]): void {
    this.#owed = merged([...this.#owed, ...invalidations])
  }

  /** Appends what the log has not heard of, or may have lost: as at most two events. Paid is what was applied in its place. */
  async #payDebts(): Promise<void> {
    const { ledger, clock } = this.#parts
    for (const owed of this.#owed) {
      const event = await this.#append(owed, clock.now())
      if (ledger.holds(event)) this.#owed = this.#owed.filter((other) => other !== owed)
    }
  }

  /** Says it when the state has changed, and keeps count of what was published lately. */
  #judge(): void {
    const { ledger, clock, observe } = this.#parts
    const now = clock.now()
    if (this.#recent.length > maxTags)
      this.#recent = merged(this.#recent.map(({ invalidation }) => invalidation)).map((invalidation) => ({
        at: now,
        invalidation,
      }))
    const state: Coherence = now <= ledger.verifiedUntil ? 'synchronized' : 'degraded'
    const isStillStarting = this.#state === 'starting' && now - this.#startedAt < trustMs + verifyMs
    if (state === this.#state || (state === 'degraded' && isStillStarting)) return
    if (state === 'degraded') this.#degradedSince = now
    else if (this.#state === 'degraded') this.#degradedMs += now - this.#degradedSince
    const before = this.#state
    this.#state = state
    if (before !== 'starting' || state === 'degraded') observe({ kind: 'coherence', state, before })
  }

  #failed(error: unknown): void {
    this.#parts.observe({ kind: 'tier-error', tier: 'redis', operation: 'log', reason: 'error', error })
  }
}

/** The same as at most two, a soft and a hard one. */
function merged(invalidations: readonly Invalidation[]): Invalidation[] {
  return [true, false].flatMap((soft) => {
    const parts = invalidations.filter((invalidation) => invalidation.soft === soft)
    const [first] = parts
    if (first === undefined) return []
    const tags = [...new Set(parts.flatMap(({ tags }) => tags))]
    const isAll = tags.length > maxTags || tags.includes(everything)
    return [{ tags: isAll ? [everything] : tags, soft, cause: first.cause }]
  })
}
