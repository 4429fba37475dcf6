// The log reader: applies the events of the invalidation log to the ledger, in order.
import type { Clock } from '../clock.ts'
import type { Observation, Observe } from '../observation.ts'
import type { Event, Invalidation, Ledger } from './ledger.ts'
import type { Log } from './log.ts'

export interface LogDependencies {
  log: Log
  ledger: Ledger
  clock: Clock
  observe: Observe
}

export const logFailure = (error: unknown): Observation => ({
  kind: 'tier-error',
  tier: 'redis',
  operation: 'log',
  reason: 'error',
  error,
})

/**
 * Applies the events of the log to the ledger, in order.
 *
 * Events come from three sources: the blocking read, the catch-up to the end of the log, and the appends of this
 * process. All end in `take`. An event that was applied before is ignored. One that does not continue the chain is a
 * gap, and calls `gap`.
 */
export class LogReader {
  readonly #dependencies: LogDependencies
  readonly #gap: () => void
  #catchingUp: Promise<void> | undefined
  #isClosed = false

  constructor(dependencies: LogDependencies, gap: () => void) {
    this.#dependencies = dependencies
    this.#gap = gap
  }

  /** Takes each event as it comes, until it is closed. */
  async run(): Promise<void> {
    const { log, ledger, clock } = this.#dependencies
    while (!this.#isClosed) {
      try {
        if (ledger.isSynchronized) await this.#takeFrom((pos) => log.next(pos))
        else await new Promise<void>((resolve) => clock.after(50, resolve))
      } catch {
        // The next check of the head tells whether the server failed, or only this connection.
        await new Promise<void>((resolve) => clock.after(200, resolve))
      }
    }
  }

  close(): void {
    this.#isClosed = true
  }

  /** Reads and applies all events after the applied position. Callers that ask meanwhile share one run. */
  catchUp(): Promise<void> {
    this.#catchingUp ??= this.#readOn().finally(() => {
      this.#catchingUp = undefined
    })
    return this.#catchingUp
  }

  /** Applies consecutive events, as far as they continue the chain. `asked`: when this process asked to append them. */
  take(events: readonly Event[], asked?: number): void {
    const { ledger, clock } = this.#dependencies
    for (const event of events) {
      const outcome = ledger.apply(event, clock.now())
      if (outcome === 'applied') this.#applied(event, asked)
      if (outcome === 'gap') return void this.#gap()
    }
  }

  /** Applies an event that this process has appended, at its position, if all events before it can be read. */
  async takeAppended(event: Event, asked: number): Promise<void> {
    const { ledger } = this.#dependencies
    if (ledger.isSynchronized && event.prev === ledger.position.id) this.take([event], asked)
    // Twice: a catch-up already under way may have read the log before the append.
    for (let i = 0; i < 2 && ledger.isSynchronized && !ledger.holds(event); i += 1) await this.catchUp().catch(() => {})
  }

  /** Applies an invalidation that the log does not have, for this process only. */
  applyHere(invalidation: Invalidation): void {
    const { ledger, clock } = this.#dependencies
    ledger.applyHere(invalidation, clock.now())
    this.#applied(invalidation)
  }

  async #readOn(): Promise<void> {
    const { log, ledger } = this.#dependencies
    while (ledger.isSynchronized) if (!(await this.#takeFrom((pos) => log.read(pos)))) return
  }

  /**
   * Applies the events that `ask` returns for the applied position. Resolves to whether there were any.
   *
   * An answer from before a gap is dropped, because its events would look like another gap:
   *   1. the log is read from position p
   *   2. a gap is detected, and the ledger joins the log at a barrier
   *   3. the answer of 1 arrives: its events continue p, not the barrier
   */
  async #takeFrom(ask: (pos: number) => Promise<Event[]>): Promise<boolean> {
    const { ledger } = this.#dependencies
    const from = ledger.position
    const events = await ask(from.pos)
    if (ledger.holds(from)) this.take(events)
    return events.length > 0
  }

  #applied({ cause, tags, soft }: Invalidation, asked?: number): void {
    const { clock, observe } = this.#dependencies
    const lag = asked === undefined ? {} : { lagSeconds: (clock.now() - asked) / 1000 }
    observe({ kind: 'invalidated', cause, soft, tags, ...lag })
  }
}
