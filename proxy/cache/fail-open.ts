import type { Clock } from '../clock.ts'
import type { Observe } from '../observation.ts'
import type { Tier } from './tier.ts'

export interface FailOpenTier extends Tier {
  /** Whether the tier is passed by. */
  readonly isOpen: boolean
}

export interface Limits {
  /** The most one operation may take, in milliseconds. */
  deadlineMs: number
  /** Failures in a row after which the tier is left alone. */
  failuresToOpen: number
  /** For how long it is left alone, in milliseconds. */
  openMs: number
}

// A timer that fires this much late says that this process was busy, not that the tier is slow.
const lateMs = 50

/**
 * Lets reads go on when `tier` cannot answer.
 *
 * A `get` that fails or outlasts `deadlineMs` is a miss; a `set` that fails is dropped. Both are observed. After
 * `failuresToOpen` in a row the tier is not asked at all for `openMs`, so that a dead Redis costs a request nothing instead
 * of one deadline each; then the first operation tries it again, while the others still pass it by. A deadline whose own
 * timer fired late is not held against the tier.
 */
export function failOpen(tier: Tier, limits: Limits, clock: Clock, observe: Observe): FailOpenTier {
  let failures = 0
  let openUntil = Number.NEGATIVE_INFINITY
  let isTrying = false

  async function guarded<T>(operation: 'get' | 'set', run: () => T | Promise<T>, otherwise: T): Promise<T> {
    const isOpen = failures >= limits.failuresToOpen
    if (isOpen && (isTrying || clock.now() < openUntil)) return otherwise
    if (isOpen) isTrying = true
    try {
      const result = await within(limits.deadlineMs, clock, run)
      if (isOpen) observe({ kind: 'tier-back', tier: tier.name })
      failures = 0
      return result
    } catch (error) {
      observe({
        kind: 'tier-error',
        tier: tier.name,
        operation,
        reason: error instanceof Outlasted ? 'timeout' : 'error',
        error,
      })
      if (!(error instanceof Outlasted && error.isOurFault)) failures += 1
      if (failures >= limits.failuresToOpen) {
        openUntil = clock.now() + limits.openMs
        if (!isOpen) observe({ kind: 'tier-bypassed', tier: tier.name, forMs: limits.openMs })
      }
      return otherwise
    } finally {
      if (isOpen) isTrying = false
    }
  }

  return {
    name: tier.name,
    get isOpen() {
      return failures >= limits.failuresToOpen
    },
    get: (key) => guarded('get', () => tier.get(key), undefined),
    set: (key, entry, keepMs) => guarded('set', () => tier.set(key, entry, keepMs), false),
  }
}

/** A deadline passed; `isOurFault` when this process was too busy to say whose delay it was. */
class Outlasted extends Error {
  readonly isOurFault: boolean
  constructor(deadlineMs: number, isOurFault: boolean) {
    super(`no answer within ${deadlineMs} ms`)
    this.isOurFault = isOurFault
  }
}

/** The result of `run`, or a rejection once `deadlineMs` have passed; what comes later than that is let go. */
async function within<T>(deadlineMs: number, clock: Clock, run: () => T | Promise<T>): Promise<T> {
  const begun = clock.now()
  let cancel = () => {}
  const late = new Promise<never>((_resolve, reject) => {
    cancel = clock.after(deadlineMs, () => reject(new Outlasted(deadlineMs, clock.now() - begun > deadlineMs + lateMs)))
  })
  try {
    return await Promise.race([run(), late])
  } finally {
    cancel()
  }
}
