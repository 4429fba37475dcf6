// Serve, or wait for a flight: until it ends, the soft timeout, the deadline.
import type { Position } from '../coherence/ledger.ts'
import { Problem } from '../errors.ts'
import { type Answer, Answers, fallbackReasonFor, type Read } from './answer.ts'
import type { Entry } from './entry.ts'
import { type FillDependencies, Filler, type FillStamp, type Purpose } from './fill.ts'
import { isEarlyRefreshDue } from './lifetime.ts'
import { type Flight, SingleFlight } from './single-flight.ts'

export interface ReadThroughDependencies extends FillDependencies {
  /** How long a reader waits who has something to fall back on, in milliseconds, counted from the start of the flight. */
  softMs: number
  /** Whether one more refresh may be started behind a reader's back, beside so many under way: what is stale can wait, its readers need not. */
  mayRefresh(underWay: number): boolean
  /** Waits a moment for a place in the invalidation log to be applied. Resolves to whether it has been. */
  reached(position: Position): Promise<boolean>
}

/**
 * Reads through the tiers to the origin.
 *
 * - Fresh is served; stale is served while one refresh runs behind; older than that the reader waits for a fill, and gets what
 *   there is if the fill fails, or takes long, and the route allows it. What an invalidation has touched is never served.
 * - One flight a key, for a miss, a refresh and an early refresh alike. It goes on when its readers have gone.
 * - A fill is kept only if no invalidation touched its tags since its SQL was sent; its readers get it either way.
 */
export class ReadThrough {
  readonly #parts: ReadThroughDependencies
  readonly #answers: Answers
  readonly #filler: Filler
  readonly #flights: SingleFlight<Answer>
  #refreshes = 0

  constructor(parts: ReadThroughDependencies) {
    this.#parts = parts
    this.#answers = new Answers(parts.ledger, parts.clock)
    this.#filler = new Filler(parts, this.#answers)
    this.#flights = new SingleFlight(parts.clock)
  }

  /** Flights under way. */
  get flights(): number {
    return this.#flights.size
  }

