/** The moment an entry was read, in the ledger's terms: no invalidation applied after it is known to be in the entry. */
export interface Stamp {
  /** Invalidations this process had applied. */
  seq: number
  /** The invalidation log's head as this process knew it; `undefined` when it could not know. */
  head: string | undefined
}

/** What the ledger says of an entry: nothing it was made from has changed, or changed softly, or changed. */
export type Verdict = 'current' | 'soft' | 'invalid'

export interface Invalidation {
  /** Tags touched; `*` touches every entry. */
  tags: readonly string[]
  /** Soft: what is touched may be served once more while it is refreshed. */
  soft: boolean
}

/** What the ledger needs to know of an entry, or of a fill under way. `readAt`: milliseconds on this host's monotonic clock. */
export interface Judged {
  stamp: Stamp
  tags: readonly string[]
  readAt: number
}

/** The tag every entry has without saying so. */
export const everything = '*'

/**
 * Judges whether anything an entry was made from has been invalidated since it was read. One a process; pure, synchronous.
 *
 * - `stamp()` is taken in the same tick as, and before, the SQL of a fill is sent: the fill sees every change whose
 *   invalidation came before, and may or may not see a later one.
 * - `verdict` compares it with the latest invalidation of each tag. A fill is kept only if it is still
 *   'current' when it ends; a flight is joined only while what it brings would be.
 *
 * Bounded: beyond `maxTags` remembered tags it forgets them all and raises a floor instead; what was stamped below the floor
 * cannot be verified, so it is invalid. Forgetting costs fills, never truth.
 *
 * Entries in Redis were stamped by other processes, whose `seq` means nothing here. They are compared by `head`, the name of
 * the invalidation log's latest hard event (see coherence/log): equal heads, nothing has been invalidated in between. An
 * unknown head equals nothing.
 */
export class Ledger {
  #seq = 0
  #floor = 0
  #lastHard = 0
  readonly #hard = new Map<string, number>()
  readonly #soft = new Map<string, number>()
  readonly #maxTags: number
  head: string | undefined

  constructor(maxTags = 10_000) {
    this.#maxTags = maxTags
  }

  /** Invalidations applied so far. */
  get seq(): number {
    return this.#seq
  }

  stamp(): Stamp {
    return { seq: this.#seq, head: this.head }
  }

  /** Applies one invalidation; `now` is the clock entries' `readAt` is on. Returns its position in this process. */
  apply({ tags, soft }: Invalidation, now: number): number {
    this.#seq += 1
    if (!soft) this.#lastHard = this.#seq
    for (const tag of tags) {
      if (soft) this.#soft.set(tag, now)
      else this.#hard.set(tag, this.#seq)
    }
    if (this.#hard.size > this.#maxTags) {
      this.#floor = this.#seq
      this.#hard.clear()
    }
    if (this.#soft.size > this.#maxTags) {
      this.#soft.clear()
      this.#soft.set(everything, now)
    }
    return this.#seq
  }

  /** Judges an entry, or a fill, of this process. Its key counts as a tag of its own. */
  verdict(key: string, { stamp, tags, readAt }: Judged): Verdict {
    if (stamp.seq < this.#lastHard) {
      const isSince = (tag: string) => stamp.seq < (this.#hard.get(tag) ?? 0)
      if (stamp.seq < this.#floor || isSince(everything) || isSince(key) || tags.some(isSince)) return 'invalid'
    }
    return this.#softVerdict(key, tags, readAt)
  }

  /** Judges an entry another process may have written. */
  verdictShared(key: string, { stamp, tags, readAt }: Judged): Verdict {
    if (this.head === undefined || stamp.head !== this.head) return 'invalid'
    return this.#softVerdict(key, tags, readAt)
  }

  // A soft invalidation promises no order, only a refresh: comparing moments is enough.
  #softVerdict(key: string, tags: readonly string[], readAt: number): Verdict {
    if (this.#soft.size === 0) return 'current'
    const isSince = (tag: string) => readAt < (this.#soft.get(tag) ?? Number.NEGATIVE_INFINITY)
    return isSince(everything) || isSince(key) || tags.some(isSince) ? 'soft' : 'current'
  }
}
