// Hits compared with what the database says, off the hit path.
import type { Clock } from '../clock.ts'
import type { Ledger } from '../coherence/ledger.ts'
import type { AuditOutcome, Observe } from '../observation.ts'
import type { Answer, Read } from './answer.ts'

/** How long a change that an audit has found may take to be told of, in milliseconds, before it counts as one nobody told of. */
const graceMs = 2000

export interface AuditDependencies {
  ledger: Pick<Ledger, 'verdict'>
  clock: Clock
  observe: Observe
  /** 0 to 1, evenly spread. */
  random(): number
}

/**
 * Compares what is served with what the database says: of a share of the hits the statement is run again, after the answer has
 * been given.
 *
 * One at a time a route, and only while the database has nothing better to do; what it brings is compared and kept nowhere. An
 * answer that was invalidated meanwhile is no mismatch:
 *   1. a hit is served
 *   2. a row of it changes; its invalidation is on its way
 *   3. the audit reads the row as it is now, and finds a difference
 *   4. the invalidation arrives: within the grace given, it was only overtaken
 */
export class Audit {
  readonly #parts: AuditDependencies
  readonly #underWay = new Set<string>()

  constructor(parts: AuditDependencies) {
    this.#parts = parts
  }

  /**
   * Audits `answer` to `read` with the chance `share`, 0 to 1. Costs the request that got it one random number, and nothing where `share`
   * is 0. `isIdle`: whether the database could run the statement of `read` without anyone waiting for it.
   */
  consider(read: Read, answer: Answer, share: number, isIdle: () => boolean): void {
    if (share === 0 || answer.source === 'origin') return
    const { clock, random } = this.#parts
    if (random() >= share) return
    clock.after(0, () => void this.#audit(read, answer, isIdle))
  }

  async #audit(read: Read, { entry }: Answer, isIdle: () => boolean): Promise<void> {
    const { clock, observe, ledger } = this.#parts
    const { route, key } = read
    const told = (outcome: AuditOutcome, at = clock.now()) =>
      observe({ kind: 'audited', route, outcome, ageSeconds: Math.max(0, at - entry.readAt) / 1000 })
    const isStillTrue = () => ledger.verdict(key, entry, clock.now()) === 'current'
    if (this.#underWay.has(route) || !isIdle()) return told('skipped')
    if (!isStillTrue()) return told('overtaken')
    this.#underWay.add(route)
    try {
      const { json } = await read.load(() => {})
      const comparedAt = clock.now()
      if (entry.body.equals(Buffer.from(json))) return told('match', comparedAt)
      if (isStillTrue()) await new Promise<void>((resolve) => clock.after(graceMs, resolve))
      told(isStillTrue() ? 'mismatch' : 'overtaken', comparedAt)
    } catch {
      told('failed') // why is observed where it failed
    } finally {
      this.#underWay.delete(route)
    }
  }
}
