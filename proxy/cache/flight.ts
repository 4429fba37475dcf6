// One flight: it searches the farther tiers, leads or awaits the fill, asks the origin and keeps the answer.
import type { Clock } from '../clock.ts'
import { isGood, type Ledger, type Position, type Stamp } from '../coherence/ledger.ts'
import { Problem } from '../errors.ts'
import type { Observe } from '../observation.ts'
import { type Answer, type ForwardReason, fallbackReasonFor, type Read } from './answer.ts'
import type { BackOff } from './back-off.ts'
import { type Candidate, isSameFill, isSurelyLater, type Judge } from './candidate.ts'
import { type Entry, etagOf, ownBytes } from './entry.ts'
import type { Lease, Leases } from './lease.ts'
import { freshFor, keepFor } from './lifetime.ts'
import type { MemoryTier } from './memory.ts'
import type { Tier } from './tier.ts'

export interface FlightDependencies {
  memory: MemoryTier
  /** The tiers behind memory, nearest first, each failing open. */
  farther: readonly Tier[]
  leases: Leases
  ledger: Ledger
  clock: Clock
  observe: Observe
  /** 0 to 1, evenly spread. */
  random(): number
  /** Awaited between a tier's reply and the work on it, so that more urgent work can run first. */
  turn?(): Promise<void> | undefined
  /** The longest wait of a reader, in milliseconds. The flight goes on after that. */
  deadlineMs: number
}

/** Longest pause between two checks for another process's fill, in milliseconds. */
const longestLookMs = 100

/**
 * Answers one read for all its waiting readers, or refreshes an entry of memory in the background.
 *
 * Its candidate is the fallback if the origin fails. At first it is the entry in memory; an entry of a farther tier
 * that was surely read later replaces it. Such an entry is put in memory at once if memory has nothing usable: a reader
 * that cannot wait finds it there.
 */
export class Flight {
  readonly startedAt: number
  readonly #deps: FlightDependencies
  readonly #judge: Judge
  readonly #backOff: BackOff
  readonly #read: Read
  readonly #isRefresh: boolean
  #candidate: Candidate | undefined
  /** The ledger's stamp when the statement was sent; before that, when the flight began. The answer reflects all that it counts. */
  #stamp: Stamp
  #tags: readonly string[]

  /** `inMemory`: the entry that memory has for `read`, usable or not. */
  constructor(
    deps: FlightDependencies,
    judge: Judge,
    backOff: BackOff,
    { read, inMemory, isRefresh }: { read: Read; inMemory: Entry | undefined; isRefresh: boolean },
  ) {
    this.#deps = deps
    this.#judge = judge
    this.#backOff = backOff
    this.#read = read
    this.#isRefresh = isRefresh
    this.#candidate = inMemory && judge.own(inMemory, read)
    this.#stamp = deps.ledger.stamp()
    this.#tags = read.tags()
    this.startedAt = deps.clock.now()
  }

