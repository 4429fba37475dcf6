// Observations written to the log.
import type { Logger } from 'pino'
import type { Clock } from '../clock.ts'
import { type FactOf, lookUpFact, type Observe } from '../observation.ts'
import { eventsByFact, type ReportedEvent, responseEvent } from './event-of-fact.ts'
import { type EventText, events } from './events.ts'

/** A subject is written again after this time. */
const repeatAfterMs = 10_000

/**
 * Writes observations to the log: each request at debug, slow and failed ones at warn, one line for each change of state.
 *
 * Of a client's request only the method, the path and the id are written; of an error its message and its code. The effect of a
 * state on each request is only counted: a dead Redis is one line, not thousands.
 */
export class FactLogger {
  readonly #pino: Logger
  readonly #slowSeconds: number
  readonly #clock: Clock
  /** The time of the last line of each subject. */
  readonly #writtenAt = new Map<string, number>()

  constructor(pino: Logger, slowSeconds: number, clock: Clock) {
    this.#pino = pino
    this.#slowSeconds = slowSeconds
    this.#clock = clock
  }

  readonly observe: Observe = (fact) => {
    const event = fact.kind === 'response' ? this.#responseEvent(fact) : lookUpFact(eventsByFact, fact)
    if (event !== undefined) this.#write(event)
  }

  /** Most responses are not written: nothing is made of them. */
  #responseEvent(response: FactOf<'response'>): ReportedEvent | undefined {
    if (response.status >= 500) return responseEvent('request-failed', response)
    if (response.seconds > this.#slowSeconds) return responseEvent('request-slow', response)
    return this.#pino.isLevelEnabled('debug') ? responseEvent('request-answered', response) : undefined
  }

  #write({ event, fields, subject, meanwhile }: ReportedEvent): void {
    if (subject !== undefined && !this.#isDue(subject)) {
      if (meanwhile !== undefined) this.#write(meanwhile)
      return
    }
    const { level, sentence, action }: EventText = events[event]
    this.#pino[level]({ event, ...fields, action }, sentence)
  }

  #isDue(subject: string): boolean {
    const now = this.#clock.now()
    const writtenAt = this.#writtenAt.get(subject)
    if (writtenAt !== undefined && now - writtenAt < repeatAfterMs) return false
    this.#writtenAt.set(subject, now)
    return true
  }
}
