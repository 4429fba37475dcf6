// One flight: search the farther tiers, lead or wait for the fill, ask the origin, keep what it says.
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
  /** To be awaited before much is done at once with what another server has answered: something else may be due first. */
  turn?(): Promise<void> | undefined
  /** The most a reader waits, in milliseconds. The flight it waits for goes on. */
  deadlineMs: number
}

/** The longest pause between two looks for what another process is filling. */
const longestLookMs = 100

/**
 * Brings the answer to one read for all who wait for it, or refreshes behind a reader's back what memory holds.
 *
 * Its candidate is what there is to serve if the origin fails: what memory held at the start, until something that was surely read later is
 * found. Found in a farther tier, it is put in memory at once: a reader who cannot wait finds it there.
 */
export class Flight {
  readonly startedAt: number
  readonly #deps: FlightDependencies
  readonly #judge: Judge
  readonly #backOff: BackOff
  readonly #read: Read
  readonly #isRefresh: boolean
  #candidate: Candidate | undefined
  /** What this process had applied when the statement was sent; before that, when the flight began. What is read holds all of it. */
  #stamp: Stamp
  #tags: readonly string[]

  /** `inMemory`: what memory holds for `read`, whatever that is good for. */
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
   * Whether a reader who arrives now may share its answer: nothing was invalidated that it may not hold. One that is still under way when its first
   * reader has given up may be of a process that was stopped for a while: what it brings is as old as that.
   */
  mayJoin(): boolean {
    const { clock, deadlineMs, ledger } = this.#deps
    const now = clock.now()
    if (now - this.startedAt >= deadlineMs) return false
    return isGood(ledger.verdict(this.#read.key, { stamp: this.#stamp, tags: this.#tags, readAt: this.startedAt }, now))
  }

  /** Resolves to the answer; rejects with what became of the origin where there is nothing to serve in place of it. */
  async run(): Promise<Answer> {
    const answer = (await this.#search()) ?? (await this.#lead())
    if (answer.fallbackReason === undefined) this.#backOff.end(this.#read.key)
    return answer
  }

  /** The nearest answer of the farther tiers that will do. One that would only do if the origin fails becomes the candidate. */
  async #search(): Promise<Answer | undefined> {
    const { memory, farther, turn } = this.#deps
    const read = this.#read
    for (const [i, tier] of farther.entries()) {
      const entry = await tier.get(read.key)
      await turn?.()
      if (entry === undefined) continue
      const found = this.#judge.shared(entry, read, tier.name)
      // A refresh behind a reader's back has nothing to gain from what is stale too.
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

  /** Whether `entry` is none of those known, and later: than the candidate, and than what memory holds by now (another flight may have brought something meanwhile). */
  #isNews(entry: Entry): boolean {
    const known = [this.#deps.memory.peek(this.#read.key), this.#candidate?.entry]
    return known.every((one) => one === undefined || (!isSameFill(entry, one) && isSurelyLater(entry, one)))
  }

  #isHeldOfUse(): boolean {
    const held = this.#deps.memory.peek(this.#read.key)
    return held !== undefined && this.#judge.useOf(held, this.#read) !== 'no'
  }

  /** The fill, led by one process, while the others wait for what it keeps where all can see it. */
  async #lead(): Promise<Answer> {
    const { leases, ledger, clock, deadlineMs } = this.#deps
    const read = this.#read
    // What another process will bring may be older than this reader wants.
    if (read.readSince !== undefined) return this.#ask()
    // Before others are asked who leads, which is most of what a refusal costs.
    try {
      read.admit?.()
    } catch (error) {
      return this.#fallBack(error)
    }
    const began = clock.now()
    const leads = (position: Position) => this.#canUse(position)
    for (let lookMs = 5; leases.isUsable; lookMs = Math.min(lookMs * 2, longestLookMs)) {
      // Once more, in the same round trip: another process may have kept it meanwhile.
      const [lease, kept] = await Promise.all([leases.take(read.key, ledger.position, leads), this.#search()])
      if (kept !== undefined) {
        lease.release('done')
        return kept
      }
      if (lease.state === 'failed')
        return this.#fallBack(new Problem('origin-unavailable', 'The database has just failed.'))
      // Whoever led has had its time, and whoever came after it: better twice than never.
      if (lease.state === 'led' || clock.now() - began >= deadlineMs) return this.#ask(lease)
      await this.#pause(lookMs)
    }
    return this.#ask()
  }

  /** Whether what another process's fill will bring that is stamped `position` can be used here. */
  #canUse(position: Position): boolean {
    const { ledger, clock } = this.#deps
    const stamped = { stamp: { seq: 0, ...position }, tags: this.#tags, readAt: clock.now() }
    // One that is ahead of us knows more.
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
      // Work that was shed has not failed: another process may have room for it.
      lease?.release(fallbackReasonFor(error) === 'shed' ? 'done' : 'failed')
      return this.#fallBack(error)
    }
  }

  /** Why the origin is asked, as RFC 9211 has it. */
  #forwardReason(): ForwardReason {
    const use = this.#candidate === undefined ? 'no' : this.#judge.useOf(this.#candidate.entry, this.#read)
    return use === 'no' ? 'uri-miss' : use === 'fresh' ? 'request' : 'stale'
  }

  /** Asks the origin and keeps the answer, if it is still true when it comes. */
  async #fill(forwarded: ForwardReason): Promise<Answer> {
    const { ledger, clock, random, observe } = this.#deps
    const read = this.#read
    const { key, route, lifetime } = read
    let readAt = clock.now()
    this.#stamp = ledger.stamp()
    // What comes while the statement waits for its turn is in what it will read.
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
    // Where a gap came between, what memory has of it is good for little, but nothing older takes its place.
    const isHeld = verdict !== 'invalid' && this.#hold(entry, isClean)
    if (isClean) this.#share(entry, this.#deps.farther)
    return { ...this.#judge.answer(entry, read, 'origin', 'miss'), forwarded, stored: isHeld && isClean }
  }

  /** The entry that `entry` replaces, unless it is known to be out of date already. */
  #comparedToHeld(entry: Entry) {
    const { memory, ledger, clock } = this.#deps
    const { key, lifetime } = this.#read
    const held = memory.peek(key)
    if (held === undefined || ledger.verdict(key, held, clock.now()) !== 'current') return {}
    const waitedMs = Math.max(0, entry.readAt - held.readAt - freshFor(held, lifetime))
    return { before: { readAt: held.readAt, isSame: held.etag === entry.etag, waitedMs } }
  }

  /** Puts what the origin has said in memory, unless another flight was quicker. */
  #hold(entry: Entry, isClean: boolean): boolean {
    const { memory, ledger, clock } = this.#deps
    const { key } = this.#read
    const held = memory.peek(key)
    const isHeldGood = held !== undefined && isGood(ledger.verdict(key, held, clock.now()))
    if (!isSurelyLater(entry, held) || (isHeldGood && !isClean)) return false
    return memory.set(key, entry)
  }

  /** No reader waits for a farther tier to have taken it; a failure is observed there. */
  #share(entry: Entry, tiers: readonly Tier[]): void {
    const { key, lifetime } = this.#read
    for (const tier of tiers) void tier.set(key, entry, keepFor(entry, lifetime))
  }

  /** What there is for those who wait, now that the origin has failed; the failure, if there is nothing. */
  #fallBack(error: unknown): Answer {
    const { memory, observe } = this.#deps
    const { key, route } = this.#read
    if (this.#isRefresh) observe({ kind: 'refresh-failed', route, error })
    const best = this.#best()
    const reason = fallbackReasonFor(error)
    if (memory.peek(key) !== undefined) this.#backOff.begin(key, reason !== 'shed')
    // Whoever has joined a refresh looks for itself what there is.
    if (best === undefined || this.#isRefresh) throw error
    return this.#judge.inPlace(best, this.#read, reason)
  }

  /** The candidate, or what memory holds by now, by the one rule; nothing where that may not be served. */
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
