// The ledger: the applied invalidations, and whether an entry is older than one of them: pure.
import type { Cause } from '../observation.ts'
import { everything } from '../tags.ts'

/** Names a prefix of the invalidation log by its last event. The ids are chained, so equal positions mean equal prefixes. */
export interface Position {
  readonly pos: number
  readonly id: string
}

/** The moment of a read, in the ledger's terms: the entry may lack any invalidation that was applied after it. */
export interface Stamp extends Position {
  /** Number of invalidations and gaps that this process had applied. */
  readonly seq: number
}

/**
 * The ledger's verdict on an entry.
 *
 * - `current`: nothing has invalidated it since it was read
 * - `soft`: a soft invalidation has touched it
 * - `unverified`: no invalidation is known, but this process may have missed some for the moment
 * - `missed`: it is older than a gap in the log; whether the lost events touched it will never be known
 * - `invalid`: an invalidation has touched it, or it can never be verified
 */
export type Verdict = 'current' | 'soft' | 'unverified' | 'missed' | 'invalid'

/** Whether the entry reflects every known hard invalidation, and no gap may have hidden one. */
export function isGood(verdict: Verdict): boolean {
  return verdict !== 'invalid' && verdict !== 'missed'
}

export interface Invalidation {
  /** Touched tags; `*` touches every entry. */
  readonly tags: readonly string[]
  readonly cause: Cause
  /** Soft: a touched entry may be served once more while it is refreshed. */
  readonly soft: boolean
}

/** An invalidation with its position in the log; `prev` is the id of the event before it. */
export interface Event extends Position, Invalidation {
  readonly prev: string
}

/**
 * The properties of an entry, or of a fill under way, that the ledger judges. `readAt`: milliseconds on this host's
 * monotonic clock.
 */
export interface Stamped {
  readonly stamp: Stamp
  readonly tags: readonly string[]
  readonly readAt: number
}

/** The position of a ledger that is synchronized with no log: it verifies nothing. */
export const nowhere: Position = { pos: -1, id: '' }

interface Moment {
  readonly seq: number
  readonly pos: number
}

/**
 * Judges whether an entry has been invalidated since it was read. One ledger a process; pure, synchronous.
 *
 * It applies the invalidation log in order. Why an answer reflects every event of the prefix that its stamp names:
 *   1. a transaction becomes visible
 *   2. its event is appended to the log, never before 1
 *   3. this process applies the event
 *   4. a fill takes `stamp()`, and sends its SQL after that in the same tick: the SQL sees the transaction
 *
 * - `verdict` judges an entry of this process by `seq`, the count of what was applied here.
 * - `verdictShared` judges an entry that any process may have written, by the prefix its filler had applied. That must
 *   be a prefix of this log too, and no event after it may touch the entry.
 *
 * A gap (an event that does not continue the chain) means that events may have been missed. From then on the ledger is
 * synchronized with nothing, until `join` restarts it at a barrier that was appended after the gap was detected. It
 * then trusts only stamps at or after the barrier. Entries stamped here before the gap are 'missed': served only if the
 * origin fails.
 *
 * Bounded: beyond `maxTags` tags, or `maxPositions` positions, the oldest is forgotten and the floor rises to it. A
 * stamp below the floor cannot be verified, so it is invalid. Forgetting costs fills, and never makes an answer wrong.
 */
export class Ledger {
  /** Number of invalidations and gaps applied so far. */
  #seq = 0
  #position = nowhere
  /** The ids of the last positions. */
  readonly #ring = new Map<number, string>()
  /** The latest hard event on each tag, the oldest first. */
  readonly #last = new Map<string, Moment>()
  readonly #soft = new Map<string, number>()
  /** Time of the latest soft event: an entry read after it is touched by none. */
  #lastSoft = Number.NEGATIVE_INFINITY
  #floor: Moment = { seq: 0, pos: 0 }
  /** `seq` of the last join. An entry stamped before it may lack events that a gap has hidden. */
  #gap = 0
  /** `seq` of the last hard event or join. A stamp at or after it needs no look-up of its tags. */
  #lastHard = 0
  readonly #maxTags: number
  readonly #maxPositions: number
  /**
   * Time, on the clock of `now`, up to which this process is known to have missed nothing. After it, entries are
   * 'unverified'. Infinite without a log to follow.
   */
  verifiedUntil = Number.POSITIVE_INFINITY

  constructor(maxTags = 10_000, maxPositions = 10_000) {
    this.#maxTags = maxTags
    this.#maxPositions = maxPositions
  }

  /** The applied prefix, or `nowhere`. */
  get position(): Position {
    return this.#position
  }

  get isSynchronized(): boolean {
    return this.#position !== nowhere
  }

