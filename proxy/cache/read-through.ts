// Serve, or wait for a flight: until it ends, the soft timeout, the deadline.
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

  /** What memory has for `read`, if it may be served as it is; a refresh that is due is started behind. */
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

  /** What is to be had for `read` that memory has just been found not to hold. */
  async fetch(read: Read): Promise<Answer> {
    const { clock, reached, deadlineMs } = this.#deps
    // Whoever names a place we do not know has seen it come back from a purge: what is read from now on is not older than that.
    if (read.atLeast !== undefined) {
      const isApplied = await reached(read.atLeast)
      if (isApplied) return this.read({ ...read, atLeast: undefined })
      return this.fetch({ ...read, atLeast: undefined, readSince: clock.now() })
    }
    const held = this.#heldFor(read)
    if (held !== undefined && this.#backOff.isOn(read.key)) return this.#judge.duringBackOff(held, read)
    return this.#wait(read, held?.entry, clock.now() + deadlineMs, this.#flights.current(read.key))
  }

  /** What memory holds for `read`, if there is any use for it; else `before`, which it held a moment ago. */
  #heldFor(read: Read, before?: Entry): Candidate | undefined {
    const entry = this.#deps.memory.peek(read.key) ?? before
    const held = entry && this.#judge.own(entry, read)
    return held?.use === 'no' ? undefined : held
  }

  /** Waits for the flight `joined`, or for one it starts: at most until `deadlineAt`, and not past a failure. */
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
      // Its leader was content with less.
      if (!this.#isGoodFor(answer, read))
        return await this.#wait(read, before, deadlineAt, this.#flights.current(read.key))
      // What was stored was the leader's doing; a hit in a farther tier was not forwarded, so there was nothing to collapse.
      return answer.forwarded === undefined ? answer : { ...answer, collapsed: true, stored: false }
    } catch (error) {
      // Another flight may have brought a later one meanwhile.
      const held = this.#heldFor(read, before)
      if (held === undefined) throw error
      return this.#judge.inPlace(held, read, fallbackReasonFor(error))
    } finally {
      limit.cancel()
    }
  }

  /** Whether what another reader's flight has brought will do for this one. */
  #isGoodFor({ entry, fallbackReason }: Answer, read: Read): boolean {
    if (read.readSince !== undefined && entry.readAt < read.readSince) return false
    return fallbackReason !== undefined || this.#judge.isYoungEnough(entry, read)
  }

  /**
   * What a reader gets for whom a flight takes too long: after the soft timeout what is in memory by then, if it may be served in
   * place of what the origin has not said yet; else at its deadline the failure.
   *
   * Counted from the start of the flight: of those who come while the origin hangs, only the first ones wait at all.
   */
  #patience(read: Read, startedAt: number, deadlineAt: number) {
    const { clock, softMs, deadlineMs } = this.#deps
    const { promise: reached, resolve, reject } = Promise.withResolvers<Answer>()
    const limit = { reached, cancel: () => {} }
    const tooLate = () => reject(new Problem('origin-timeout', `No answer within ${deadlineMs} ms.`))
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

  /** Starts a refresh behind the reader's back, unless one is under way, the last one has just failed, or there are enough. */
  #refresh(read: Read, held: Entry): void {
    if (this.#backOff.isOn(read.key) || this.#flights.current(read.key) !== undefined) return
    if (!this.#deps.mayRefresh(this.#refreshes)) return
    this.#refreshes += 1
    const over = () => {
      this.#refreshes -= 1
    }
    // Whoever joins this flight gets its failure; for the one that started it, nothing has failed: it has its answer.
    this.#fly(read, held, true).result.then(over, over) // a failure is observed where it happens
  }

  #fly(read: Read, inMemory: Entry | undefined, isRefresh: boolean): Flying {
    return this.#flights.start(
      read.key,
      new Flight(this.#deps, this.#judge, this.#backOff, { read, inMemory, isRefresh }),
    )
  }
}
