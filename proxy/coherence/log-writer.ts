// Appends what this process invalidates, and keeps what the log lacks, or may lose.
import { everything } from '../tags.ts'
import type { Event, Invalidation, Position } from './ledger.ts'
import { type LogDependencies, type LogReader, logFailure } from './log-reader.ts'

/** What this process has appended is appended again when the server may have lost it: so long it is remembered. */
const rememberMs = 30_000
/** More tags than this in one event, and it touches everything. */
const maxTags = 1000

/**
 * Appends what this process invalidates.
 *
 * What cannot be appended, or is not seen in its place in the log, is applied here and stays unpublished: until it is appended once
 * more, what others have kept cannot be judged by it.
 */
export class LogWriter {
  readonly #dependencies: LogDependencies
  readonly #reader: LogReader
  /** Applied here, and not known to be in the log. */
  #unpublished: Invalidation[] = []
  /** Appended not long ago, each with when that was asked for. */
  #recent: { at: number; invalidation: Invalidation }[] = []

  constructor(dependencies: LogDependencies, reader: LogReader) {
    this.#dependencies = dependencies
    this.#reader = reader
  }

  get hasUnpublished(): boolean {
    return this.#unpublished.length > 0
  }

  /** Resolves to its place in the log, if that could be reached; it is applied here in any case. */
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

  /** Appends what is unpublished: at most two events. Published is what was applied in its place. */
  async publishPending(): Promise<void> {
    const { ledger, clock } = this.#dependencies
    for (const pending of this.#unpublished) {
      const event = await this.#append(pending, clock.now())
      if (ledger.holds(event)) this.#unpublished = this.#unpublished.filter((other) => other !== pending)
    }
  }

  /** What was appended not long ago counts as unpublished: the log may have lost it. */
  publishRecentAgain(): void {
    this.#addUnpublished(this.#recent.map(({ invalidation }) => invalidation))
  }

  /** Forgets what was appended long before `now`. */
  forget(now: number): void {
    this.#recent = this.#recent.filter(({ at }) => now - at < rememberMs)
  }

  /** Keeps what is remembered small. */
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

/** The same as at most two, a soft and a hard one. */
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