  /**
   * Whether a reader who arrives now may share the answer: nothing has been invalidated that the answer may not
   * reflect.
   *
   * A flight that outlasts the wait of its first reader is not joined. Its process may have been stopped for a while,
   * and then its answer may be from before that pause.
   */
  mayJoin(): boolean {
    const { clock, deadlineMs, ledger } = this.#deps
    const now = clock.now()
    if (now - this.startedAt >= deadlineMs) return false
    return isGood(ledger.verdict(this.#read.key, { stamp: this.#stamp, tags: this.#tags, readAt: this.startedAt }, now))
  }

  /** Resolves to the answer. Rejects with the failure of the origin if there is no fallback. */
  async run(): Promise<Answer> {
    const answer = (await this.#search()) ?? (await this.#lead())
    if (answer.fallbackReason === undefined) this.#backOff.end(this.#read.key)
    return answer
  }

  /** The nearest usable answer of the farther tiers. An entry that is usable only as a fallback becomes the candidate. */
  async #search(): Promise<Answer | undefined> {
    const { memory, farther, turn } = this.#deps
    const read = this.#read
    for (const [i, tier] of farther.entries()) {
      const entry = await tier.get(read.key)
      await turn?.()
      if (entry === undefined) continue
      const found = this.#judge.shared(entry, read, tier.name)
      // A background refresh gains nothing from an entry that is stale too.
      if (found.use === 'no' || (this.#isRefresh && found.use !== 'fresh')) continue
      if (!this.#isNews(found.entry)) continue
      if (found.use !== 'if-error' && this.#judge.isYoungEnough(found.entry, read)) {
        memory.set(read.key, found.entry)
        this.#share(found.entry, farther.slice(0, i))
        return this.#judge.answer(found.entry, read, found.from, found.use)
      }
      this.#candidate = found
      if (!this.#isHeldOfUse()) memory.set(read.key, found.entry)
    }
    return undefined
  }

  /**
   * Whether `entry` is from another fill than the candidate and the entry in memory, and surely later than both.
   * Another flight may have put an entry in memory meanwhile.
   */
  #isNews(entry: Entry): boolean {
    const known = [this.#deps.memory.peek(this.#read.key), this.#candidate?.entry]
    return known.every((one) => one === undefined || (!isSameFill(entry, one) && isSurelyLater(entry, one)))
  }

  #isHeldOfUse(): boolean {
    const held = this.#deps.memory.peek(this.#read.key)
    return held !== undefined && this.#judge.useOf(held, this.#read) !== 'no'
  }

  /** One process leads the fill. The others wait until its answer is in a tier that they share. */
  async #lead(): Promise<Answer> {
    const { leases, ledger, clock, deadlineMs } = this.#deps
    const read = this.#read
    // The fill of another process may be older than `readSince`.
    if (read.readSince !== undefined) return this.#ask()
    // Before the lease is asked for, because that round trip would be most of the cost of a rejection.
    try {
      read.admit?.()
    } catch (error) {
      return this.#fallBack(error)
    }
    const began = clock.now()
    const leads = (position: Position) => this.#canUse(position)
    for (let lookMs = 5; leases.isUsable; lookMs = Math.min(lookMs * 2, longestLookMs)) {
      // Search again in the same round trip: another process may have kept an entry meanwhile.
      const [lease, kept] = await Promise.all([leases.take(read.key, ledger.position, leads), this.#search()])
      if (kept !== undefined) {
        lease.release('done')
        return kept
      }
      if (lease.state === 'failed')
        return this.#fallBack(
          new Problem(
            'origin-unavailable',
            'The query for this answer failed less than a second ago and is not repeated yet. Retry in a second.',
          ),
        )
      // This process leads, or has waited as long as a reader may. Then two queries are better than none.
      if (lease.state === 'led' || clock.now() - began >= deadlineMs) return this.#ask(lease)
      await this.#pause(lookMs)
    }
    return this.#ask()
  }

  /** Whether this process can use an entry stamped `position`, which the fill of another process will bring. */
  #canUse(position: Position): boolean {
    const { ledger, clock } = this.#deps
    const stamped = { stamp: { seq: 0, ...position }, tags: this.#tags, readAt: clock.now() }
    // A filler that is ahead of this process has applied more invalidations.
    return (
      position.pos > ledger.position.pos || ledger.verdictShared(this.#read.key, stamped, clock.now()) !== 'invalid'
    )
  }

  #pause(ms: number): Promise<void> {
    const { clock, random } = this.#deps
    return new Promise((resolve) => clock.after(ms * (0.5 + random()), resolve))
  }

  async #ask(lease?: Lease): Promise<Answer> {
    try {
      const answer = await this.#fill(this.#forwardReason())
      lease?.release('done')
      return answer
    } catch (error) {
      // A shed fill has not failed: another process may have room for it.
      lease?.release(fallbackReasonFor(error) === 'shed' ? 'done' : 'failed')
      return this.#fallBack(error)
    }
  }

  /** Why the origin is asked, in the terms of RFC 9211. */
  #forwardReason(): ForwardReason {
    const use = this.#candidate === undefined ? 'no' : this.#judge.useOf(this.#candidate.entry, this.#read)
    return use === 'no' ? 'uri-miss' : use === 'fresh' ? 'request' : 'stale'
  }

  /** Queries the origin. Keeps the answer if it has not been invalidated when it arrives. */
  async #fill(forwarded: ForwardReason): Promise<Answer> {
    const { ledger, clock, random, observe } = this.#deps
    const read = this.#read
    const { key, route, lifetime } = read
    let readAt = clock.now()
    this.#stamp = ledger.stamp()
    // The statement sees every change whose invalidation arrives while it waits for its slot.
    const { json, rows } = await read.load(() => {
      readAt = clock.now()
      this.#stamp = ledger.stamp()
      this.#tags = read.tags()
    })
    const body = ownBytes(json)
    const readBy = clock.now()
    const entry: Entry = {
      body,
      rows,
      tags: this.#tags,
      stamp: this.#stamp,
      readAt,
      readBy,
      fillMs: readBy - readAt,
      jitter: random(),
      etag: etagOf(body),
    }
    const verdict = ledger.verdict(key, entry, readBy)
    const isClean = isGood(verdict)
    if (!isClean) observe({ kind: 'fill-raced', route })
    const seconds = entry.fillMs / 1000
    observe({ kind: 'filled', route, key, readAt, seconds, freshMs: lifetime.fresh, ...this.#comparedToHeld(entry) })
    // After a gap in the log ('missed') memory keeps the entry: it only serves if the origin fails, but nothing older replaces it.
    const isHeld = verdict !== 'invalid' && this.#hold(entry, isClean)
    if (isClean) this.#share(entry, this.#deps.farther)
    return { ...this.#judge.answer(entry, read, 'origin', 'miss'), forwarded, stored: isHeld && isClean }
  }

  /** Compares `entry` with the entry it replaces, unless that one is known to have changed already. */
  #comparedToHeld(entry: Entry) {
    const { memory, ledger, clock } = this.#deps
    const { key, lifetime } = this.#read
    const held = memory.peek(key)
    if (held === undefined || ledger.verdict(key, held, clock.now()) !== 'current') return {}
    const waitedMs = Math.max(0, entry.readAt - held.readAt - freshFor(held, lifetime))
    return { before: { readAt: held.readAt, isSame: held.etag === entry.etag, waitedMs } }
  }

  /**
   * Puts the origin's answer in memory, unless memory has one that may be later. After a gap in the log (not `isClean`)
   * it does not replace an entry that is good.
   */
  #hold(entry: Entry, isClean: boolean): boolean {
    const { memory, ledger, clock } = this.#deps
    const { key } = this.#read
    const held = memory.peek(key)
    const isHeldGood = held !== undefined && isGood(ledger.verdict(key, held, clock.now()))
    if (!isSurelyLater(entry, held) || (isHeldGood && !isClean)) return false
    return memory.set(key, entry)
  }

  /** Writes to `tiers` without waiting for them. A failure is observed there. */
  #share(entry: Entry, tiers: readonly Tier[]): void {
    const { key, lifetime } = this.#read
    for (const tier of tiers) void tier.set(key, entry, keepFor(entry, lifetime))
  }

  /** The fallback for the waiting readers after the origin failed; throws the failure if there is none. */
  #fallBack(error: unknown): Answer {
    const { memory, observe } = this.#deps
    const { key, route } = this.#read
    if (this.#isRefresh) observe({ kind: 'refresh-failed', route, error })
    const best = this.#best()
    const reason = fallbackReasonFor(error)
    if (memory.peek(key) !== undefined) this.#backOff.begin(key, reason !== 'shed')
    // A reader that has joined a refresh finds its own fallback (`ReadThrough`).
    if (best === undefined || this.#isRefresh) throw error
    return this.#judge.inPlace(best, this.#read, reason)
  }

  /**
   * The candidate, if it may be served and was surely read later than the entry in memory. Else that entry, if it may
   * be served.
   */
  #best(): Candidate | undefined {
    const { memory } = this.#deps
    const read = this.#read
    const held = memory.peek(read.key)
    const own = this.#candidate && this.#judge.own(this.#candidate.entry, read, this.#candidate.from)
    if (own !== undefined && own.use !== 'no' && isSurelyLater(own.entry, held)) {
      memory.set(read.key, own.entry)
      return own
    }
    if (held === undefined) return undefined
    const from = own !== undefined && isSameFill(own.entry, held) ? own.from : 'memory'
    const best = this.#judge.own(held, read, from)
    return best.use === 'no' ? undefined : best
  }
}
