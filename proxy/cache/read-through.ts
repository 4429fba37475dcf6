import type { Clock } from '../clock.ts'
import type { Judged, Ledger, Position } from '../coherence/ledger.ts'
import { Problem } from '../errors.ts'
import type { Observe } from '../observation.ts'
import { type Entry, etagOf, ownBytes } from './entry.ts'
import type { Key } from './key.ts'
import type { Lease, Leases } from './lease.ts'
import { freshFor, isEarlyRefreshDue, keepFor, type Lifetime, type Use, useOf } from './lifetime.ts'
import type { MemoryTier } from './memory.ts'
import { type Flight, SingleFlight } from './single-flight.ts'
import type { Tier } from './tier.ts'
import type { Variants } from './variants.ts'

/** What the origin answers: the JSON it wrote, and how many rows that holds. */
export interface Loaded {
  json: string
  rows: number
}

/** One read: which entry, how long it lives, and how to make it. */
export interface Read {
  key: Key
  route: string
  /** What a purge can name; asked for only when an entry is to be made. */
  tags(): readonly string[]
  lifetime: Lifetime
  /** How old an entry may be for this reader, in milliseconds, who else has the origin asked (RFC 9111, 5.2.1.4: no-cache). */
  maxAgeMs?: number | undefined
  /** Asks the origin. Called at most once a flight; it calls `sent` in the tick its statement is sent. */
  load(sent: () => void): Promise<Loaded>
}

export interface Answer {
  entry: Entry
  source: 'memory' | 'redis' | 'origin'
  state: 'fresh' | 'stale' | 'miss'
  /** Milliseconds of freshness left; negative when stale. */
  ttlMs: number
  ageMs: number
  /**
   * Why the origin was asked, where this answer waited for that: nothing usable, only an entry too old, or one too old for
   * this reader (RFC 9211 `fwd`).
   */
  forwarded?: 'uri-miss' | 'stale' | 'request'
  /** Another reader's fill was awaited. */
  collapsed?: boolean
  /** What the origin said is kept in memory. */
  stored?: boolean
}

export interface Parts {
  memory: MemoryTier
  /** The tiers behind memory, nearest first, each failing open. */
  farther: readonly Tier[]
  leases: Leases
  ledger: Ledger
  variants: Variants
  clock: Clock
  observe: Observe
  /** 0 to 1, evenly spread. */
  random(): number
  /** The most a reader waits, in milliseconds. The fill it waits for goes on. */
  deadlineMs: number
}

/** A route's origin that has just failed is not asked again for the same key, as long as there is something to serve. */
const refreshPauseMs = 1000

/** The longest pause between two looks for what another process is filling. */
const longestPauseMs = 100

/** What there would be for those who wait, if the origin failed. */
interface Resort {
  answer?: Answer
}

/** What a flight is for: a reader who waits and may have something to fall back on, or the refresh of what is held. */
interface Purpose {
  fallback?: Entry | undefined
  refreshed?: Entry
}

/**
 * Reads through the tiers to the origin: search, serve, fill, keep.
 *
 * - Fresh is served; stale is served while one refresh runs behind; older than that the reader waits for a fill, and gets what
 *   there is if the fill fails and the route allows it. What an invalidation has touched is never served.
 * - One flight a key, for a miss, a refresh and an early refresh alike. It goes on when its readers have gone.
 * - A fill is kept only if no invalidation touched its tags since its SQL was sent; its readers get it either way.
 */
export class ReadThrough {
  readonly #parts: Parts
  readonly #flights = new SingleFlight<Answer>()

  constructor(parts: Parts) {
    this.#parts = parts
  }

  /** Flights under way. */
  get flights(): number {
    return this.#flights.size
  }

  async read(read: Read): Promise<Answer> {
    const { memory, clock, variants, random } = this.#parts
    const held = memory.get(read.key)
    const use = held === undefined ? 'no' : this.#useOf(held, read)
    const isUsable = use === 'fresh' || use === 'stale'
    if (held !== undefined && isUsable && this.#isYoungEnough(held, read)) {
      variants.want(read.key, held)
      const answer = this.#answer(held, read, 'memory', use)
      if (use === 'stale' || isEarlyRefreshDue(held, answer.ttlMs, random)) this.#refresh(read, held)
      return answer
    }
    const fallback = isUsable || use === 'if-error' ? held : undefined
    if (held !== undefined && fallback === undefined) memory.forget(read.key, held)
    // The origin has just failed and is not asked: for this request nothing is forwarded.
    if (fallback !== undefined && clock.now() < (fallback.refreshNotBefore ?? 0))
      return this.#answer(fallback, read, 'memory', 'stale')
    return this.#wait(read, fallback, this.#flights.current(read.key))
  }