  /** What memory has for `read`, if it may be served as it is; a refresh that is due is started behind. */
  fromMemory(read: Read): Answer | undefined {
    const { memory, clock, random } = this.#parts
    const held = memory.get(read.key)
    if (held === undefined) return undefined
    if (read.atLeast !== undefined && !this.#parts.ledger.holds(read.atLeast)) return undefined
    const now = clock.now()
    const use = this.#answers.useOf(held, read, now)
    if ((use !== 'fresh' && use !== 'stale') || !this.#answers.isYoungEnough(held, read)) return undefined
    const answer = this.#answers.of(held, read, 'memory', use, now)
    if (use === 'stale' || isEarlyRefreshDue(held, answer.ttlMs, random)) this.#refresh(read, held)
    return answer
  }

  async read(read: Read): Promise<Answer> {
    return this.fromMemory(read) ?? this.fetch(read)
  }

  /** What is to be had for `read` that memory has just been found not to hold. */
  async fetch(read: Read): Promise<Answer> {
    const { memory, clock, reached } = this.#parts
    // Whoever names a place we do not know has seen it come back from a purge: what is read from now on is not older than that.
    if (read.atLeast !== undefined) {
      const isApplied = await reached(read.atLeast)
      if (isApplied) return this.read({ ...read, atLeast: undefined })
      return this.fetch({ ...read, atLeast: undefined, readSince: clock.now() })
    }
    const held = memory.peek(read.key)
    const use = held === undefined ? 'no' : this.#answers.useOf(held, read)
    const fallback = use === 'no' ? undefined : held
    // The origin has just failed and is not asked: for this request nothing is forwarded.
    if (fallback !== undefined && clock.now() < (fallback.refreshNotBefore ?? 0))
      return this.#answers.duringBackOff(fallback, read)
    return this.#wait(read, fallback, clock.now() + this.#parts.deadlineMs, this.#flights.current(read.key))
  }

  /** Waits for the flight `joined`, or for one it starts: at most until `deadlineAt`, and not past a failure. */
  async #wait(read: Read, fallback: Entry | undefined, deadlineAt: number, joined?: Flight<Answer>): Promise<Answer> {
    if (joined !== undefined) this.#parts.observe({ kind: 'collapsed', route: read.route })
    // What is held and of no use stays until something takes its place, which must not be older.
    const flight = joined ?? this.#fly(read, { fallback, outdated: this.#parts.memory.peek(read.key) })
    const limit = this.#patience(read, flight, deadlineAt)
    try {
      const answer = await Promise.race([flight.result, limit.reached])
      if (joined === undefined) {
        if (answer.state === 'stale' && answer.forwarded === undefined) this.#refresh(read, answer.entry)
        return answer
      }
      // Its leader was content with less.
      if (!this.#isGoodFor(answer, read))
        return await this.#wait(read, fallback, deadlineAt, this.#flights.current(read.key))
      // What was stored was the leader's doing; a hit in a farther tier was not forwarded, so there was nothing to collapse.
      return answer.forwarded === undefined ? answer : { ...answer, collapsed: true, stored: false }
    } catch (error) {
      // Another flight may have brought a later one meanwhile.
      const held = this.#parts.memory.peek(read.key) ?? fallback
      if (held === undefined || this.#answers.useOf(held, read) === 'no') throw error
      return this.#answers.inPlace(held, read, 'memory', fallbackReasonFor(error))
    } finally {
      limit.cancel()
    }
  }

  /** Whether what another reader's flight has brought will do for this one. */
  #isGoodFor({ entry, fallbackReason }: Answer, read: Read): boolean {
    if (read.readSince !== undefined && entry.readAt < read.readSince) return false
    return fallbackReason !== undefined || this.#answers.isYoungEnough(entry, read)
  }

  /**
   * What a reader gets for whom `flight` takes too long: after the soft timeout what is in memory by then, if it may be served in
   * place of what the origin has not said yet; else at its deadline the failure.
   *
   * Counted from the start of the flight: of those who come while the origin hangs, only the first ones wait at all.
   */
  #patience(read: Read, { startedAt }: Flight<Answer>, deadlineAt: number) {
    const { clock, memory, softMs, deadlineMs } = this.#parts
    const { promise: reached, resolve, reject } = Promise.withResolvers<Answer>()
    const limit = { reached, cancel: () => {} }
    const tooLate = () => reject(new Problem('origin-timeout', `No answer within ${deadlineMs} ms.`))
    const untilDeadline = () => {
      limit.cancel = clock.after(Math.max(0, deadlineAt - clock.now()), tooLate)
    }
    const softly = () => {
      const held = memory.peek(read.key)
      const isOfUse = held !== undefined && this.#answers.useOf(held, read) !== 'no'
      if (isOfUse) resolve(this.#answers.inPlace(held, read, 'memory', 'soft-timeout'))
      else untilDeadline()
    }
    const softAt = Math.min(startedAt + softMs, deadlineAt)
    if (softAt > clock.now()) limit.cancel = clock.after(softAt - clock.now(), softly)
    else softly()
    return limit
  }

  /** Starts a refresh behind the reader's back, unless one is under way, the last one has just failed, or there are enough. */
  #refresh(read: Read, held: Entry): void {
    const { clock, mayRefresh } = this.#parts
    if (clock.now() < (held.refreshNotBefore ?? 0) || this.#flights.current(read.key) !== undefined) return
    if (!mayRefresh(this.#refreshes)) return
    this.#refreshes += 1
    const over = () => {
      this.#refreshes -= 1
    }
    // Whoever joins this flight gets its failure; for the one that started it, nothing has failed: it has its answer.
    this.#fly(read, { refreshed: held }).result.then(over, over) // a failure is observed where it happens
  }

  #fly(read: Read, purpose: Purpose): Flight<Answer> {
    const { ledger, clock, deadlineMs } = this.#parts
    const began = clock.now()
    const under: FillStamp = { stamp: ledger.stamp(), tags: read.tags(), readAt: began }
    // One that is still under way when its first reader has given up may be of a process that was stopped for a while: what it brings is
    // as old as that.
    const mayJoin = () => clock.now() - began < deadlineMs && ledger.isClean(read.key, under, clock.now())
    return this.#flights.start(read.key, mayJoin, () => this.#filler.run(read, purpose, under))
  }
}
