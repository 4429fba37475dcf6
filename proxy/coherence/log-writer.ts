// The log writer: appends this process's invalidations, and keeps those that the log lacks or may lose.
import { everything } from '../tags.ts'
import type { Event, Invalidation, Position } from './ledger.ts'
import { type LogDependencies, type LogReader, logFailure } from './log-reader.ts'

/** How long appended invalidations are remembered, in milliseconds. They are appended again if the server may have lost them. */
const rememberMs = 30_000
/** An event with more tags than this becomes one that touches everything. */
const maxTags = 1000

/**
 * Appends the invalidations of this process.
 *
 * An invalidation that cannot be appended, or is not seen at its position in the log, is applied here and stays
 * unpublished. Until it has been appended once more, entries of other processes cannot be judged by it.
 */
export class LogWriter {
  readonly #dependencies: LogDependencies
  readonly #reader: LogReader
  /** Applied here; unverified whether the log has them. */
  #unpublished: Invalidation[] = []
  /** Recently appended, each with the time of the request to append it. */
  #recent: { at: number; invalidation: Invalidation }[] = []

  constructor(dependencies: LogDependencies, reader: LogReader) {
    this.#dependencies = dependencies
    this.#reader = reader
  }

  get hasUnpublished(): boolean {
    return this.#unpublished.length > 0
  }

  /** Resolves to the position in the log, if the log could be reached. The invalidation is applied here in any case. */
  async publish(invalidation: Invalidation): Promise<Position | undefined> {
    const { log, ledger, clock, observe } = this.#dependencies
    if (!log.isReachable) return this.#keepHere(invalidation)
    const asked = clock.now()
    try {
      await this.publishPending()
      const event = await this.#append(invalidation, asked)
      if (!ledger.holds(event)) this.#keepHere(invalidation)
      return { pos: event.pos, id: event.id }
    } catch (error) {
      observe(logFailure(error))
      return this.#keepHere(invalidation)
    }
  }

  /** Appends the unpublished invalidations, at most two events. One counts as published once it is applied at its position. */
  async publishPending(): Promise<void> {
    const { ledger, clock } = this.#dependencies
    for (const pending of this.#unpublished) {
      const event = await this.#append(pending, clock.now())
      if (ledger.holds(event)) this.#unpublished = this.#unpublished.filter((other) => other !== pending)
    }
  }

  /** Makes the recently appended invalidations unpublished: the log may have lost them. */
  publishRecentAgain(): void {
    this.#addUnpublished(this.#recent.map(({ invalidation }) => invalidation))
  }

  /** Forgets invalidations that were appended `rememberMs` before `now`, or earlier. */
  forget(now: number): void {
    this.#recent = this.#recent.filter(({ at }) => now - at < rememberMs)
  }

  /** Merges the remembered invalidations when they become many. */
  compact(now: number): void {
    if (this.#recent.length <= maxTags) return
    const few = merged(this.#recent.map(({ invalidation }) => invalidation))
    this.#recent = few.map((invalidation) => ({ at: now, invalidation }))
  }

  async #append(invalidation: Invalidation, asked: number): Promise<Event> {
    const event = await this.#dependencies.log.append(invalidation)
    this.#recent.push({ at: asked, invalidation })
    await this.#reader.takeAppended(event, asked)
    return event
  }

  #keepHere(invalidation: Invalidation): undefined {
    this.#addUnpublished([invalidation])
    this.#reader.applyHere(invalidation)
  }

  #addUnpublished(invalidations: readonly Invalidation[]): void {
    this.#unpublished = merged([...this.#unpublished, ...invalidations])
  }
}

/** The same invalidations as at most two, a soft and a hard one. */
function merged(invalidations: readonly Invalidation[]): Invalidation[] {
  return [true, false].flatMap((soft) => {
    const alike = invalidations.filter((invalidation) => invalidation.soft === soft)
    const [first] = alike
    if (first === undefined) return []
    const tags = [...new Set(alike.flatMap(({ tags }) => tags))]
    const isAll = tags.length > maxTags || tags.includes(everything)
    return [{ tags: isAll ? [everything] : tags, soft, cause: first.cause }]
  })
}