  /** Waits for the flight `joined`, or for one it starts: at most the deadline, and not past a failure. */
  async #wait(read: Read, fallback: Entry | undefined, joined?: Flight<Answer>): Promise<Answer> {
    const { clock, deadlineMs, observe } = this.#parts
    if (joined !== undefined) observe({ kind: 'collapsed', route: read.route })
    const flight = joined ?? this.#fly(read, { fallback })
    let cancel = () => {}
    const late = new Promise<never>((_resolve, reject) => {
      const tooLate = () => reject(new Problem('origin-timeout', `No answer within ${deadlineMs} ms.`))
      cancel = clock.after(deadlineMs, tooLate)
    })
    try {
      const answer = await Promise.race([flight.result, late])
      if (joined === undefined) {
        if (answer.state === 'stale' && answer.forwarded === undefined) this.#refresh(read, answer.entry)
        return answer
      }
      // Its leader was content with less.
      if (!this.#isYoungEnough(answer.entry, read)) return await this.#wait(read, fallback)
      // What was stored was the leader's doing; a hit in a farther tier was not forwarded, so there was nothing to collapse.
      return answer.forwarded === undefined ? answer : { ...answer, collapsed: true, stored: false }
    } catch (error) {
      if (fallback === undefined || this.#useOf(fallback, read) === 'no') throw error
      return this.#lastResort(fallback, read, 'memory')
    } finally {
      cancel()
    }
  }

  /** Starts a refresh behind the reader's back, unless one is under way or the last one has just failed. */
  #refresh(read: Read, held: Entry): void {
    const { clock } = this.#parts
    if (clock.now() < (held.refreshNotBefore ?? 0) || this.#flights.current(read.key) !== undefined) return
    // Whoever joins this flight gets its failure; for the one that started it, nothing has failed: it has its answer.
    this.#fly(read, { refreshed: held }).result.catch(() => {}) // observed where it failed
  }

  #fly(read: Read, purpose: Purpose): Flight<Answer> {
    const { ledger, clock } = this.#parts
    const tags = read.tags()
    const under = { stamp: ledger.stamp(), tags, readAt: clock.now() }
    const mayJoin = () => ledger.verdict(read.key, under, clock.now()) !== 'invalid'
    return this.#flights.start(read.key, mayJoin, () => this.#search(read, purpose, under))
  }

