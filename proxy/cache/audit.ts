// The audit: a share of the hits is compared with the database, off the hit path.
import type { Clock } from '../clock.ts'
import type { Ledger } from '../coherence/ledger.ts'
import type { AuditOutcome, Observe } from '../observation.ts'
import type { Answer, Read } from './answer.ts'

/** Grace for the invalidation of a change that an audit finds, in milliseconds. A later one counts as missed. */
const graceMs = 2000

export interface AuditDependencies {
  ledger: Pick<Ledger, 'verdict'>
  clock: Clock
  observe: Observe
  /** 0 to 1, evenly spread. */
  random(): number
}

/**
 * Compares answers with the database: for a share of the hits it runs the statement again, after the answer has been
 * given.
 *
 * Each route has one audit at a time, and only while the database is idle. The result is compared and not kept. An
 * answer that was invalidated meanwhile is no mismatch:
 *   1. a hit is served
 *   2. one of its rows changes; the invalidation is on its way
 *   3. the audit reads the changed row, and finds a difference
 *   4. the invalidation arrives within the grace: the outcome is `overtaken`, not `mismatch`
 */
export class Audit {
  readonly #parts: AuditDependencies
  readonly #underWay = new Set<string>()

  constructor(parts: AuditDependencies) {
    this.#parts = parts
  }

  /**
   * Audits `answer` to `read` with probability `share`, 0 to 1. Costs the request one random number, and nothing if
   * `share` is 0. `isIdle`: whether the database can run the statement without making any request wait.
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
      told('failed') // the failure is observed where it happened
    } finally {
      this.#underWay.delete(route)
    }
  }
}