  stamp(): Stamp {
    return { seq: this.#seq, pos: this.#position.pos, id: this.#position.id }
  }

  /** Whether `position` names a prefix of the applied log, as far back as positions are remembered. */
  holds({ pos, id }: Position): boolean {
    return this.#ring.get(pos) === id
  }

  /**
   * Applies the next event of the log; `now` is on the clock of entries' `readAt`. Returns 'known' for an event that
   * was applied before, and 'gap' for one that does not continue the chain. After a gap nothing is applied until
   * `join`.
   */
  apply(event: Event, now: number): 'applied' | 'known' | 'gap' {
    if (!this.isSynchronized) return 'gap'
    if (this.holds(event)) return 'known'
    if (event.pos !== this.#position.pos + 1 || event.prev !== this.#position.id) {
      this.lose()
      return 'gap'
    }
    this.#stepTo(event)
    this.#touch(event, now, event.pos)
    return 'applied'
  }

  /**
   * Applies an invalidation that the log does not have (yet), for this process only. No entry of another process that
   * can be judged by now is known to reflect it, so all of them with its tags become invalid.
   */
  applyHere(invalidation: Invalidation, now: number): void {
    this.#touch(invalidation, now, this.#position.pos + 1)
  }

  /** Leaves the log, because events may have been missed: the ledger is synchronized with nothing until `join`. */
  lose(): void {
    this.#position = nowhere
    this.#ring.clear()
  }

  /** Continues from `position`, and distrusts every stamp before it. */
  join(position: Position): void {
    this.#seq += 1
    this.#lastHard = this.#seq
    this.#gap = this.#seq
    this.#floor = { seq: this.#floor.seq, pos: position.pos }
    // Entries of this process stay invalid by the events applied so far (`seq`). In the log, all these are before `position`.
    for (const [tag, { seq }] of this.#last) this.#last.set(tag, { seq, pos: position.pos })
    this.#ring.clear()
    this.#stepTo(position)
  }

  /** Judges an entry, or a fill, of this process. Its key counts as a tag of its own. */
  verdict(key: string, { stamp, tags, readAt }: Stamped, now: number): Verdict {
    if (stamp.seq < this.#lastHard) {
      const { seq } = stamp
      if (seq < this.#floor.seq) return 'invalid'
      const isSince = (tag: string) => seq < (this.#last.get(tag)?.seq ?? 0)
      if (isSince(everything) || isSince(key) || tags.some(isSince)) return 'invalid'
      if (seq < this.#gap) return 'missed'
    }
    if (now > this.verifiedUntil) return 'unverified'
    return this.#softVerdict(key, tags, readAt)
  }

  /** Judges an entry that another process may have written. */
  verdictShared(key: string, { stamp, tags, readAt }: Stamped, now: number): Verdict {
    const { pos } = stamp
    if (!this.holds(stamp) || pos < this.#floor.pos) return 'invalid'
    const isSince = (tag: string) => pos < (this.#last.get(tag)?.pos ?? 0)
    if (isSince(everything) || isSince(key) || tags.some(isSince)) return 'invalid'
    if (now > this.verifiedUntil) return 'unverified'
    return this.#softVerdict(key, tags, readAt)
  }

  #stepTo({ pos, id }: Position): void {
    this.#position = { pos, id }
    this.#ring.set(pos, id)
    // Positions are consecutive: the oldest of n is n - 1 back. Entries stamped at a deleted one are invalid from then on.
    this.#ring.delete(pos - this.#maxPositions)
  }

  #touch({ tags, soft }: Invalidation, now: number, pos: number): void {
    this.#seq += 1
    if (soft) return void this.#touchSoftly(tags, now)
    if (tags.length === 0) return // a barrier of another process
    this.#lastHard = this.#seq
    const moment = { seq: this.#seq, pos }
    for (const tag of tags) {
      this.#last.delete(tag) // re-inserted as the latest
      this.#last.set(tag, moment)
    }
    for (const [tag, { seq, pos }] of this.#last) {
      if (this.#last.size <= this.#maxTags) break
      this.#last.delete(tag)
      this.#floor = { seq, pos: Math.max(pos, this.#floor.pos) }
    }
  }

  // A soft invalidation promises no order, only a refresh: comparing times is enough.
  #touchSoftly(tags: readonly string[], now: number): void {
    this.#lastSoft = now
    for (const tag of tags) this.#soft.set(tag, now)
    if (this.#soft.size <= this.#maxTags) return
    this.#soft.clear()
    this.#soft.set(everything, now)
  }

  #softVerdict(key: string, tags: readonly string[], readAt: number): Verdict {
    if (readAt >= this.#lastSoft) return 'current'
    const isSince = (tag: string) => readAt < (this.#soft.get(tag) ?? Number.NEGATIVE_INFINITY)
    return isSince(everything) || isSince(key) || tags.some(isSince) ? 'soft' : 'current'
  }
}
