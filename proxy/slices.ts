import type { Clock } from './clock.ts'

/** For so long at a time requests are begun, in milliseconds. */
const sliceMs = 5

interface Waiting {
  since: number
  begin: () => void
}

/**
 * Has requests begin in slices of ten milliseconds, between which the event loop turns: what Redis and PostgreSQL have answered is read, timers run,
 * connections are accepted. Who comes meanwhile waits in the order of coming.
 *
 * Without it a turn takes as long as all that has been asked meanwhile, and a busy process takes turns of hundreds of milliseconds. The
 * database is idle then: each of its connections is given one statement a turn.
 */
export class Slices {
  readonly #clock: Clock
  readonly #nextTurn: (run: () => void) => void
  #waiting: Waiting[] = []
  /** Of those waiting, how many have begun. */
  #begun = 0
  #startedAt = 0
  #isStarted = false

  /** `nextTurn` runs something once what has come meanwhile has been read. */
  constructor(clock: Clock, nextTurn: (run: () => void) => void = setImmediate) {
    this.#clock = clock
    this.#nextTurn = nextTurn
  }

  /** How long the next one has waited, in milliseconds; 0 when nobody waits. */
  get waitedMs(): number {
    const next = this.#waiting[this.#begun]
    return next === undefined ? 0 : this.#clock.now() - next.since
  }

  /** Whether what comes at `now` may begin at once. */
  mayBegin(now: number): boolean {
    if (this.#isStarted) return this.#waiting.length === 0 && now - this.#startedAt < sliceMs
    this.#isStarted = true
    this.#startedAt = now
    this.#nextTurn(this.#turn)
    return true
  }

  /** Has `begin` called in its turn; to be called when it may not begin at once. */
  wait(now: number, begin: () => void): void {
    this.#waiting.push({ since: now, begin })
  }

  /** For what has begun and goes on: nothing when it may at once, else resolves in its turn. */
  turn(): Promise<void> | undefined {
    const now = this.#clock.now()
    if (this.mayBegin(now)) return undefined
    return new Promise((resolve) => this.wait(now, resolve))
  }

  readonly #turn = (): void => {
    this.#startedAt = this.#clock.now()
    while (this.#begun < this.#waiting.length && this.#clock.now() - this.#startedAt < sliceMs) {
      const next = this.#waiting[this.#begun] as Waiting
      this.#begun += 1
      next.begin()
    }
    // Not one by one: each time, all that still wait are moved.
    if (this.#begun * 2 >= this.#waiting.length) {
      this.#waiting = this.#waiting.slice(this.#begun)
      this.#begun = 0
    }
    this.#isStarted = this.#waiting.length > 0
    if (this.#isStarted) this.#nextTurn(this.#turn)
  }
}
