// A flight: search the farther tiers, ask the origin, keep.
import type { Clock } from '../clock.ts'
import { isGood, type Ledger, type Position, type Stamped } from '../coherence/ledger.ts'
import { Problem } from '../errors.ts'
import type { Observe } from '../observation.ts'
import { type Answer, type Answers, fallbackReasonFor, type Read } from './answer.ts'
import { type Entry, etagOf, ownBytes } from './entry.ts'
import type { Key } from './key.ts'
import type { Lease, Leases } from './lease.ts'
import { freshFor, keepFor } from './lifetime.ts'
import type { MemoryTier } from './memory.ts'
import type { Tier } from './tier.ts'

export interface FillDependencies {
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
  /** The most a reader waits, in milliseconds. The fill it waits for goes on. */
  deadlineMs: number
}

/** What a flight is for: a reader who waits and may have something to fall back on, or the refresh of what is held. */
export interface Purpose {
  fallback?: Entry | undefined
  refreshed?: Entry
  /** What is held and of no use any more: what comes in its place must not be older. */
  outdated?: Entry | undefined
}

/** What there would be for those who wait, if the origin failed. */
interface Resort {
  entry?: Entry
  source?: Answer['source']
}

/**
 * For how long a key is left alone whose origin has failed, as long as there is something to serve: the first time, and at most; each
 * failure in a row doubles it. Up to a quarter is taken off by chance, so that keys which failed together do not come back together.
 */
const pauseMs = { first: 1000, longest: 30_000, jitter: 0.25 }

/** The longest pause between two looks for what another process is filling. */
const longestLookMs = 100

/** What a fill under way is stamped with: anew when its statement is sent. */
export type FillStamp = { -readonly [Name in keyof Stamped]: Stamped[Name] }

/**
 * One flight: looks in the farther tiers, then asks the origin, and keeps what it says.
 *
 * What is found in a farther tier but is only good if the origin fails is put in memory at once: a reader who cannot wait finds it
 * there.
 */
export class Filler {
  readonly #parts: FillDependencies
  readonly #answers: Answers

  constructor(parts: FillDependencies, answers: Answers) {
    this.#parts = parts
    this.#answers = answers
  }

  /** Led by one process, while the others wait for what it keeps where all can see it. `under` is what the fill is stamped with. */
  async run(read: Read, purpose: Purpose, under: FillStamp): Promise<Answer> {
    const { leases, ledger, clock, deadlineMs } = this.#parts
    const resort: Resort = purpose.fallback === undefined ? {} : { entry: purpose.fallback, source: 'memory' }
    const found = await this.#look(read, purpose, resort)
    if (found !== undefined) return found
    // What another process will bring may be older than this reader wants.
    if (read.readSince !== undefined) return this.#ask(read, purpose, under, resort)
    // Before others are asked who leads, which is most of what a refusal costs.
    try {
      read.admit?.()
    } catch (error) {
      return this.#fallBack(read, purpose, resort, error)
    }
    const began = clock.now()
    const leads = (position: Position) => this.#leads(position, read, under)
    for (let lookMs = 5; leases.isUsable; lookMs = Math.min(lookMs * 2, longestLookMs)) {
      // Once more, in the same round trip: another process may have kept it meanwhile.
      const [lease, kept] = await Promise.all([
        leases.take(read.key, ledger.position, leads),
        this.#look(read, purpose, resort),
      ])
      if (kept !== undefined) {
        lease.release('done')
        return kept
      }
      if (lease.state === 'failed')
        return this.#fallBack(read, purpose, resort, new Problem('origin-unavailable', 'The database has just failed.'))
      // Whoever led has had its time, and whoever came after it: better twice than never.
      if (lease.state === 'led' || clock.now() - began >= deadlineMs)
        return this.#ask(read, purpose, under, resort, lease)
      await this.#pause(lookMs)
    }
    return this.#ask(read, purpose, under, resort)
  }

