// Applies the events of the log to the ledger, in their order.
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
 * Applies the events of the log to the ledger, in their order.
 *
 * Three things bring events: waiting for the next one, reading on to where the log stands, and what this process appends itself. All
 * end in `take`; an event that was applied is known, one that does not continue the chain is a gap, which `gap` is told of.
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
        // Whether it is the server or this connection, the next look at the head says.
        await new Promise<void>((resolve) => clock.after(200, resolve))
      }
    }
  }

  close(): void {
    this.#isClosed = true
  }

  /** Reads and applies what there is beyond what was applied. Shared by all who ask meanwhile. */
  catchUp(): Promise<void> {
    this.#catchingUp ??= this.#readOn().finally(() => {
      this.#catchingUp = undefined
    })
    return this.#catchingUp
  }

  /** Applies events that follow each other, as far as they continue the chain. `asked`: when this process wanted them appended. */
  take(events: readonly Event[], asked?: number): void {
    const { ledger, clock } = this.#dependencies
    for (const event of events) {
      const outcome = ledger.apply(event, clock.now())
      if (outcome === 'applied') this.#applied(event, asked)
      if (outcome === 'gap') return void this.#gap()
    }
  }

  /** Applies an event that this process has appended in its place, if all that comes before it can be read. */
  async takeAppended(event: Event, asked: number): Promise<void> {
    const { ledger } = this.#dependencies
    if (ledger.isSynchronized && event.prev === ledger.position.id) this.take([event], asked)
    // Twice: one that was under way may have read before it was appended.
    for (let i = 0; i < 2 && ledger.isSynchronized && !ledger.holds(event); i += 1) await this.catchUp().catch(() => {})
  }

  /** Applies what the log does not have: for this process alone. */
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
   * Applies what `ask` says follows what was applied. Resolves to whether there was anything.
   *
   * An answer from before a gap says nothing of the time after it: what it holds would look like another gap.
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