  /** Looks in the farther tiers, then asks the origin: led by one process, the others wait for what it keeps there. */
  async #search(read: Read, purpose: Purpose, under: Judged): Promise<Answer> {
    const { leases, ledger, clock, deadlineMs } = this.#parts
    const resort: Resort = {}
    if (purpose.fallback !== undefined) resort.answer = this.#lastResort(purpose.fallback, read, 'memory')
    const found = await this.#look(read, purpose, resort)
    if (found !== undefined) return found
    const began = clock.now()
    const leads = (position: Position) => {
      const judged = { stamp: { seq: 0, ...position }, tags: under.tags, readAt: clock.now() }
      return position.pos > ledger.position.pos || ledger.verdictShared(read.key, judged, clock.now()) !== 'invalid'
    }
    for (let pauseMs = 5; leases.isUsable; pauseMs = Math.min(pauseMs * 2, longestPauseMs)) {
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
      await this.#pause(pauseMs)
    }
    return this.#ask(read, purpose, under, resort)
  }

  /** The nearest answer of the farther tiers that will do; one that would only do if the origin fails is noted in `resort`. */
  async #look(read: Read, { refreshed }: Purpose, resort: Resort): Promise<Answer | undefined> {
    const { ledger, memory, variants, farther, clock } = this.#parts
    for (const tier of farther) {
      const found = await tier.get(read.key)
      if (found === undefined) continue
      const verdict = ledger.verdictShared(read.key, found, clock.now())
      const use = useOf(found, read.lifetime, verdict, clock.now())
      if (use === 'no') continue
      // Judged current this very moment, it holds every invalidation applied so far; else it stays older than them.
      const entry = verdict === 'invalid' ? found : { ...found, stamp: ledger.stamp() }
      const isWanted = refreshed === undefined || (use === 'fresh' && isNewer(entry, refreshed))
      if (isWanted && use !== 'if-error' && this.#isYoungEnough(entry, read)) {
        if (memory.set(read.key, entry)) variants.want(read.key, entry)
        return this.#answer(entry, read, tier.name, use)
      }
      resort.answer ??= this.#lastResort(entry, read, tier.name)
    }
    return undefined
  }

  async #ask(read: Read, purpose: Purpose, under: Judged, resort: Resort, lease?: Lease): Promise<Answer> {
    try {
      const answer = await this.#fill(read, under, resort.answer?.forwarded ?? 'uri-miss')
      lease?.release('done')
      return answer
    } catch (error) {
      lease?.release('failed')
      return this.#fallBack(read, purpose, resort, error)
    }
  }

  /** What there is for those who wait, now that the origin has failed; the failure, if there is nothing. */
  #fallBack(read: Read, { refreshed }: Purpose, { answer: resort }: Resort, error: unknown): Answer {
    const { memory, clock, observe } = this.#parts
    if (refreshed !== undefined) observe({ kind: 'refresh-failed', route: read.route, error })
    const isStillUsable = resort && this.#useOf(resort.entry, read) !== 'no'
    if (resort && isStillUsable && memory.get(read.key) === undefined) memory.set(read.key, resort.entry)
    const held = memory.get(read.key)
    if (held !== undefined) held.refreshNotBefore = clock.now() + refreshPauseMs
    if (!resort || !isStillUsable) throw error
    return this.#lastResort(resort.entry, read, resort.source)
  }

  #pause(ms: number): Promise<void> {
    const { clock, random } = this.#parts
    return new Promise((resolve) => clock.after(ms * (0.5 + random()), resolve))
  }

  /** Asks the origin and keeps the answer, if it is still true when it comes. */
  async #fill(read: Read, under: Judged, forwarded: Answer['forwarded'] & string): Promise<Answer> {
    const { ledger, clock, random, observe } = this.#parts
    let readAt = clock.now()
    under.stamp = ledger.stamp()
    // What comes while the statement waits for its turn is in what it will read.
    const { json, rows } = await read.load(() => {
      readAt = clock.now()
      under.stamp = ledger.stamp()
    })
    const { stamp } = under
    const body = ownBytes(json)
    const fillMs = clock.now() - readAt
    const entry: Entry = { body, rows, tags: under.tags, stamp, readAt, fillMs, jitter: random(), etag: etagOf(body) }
    const isRaced = ledger.verdict(read.key, entry, clock.now()) === 'invalid'
    if (isRaced) observe({ kind: 'fill-raced', route: read.route })
    const stored = !isRaced && this.#keep(read, entry)
    return { ...this.#answer(entry, read, 'origin', 'miss'), forwarded, stored }
  }

  #keep(read: Read, entry: Entry): boolean {
    const { memory, farther, variants } = this.#parts
    const keepMs = keepFor(entry, read.lifetime)
    // No reader waits for a farther tier to have taken it; a failure is observed there.
    for (const tier of farther) void tier.set(read.key, entry, keepMs)
    const stored = memory.set(read.key, entry)
    if (stored) variants.want(read.key, entry)
    return stored
  }

  /** What an entry of this process may be used for now. */
  #useOf(entry: Entry, read: Read): Use {
    const { ledger, clock } = this.#parts
    const now = clock.now()
    return useOf(entry, read.lifetime, ledger.verdict(read.key, entry, now), now)
  }

  #answer(entry: Entry, read: Read, source: Answer['source'], state: Answer['state']): Answer {
    const ageMs = Math.max(0, this.#parts.clock.now() - entry.readAt)
    const ttlMs = freshFor(entry, read.lifetime) - ageMs
    // Stale by a soft invalidation: no freshness is left, whatever its age.
    return { entry, source, state, ageMs, ttlMs: state === 'stale' ? Math.min(ttlMs, -1) : ttlMs }
  }

  #lastResort(entry: Entry, read: Read, source: Answer['source']): Answer {
    const isFresh = this.#useOf(entry, read) === 'fresh'
    if (isFresh) return { ...this.#answer(entry, read, source, 'fresh'), forwarded: 'request' }
    return { ...this.#answer(entry, read, source, 'stale'), forwarded: 'stale' }
  }

  #isYoungEnough(entry: Entry, { maxAgeMs }: Read): boolean {
    return maxAgeMs === undefined || this.#parts.clock.now() - entry.readAt < maxAgeMs
  }
}

/** Whether `found` is another fill than `held` (which may be what a farther tier gives back), and a later one. */
function isNewer(found: Entry, held: Entry): boolean {
  return found.jitter !== held.jitter && found.readAt > held.readAt
}
