// Read-through: serves from memory, or waits for a flight up to the soft timeout or the deadline.
import type { Position } from '../coherence/ledger.ts'
import { Problem } from '../errors.ts'
import { type Answer, fallbackReasonFor, type Read } from './answer.ts'
import { BackOff } from './back-off.ts'
import { type Candidate, Judge } from './candidate.ts'
import type { Entry } from './entry.ts'
import { Flight, type FlightDependencies } from './flight.ts'
import { isEarlyRefreshDue } from './lifetime.ts'
import { type Flying, SingleFlight } from './single-flight.ts'

export interface ReadThroughDependencies extends FlightDependencies {
  /** Soft timeout of a reader that has a fallback, in milliseconds, counted from the start of the flight. */
  softMs: number
  /** Whether one more background refresh may start beside `underWay` others. Readers of a stale entry never wait for it. */
  mayRefresh(underWay: number): boolean
  /** Waits a moment until a position of the invalidation log has been applied. Resolves to whether it has. */
  reached(position: Position): Promise<boolean>
}

/**
 * Reads through the tiers to the origin.
 *
 * - A fresh entry is served. A stale one is served while one refresh runs in the background. After that the reader
 *   waits for a fill. If the fill fails, or is slow, and the route allows it, the reader gets the fallback. An entry
 *   touched by an invalidation is not served, except where the route allows that if the origin fails.
 * - One flight a key, for a miss, a refresh and an early refresh alike. It goes on when its readers have gone.
 * - A fill is kept only if no invalidation has touched its tags since its SQL was sent. Its readers get it either way.
 */
export class ReadThrough {
  readonly #deps: ReadThroughDependencies
  readonly #judge: Judge
  readonly #backOff: BackOff
  readonly #flights = new SingleFlight()
  #refreshes = 0

  constructor(deps: ReadThroughDependencies) {
    this.#deps = deps
    this.#judge = new Judge(deps.ledger, deps.clock)
    this.#backOff = new BackOff(deps.clock, deps.random)
  }

  /** Flights under way. */
  get flights(): number {
    return this.#flights.size
  }

