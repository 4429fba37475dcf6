// What has been invalidated, and whether an entry is older than that: pure.
import type { Cause } from '../observation.ts'
import { everything } from '../tags.ts'

/** Names a prefix of the invalidation log: its last event. The id is chained, so equal names mean equal prefixes. */
export interface Position {
  readonly pos: number
  readonly id: string
}

/** The moment an entry was read, in the ledger's terms: no invalidation applied after it is known to be in the entry. */
export interface Stamp extends Position {
  /** Invalidations and gaps this process had applied. */
  readonly seq: number
}

/**
 * What the ledger says of an entry: nothing it was made from has changed, or changed softly, or nobody can tell just now; or it is older than
 * something that was missed, and nobody ever will; or what it was made from has changed.
 */
export type Verdict = 'current' | 'soft' | 'unverified' | 'missed' | 'invalid'

/** Whether nothing is known, or may have been missed, that an entry does not hold. */
export function isGood(verdict: Verdict): boolean {
  return verdict !== 'invalid' && verdict !== 'missed'
}

export interface Invalidation {
  /** Tags touched; `*` touches every entry. */
  readonly tags: readonly string[]
  readonly cause: Cause
  /** Soft: what is touched may be served once more while it is refreshed. */
  readonly soft: boolean
}

/** An invalidation with its place in the log; `prev` is the id of the event before it. */
export interface Event extends Position, Invalidation {
  readonly prev: string
}

/** What the ledger needs to know of an entry, or of a fill under way. `readAt`: milliseconds on this host's monotonic clock. */
export interface Stamped {
  readonly stamp: Stamp
  readonly tags: readonly string[]
  readonly readAt: number
}

/** The position of who is synchronized with no log: it verifies nothing. */
export const nowhere: Position = { pos: -1, id: '' }

interface Moment {
  readonly seq: number
  readonly pos: number
}

/**
 * Judges whether anything an entry was made from has been invalidated since it was read. One a process; pure, synchronous.
 *
 * It applies the invalidation log in order. `stamp()` is taken in the same tick as, and before, the SQL of a fill is sent; since
 * an event is appended only once its transaction is visible, what is read then holds every event of the prefix it names.
 *
 * - An entry of this process (`verdict`) is compared by `seq`, the count of what was applied here.
 * - An entry any process may have written (`verdictShared`) is compared by the prefix its filler had applied: it must be a
 *   prefix of this log too, and no event beyond it may touch the entry.
 *
 * A gap (an event that does not continue the chain) means that something may have been missed. From then on the ledger is
 * synchronized with nothing, until `join` starts it anew at a barrier appended after the gap was noticed: only stamps at or beyond that
 * are believed. What was stamped here before is 'missed': good for nothing but the day the origin fails.
 *
 * Bounded: beyond `maxTags` tags, or `maxPositions` positions, the oldest is forgotten and the floor rises to it; what was
 * stamped below the floor cannot be verified, so it is invalid. Forgetting costs fills, never truth.
 */
export class Ledger {
  /** Invalidations and gaps applied so far. */
  #seq = 0
  #position = nowhere
  /** The ids of the last positions. */
  readonly #ring = new Map<number, string>()
  /** The latest hard event on each tag, the oldest first. */
  readonly #last = new Map<string, Moment>()
  readonly #soft = new Map<string, number>()
  /** What was read after the latest of them is touched by none. */
  #lastSoft = Number.NEGATIVE_INFINITY
  #floor: Moment = { seq: 0, pos: 0 }
  /** What was stamped before this count may be older than what a gap has hidden. */
  #gap = 0
  /** No stamp of this or a later `seq` needs to be looked up. */
  #lastHard = 0
  readonly #maxTags: number
  readonly #maxPositions: number
  /**
   * Until when, on the clock of `now`, this process is known to have missed nothing. Past it entries are 'unverified'.
   * Without a log to follow that is for ever.
   */
  verifiedUntil = Number.POSITIVE_INFINITY

  constructor(maxTags = 10_000, maxPositions = 10_000) {
    this.#maxTags = maxTags
    this.#maxPositions = maxPositions
  }

  /** The prefix applied, or `nowhere`. */
  get position(): Position {
    return this.#position
  }

  get isSynchronized(): boolean {
    return this.#position !== nowhere
  }

  stamp(): Stamp {
    return { seq: this.#seq, pos: this.#position.pos, id: this.#position.id }
  }

  /** Whether `position` names a prefix of what has been applied, as far as it is remembered. */
  holds({ pos, id }: Position): boolean {
    return this.#ring.get(pos) === id
  }

  /**
   * Applies the next event of the log; `now` is the clock entries' `readAt` is on. An event that was applied before is
   * 'known'. One that does not continue the chain is a 'gap', and nothing is applied until `join`.
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
   * Applies an invalidation the log does not have (yet): for this process alone. Nothing another process wrote that can be
   * judged by now is known to hold it.
   */
  applyHere(invalidation: Invalidation, now: number): void {
    this.#touch(invalidation, now, this.#position.pos + 1)
  }

  /** Is synchronized with nothing from here on: something may have been missed. */
  lose(): void {
    this.#position = nowhere
    this.#ring.clear()
  }

  /** Goes on from `position`; nothing stamped before it is believed any more. */
  join(position: Position): void {
    this.#seq += 1
    this.#lastHard = this.#seq
    this.#gap = this.#seq
    this.#floor = { seq: this.#floor.seq, pos: position.pos }
    // What is known to have changed stays known of what is held here; in the log it is all before `position`.
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

  /** Judges an entry another process may have written. */
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
    // Positions follow each other: the oldest of n is n - 1 back. What it stamped is not found any more: invalid.
    this.#ring.delete(pos - this.#maxPositions)
  }

  #touch({ tags, soft }: Invalidation, now: number, pos: number): void {
    this.#seq += 1
    if (soft) return void this.#touchSoftly(tags, now)
    if (tags.length === 0) return // a barrier of somebody else's
    this.#lastHard = this.#seq
    const moment = { seq: this.#seq, pos }
    for (const tag of tags) {
      this.#last.delete(tag) // to be the latest again
      this.#last.set(tag, moment)
    }
    for (const [tag, { seq, pos }] of this.#last) {
      if (this.#last.size <= this.#maxTags) break
      this.#last.delete(tag)
      this.#floor = { seq, pos: Math.max(pos, this.#floor.pos) }
    }
  }

  // A soft invalidation promises no order, only a refresh: comparing moments is enough.
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