  /** Whether what a fill will bring that is stamped `position` can be used here. */
  #leads(position: Position, read: Read, { tags }: Stamped): boolean {
    const { ledger, clock } = this.#parts
    const judged = { stamp: { seq: 0, ...position }, tags, readAt: clock.now() }
    // One that is ahead of us knows more.
    return position.pos > ledger.position.pos || ledger.verdictShared(read.key, judged, clock.now()) !== 'invalid'
  }

  /** The nearest answer of the farther tiers that will do; one that would only do if the origin fails is noted in `resort`. */
  async #look(read: Read, { refreshed, fallback, outdated }: Purpose, resort: Resort): Promise<Answer | undefined> {
    const { ledger, memory, farther, clock } = this.#parts
    for (const tier of farther) {
      const found = await tier.get(read.key)
      await this.#parts.turn?.()
      if (found === undefined) continue
      // What memory holds by now: another flight may have brought something later meanwhile.
      const replaced = memory.peek(read.key) ?? refreshed ?? fallback ?? outdated
      const use = this.#answers.useOfShared(found, read)
      // A refresh behind a reader's back has nothing to gain from what is stale too.
      if (use === 'no' || (refreshed !== undefined && use !== 'fresh')) continue
      // Judged current this very moment, it holds every invalidation applied so far; else it stays older than them.
      const isInvalid = ledger.verdictShared(read.key, found, clock.now()) === 'invalid'
      const entry = isInvalid ? found : { ...found, stamp: ledger.stamp() }
      // An older one never replaces what is held, however long it may still live: it may be an empty answer from before.
      if (!isLater(entry, replaced)) continue
      if (use !== 'if-error' && this.#answers.isYoungEnough(entry, read)) {
        memory.set(read.key, entry)
        return this.#answers.of(entry, read, tier.name, use)
      }
      if (resort.entry !== undefined) continue
      Object.assign(resort, { entry, source: tier.name })
      if (!this.#isHeldOfUse(read)) memory.set(read.key, entry)
    }
    return undefined
  }

  async #ask(read: Read, purpose: Purpose, under: FillStamp, resort: Resort, lease?: Lease): Promise<Answer> {
    try {
      const answer = await this.#fill(read, under, this.#reason(read, resort))
      lease?.release('done')
      return answer
    } catch (error) {
      // Work that was shed has not failed: another process may have room for it.
      lease?.release(fallbackReasonFor(error) === 'shed' ? 'done' : 'failed')
      return this.#fallBack(read, purpose, resort, error)
    }
  }

  /** Why the origin is asked, as RFC 9211 has it. */
  #reason(read: Read, { entry }: Resort): Answer['forwarded'] & string {
    if (entry === undefined) return 'uri-miss'
    return this.#answers.useOf(entry, read) === 'fresh' ? 'request' : 'stale'
  }

  /** What there is for those who wait, now that the origin has failed; the failure, if there is nothing. */
  #fallBack(read: Read, { refreshed }: Purpose, { entry, source }: Resort, error: unknown): Answer {
    const { memory, observe } = this.#parts
    if (refreshed !== undefined) observe({ kind: 'refresh-failed', route: read.route, error })
    const isUsable = entry !== undefined && this.#answers.useOf(entry, read) !== 'no'
    if (isUsable && isLater(entry, memory.peek(read.key))) memory.set(read.key, entry)
    const fallbackReason = fallbackReasonFor(error)
    const held = memory.peek(read.key)
    if (held !== undefined) this.#leaveAlone(held, fallbackReason !== 'shed')
    if (!isUsable || source === undefined) throw error
    // Another flight may have brought a later one meanwhile.
    if (held === undefined || isSame(entry, held)) return this.#answers.inPlace(entry, read, source, fallbackReason)
    if (this.#answers.useOf(held, read) === 'no') throw error
    return this.#answers.inPlace(held, read, 'memory', fallbackReason)
  }

  #isHeldOfUse(read: Read): boolean {
    const held = this.#parts.memory.peek(read.key)
    return held !== undefined && this.#answers.useOf(held, read) !== 'no'
  }

  /** Work that was shed has not failed: how often that happens says nothing of how long to wait. */
  #leaveAlone(held: Entry, hasFailed: boolean): void {
    const { clock, random } = this.#parts
    const failures = (held.failures ?? 0) + (hasFailed ? 1 : 0)
    const fullMs = hasFailed ? Math.min(pauseMs.first * 2 ** (failures - 1), pauseMs.longest) : pauseMs.first
    held.failures = failures
    held.refreshNotBefore = clock.now() + fullMs * (1 - pauseMs.jitter * random())
  }

  #pause(ms: number): Promise<void> {
    const { clock, random } = this.#parts
    return new Promise((resolve) => clock.after(ms * (0.5 + random()), resolve))
  }

  /** Asks the origin and keeps the answer, if it is still true when it comes. */
  async #fill(read: Read, under: FillStamp, forwarded: Answer['forwarded'] & string): Promise<Answer> {
    const { ledger, clock, random, observe } = this.#parts
    let readAt = clock.now()
    under.stamp = ledger.stamp()
    // What comes while the statement waits for its turn is in what it will read.
    const { json, rows } = await read.load(() => {
      readAt = clock.now()
      under.stamp = ledger.stamp()
      under.tags = read.tags()
    })
    const { stamp } = under
    const body = ownBytes(json)
    const readBy = clock.now()
    const fillMs = readBy - readAt
    const [tags, jitter, etag] = [under.tags, random(), etagOf(body)]
    const entry: Entry = { body, rows, tags, stamp, readAt, readBy, fillMs, jitter, etag }
    const verdict = ledger.verdict(read.key, entry, clock.now())
    const isClean = isGood(verdict)
    if (!isClean) observe({ kind: 'fill-raced', route: read.route })
    const { route, key, lifetime } = read
    observe({
      kind: 'filled',
      route,
      key,
      readAt,
      seconds: fillMs / 1000,
      freshMs: lifetime.fresh,
      ...this.#comparedToHeld(read, entry),
    })
    // Where a gap came between, what memory has of it is good for little, but nothing older takes its place.
    const isHeld = verdict !== 'invalid' && this.#hold(read.key, entry, isClean)
    if (isClean) this.#share(read, entry)
    return { ...this.#answers.of(entry, read, 'origin', 'miss'), forwarded, stored: isHeld && isClean }
  }

  /** The entry that `entry` replaces, unless it is known to be out of date already. */
  #comparedToHeld({ key, lifetime }: Read, entry: Entry) {
    const { memory, ledger, clock } = this.#parts
    const held = memory.peek(key)
    if (held === undefined || ledger.verdict(key, held, clock.now()) !== 'current') return {}
    const waitedMs = Math.max(0, entry.readAt - held.readAt - freshFor(held, lifetime))
    return { before: { readAt: held.readAt, isSame: held.etag === entry.etag, waitedMs } }
  }

  /** Puts what the origin has said in memory, unless another flight was quicker with what is of use and was not surely read before. */
  #hold(key: Key, entry: Entry, isClean: boolean): boolean {
    const { memory, ledger, clock } = this.#parts
    const held = memory.peek(key)
    if (held === undefined) return memory.set(key, entry)
    const isOfUse = isGood(ledger.verdict(key, held, clock.now()))
    const isLate = isOfUse ? !isClean || held.readBy > entry.readAt : held.readAt > entry.readAt
    return !isLate && memory.set(key, entry)
  }

  #share({ key, lifetime }: Read, entry: Entry): void {
    const keepMs = keepFor(entry, lifetime)
    // No reader waits for a farther tier to have taken it; a failure is observed there.
    for (const tier of this.#parts.farther) void tier.set(key, entry, keepMs)
  }
}

/** Whether both are of one fill: a farther tier gives back what this process has kept there. */
function isSame(entry: Entry, other: Entry): boolean {
  return entry.jitter === other.jitter
}

/**
 * Whether `found` is of another fill than `held`, and was surely read later. The ledger cannot tell these two apart by a change it has not
 * heard of yet.
 */
function isLater(found: Entry, held: Entry | undefined): boolean {
  return held === undefined || (!isSame(found, held) && found.readAt >= held.readBy)
}