  /** The answer of memory for `read`, if its entry is fresh or stale. Starts a background refresh if one is due. */
  fromMemory(read: Read): Answer | undefined {
    const { memory, clock, random } = this.#deps
    const held = memory.get(read.key)
    if (held === undefined) return undefined
    if (read.atLeast !== undefined && !this.#deps.ledger.holds(read.atLeast)) return undefined
    const now = clock.now()
    const use = this.#judge.useOf(held, read, now)
    if ((use !== 'fresh' && use !== 'stale') || !this.#judge.isYoungEnough(held, read)) return undefined
    const answer = this.#judge.answer(held, read, 'memory', use, now)
    if (use === 'stale' || isEarlyRefreshDue(held, answer.ttlMs, random)) this.#refresh(read, held)
    return answer
  }

  async read(read: Read): Promise<Answer> {
    return this.fromMemory(read) ?? this.fetch(read)
  }

  /** The answer to `read` after memory had none. */
  async fetch(read: Read): Promise<Answer> {
    const { clock, reached, deadlineMs } = this.#deps
    // The reader has the position from a completed purge. If it cannot be applied here, an answer read from now on reflects it.
    if (read.atLeast !== undefined) {
      const isApplied = await reached(read.atLeast)
      if (isApplied) return this.read({ ...read, atLeast: undefined })
      return this.fetch({ ...read, atLeast: undefined, readSince: clock.now() })
    }
    const held = this.#heldFor(read)
    if (held !== undefined && this.#backOff.isOn(read.key)) return this.#judge.duringBackOff(held, read)
    return this.#wait(read, held?.entry, clock.now() + deadlineMs, this.#flights.current(read.key))
  }

  /** The entry in memory, else `before` (the one it had a moment ago), as a candidate if it is of any use. */
  #heldFor(read: Read, before?: Entry): Candidate | undefined {
    const entry = this.#deps.memory.peek(read.key) ?? before
    const held = entry && this.#judge.own(entry, read)
    return held?.use === 'no' ? undefined : held
  }

  /**
   * Waits for the flight `joined`, or for one it starts: until `deadlineAt` at most. After a failure the reader gets
   * its fallback.
   */
  async #wait(read: Read, before: Entry | undefined, deadlineAt: number, joined?: Flying): Promise<Answer> {
    if (joined !== undefined) this.#deps.observe({ kind: 'collapsed', route: read.route })
    const flying = joined ?? this.#fly(read, this.#deps.memory.peek(read.key) ?? before, false)
    const limit = this.#patience(read, flying.flight.startedAt, deadlineAt)
    try {
      const answer = await Promise.race([flying.result, limit.reached])
      if (joined === undefined) {
        if (answer.state === 'stale' && answer.forwarded === undefined) this.#refresh(read, answer.entry)
        return answer
      }
      // The reader that started the flight accepted an older answer than this one does.
      if (!this.#isGoodFor(answer, read))
        return await this.#wait(read, before, deadlineAt, this.#flights.current(read.key))
      // `stored` counts for the reader that started the flight. A hit in a farther tier was not forwarded, so nothing
      // was collapsed.
      return answer.forwarded === undefined ? answer : { ...answer, collapsed: true, stored: false }
    } catch (error) {
      // Another flight may have put a later entry in memory meanwhile.
      const held = this.#heldFor(read, before)
      if (held === undefined) throw error
      return this.#judge.inPlace(held, read, fallbackReasonFor(error))
    } finally {
      limit.cancel()
    }
  }

  /** Whether the answer of another reader's flight is good enough for this one. */
  #isGoodFor({ entry, fallbackReason }: Answer, read: Read): boolean {
    if (read.readSince !== undefined && entry.readAt < read.readSince) return false
    return fallbackReason !== undefined || this.#judge.isYoungEnough(entry, read)
  }

  /**
   * Ends the wait of a reader. At the soft timeout it resolves to the entry in memory, if that may be served as a
   * fallback. Without one it rejects at the deadline.
   *
   * The soft timeout counts from the start of the flight: while the origin hangs, only the first readers wait.
   */
  #patience(read: Read, startedAt: number, deadlineAt: number) {
    const { clock, softMs, deadlineMs } = this.#deps
    const { promise: reached, resolve, reject } = Promise.withResolvers<Answer>()
    const limit = { reached, cancel: () => {} }
    const tooLate = () =>
      reject(
        new Problem(
          'origin-timeout',
          `No answer was ready within ${deadlineMs} ms, and no older one may be served. Retry later.`,
        ),
      )
    const softly = () => {
      const held = this.#heldFor(read)
      if (held !== undefined) resolve(this.#judge.inPlace(held, read, 'soft-timeout'))
      else limit.cancel = clock.after(Math.max(0, deadlineAt - clock.now()), tooLate)
    }
    const softAt = Math.min(startedAt + softMs, deadlineAt)
    if (softAt > clock.now()) limit.cancel = clock.after(softAt - clock.now(), softly)
    else softly()
    return limit
  }

  /** Starts a background refresh, unless one is under way, the key is backing off, or enough run already. */
  #refresh(read: Read, held: Entry): void {
    if (this.#backOff.isOn(read.key) || this.#flights.current(read.key) !== undefined) return
    if (!this.#deps.mayRefresh(this.#refreshes)) return
    this.#refreshes += 1
    const over = () => {
      this.#refreshes -= 1
    }
    // A reader that joins this flight gets its failure. The reader that started it already has its answer.
    this.#fly(read, held, true).result.then(over, over) // a failure is observed where it happens
  }

  #fly(read: Read, inMemory: Entry | undefined, isRefresh: boolean): Flying {
    return this.#flights.start(
      read.key,
      new Flight(this.#deps, this.#judge, this.#backOff, { read, inMemory, isRefresh }),
    )
  }
}
