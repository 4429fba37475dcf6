// Observations: the union of all reported facts, and the bus that delivers them to listeners.
/**
 * The cause of an invalidation. purge: a person asked. change: rows or definitions changed. missed: changes may have
 * been missed. barrier: a process needs a position in the log.
 */
export const causes = ['purge', 'change', 'missed', 'barrier'] as const
export type Cause = (typeof causes)[number]

/**
 * Whether this process has certainly missed no invalidation. degraded: unverified, so entries live only a few seconds.
 */
export type Coherence = 'starting' | 'synchronized' | 'degraded'

/**
 * The state of following the database. leading: this process follows it. waiting: another process of the fleet does.
 * lost: no process does, as far as this one knows. off: following is disabled.
 */
export type FollowState = 'leading' | 'waiting' | 'lost' | 'off'

/** Why a request is rejected to protect the service. */
export type RejectionReason = 'upstream-full' | 'queue-full' | 'too-late' | 'breaker-open' | 'overloaded'

/** How much of the cache is in use, best first (ops/degradation). */
export type DegradationLevel = 'healthy' | 'memory-only' | 'stale-only' | 'shedding'

/** The cache's result for a request. */
export type State = 'fresh' | 'stale' | 'miss' | 'bypass' | 'error'

/** The state of a circuit breaker. closed: in use. open: bypassed. half-open: one trial request is let through. */
export type BreakerState = 'closed' | 'open' | 'half-open'

/**
 * The outcome of an audit. match: the same bytes. mismatch: different bytes, although no change was reported.
 * overtaken: the entry was invalidated in the meantime. failed: the statement failed. skipped: not run, because the
 * database had no spare capacity or another audit of the route was running.
 */
export type AuditOutcome = 'match' | 'mismatch' | 'overtaken' | 'failed' | 'skipped'

/**
 * Every fact the program reports, in one union. `ops/metrics` counts facts and `ops/log` logs them; no other part of
 * the program logs or counts. Times are in seconds, as in Prometheus.
 */
export type Observation =
  | {
      kind: 'response'
      route: string
      /** The name of one of the answer sources (sources.ts). */
      source: string
      state: State
      status: number
      /**
       * From the end of the request's head until the response is written; for a passed-on request, until the upstream's
       * head.
       */
      seconds: number
      method: string
      /** Why an older answer was served in place of a fresh one from the origin. */
      fallbackReason?: string | undefined
      /** The path of the target, without its query, which may contain data that must not be logged. */
      path: string
      /** The X-Request-Id of the request, or the one generated for it (problem-reply). */
      requestId?: string | undefined
      /** The age of the answer from the cache. */
      ageSeconds?: number | undefined
      error?: unknown
    }
  | {
      kind: 'origin-query'
      route: string
      outcome: 'ok' | 'timeout' | 'unavailable' | 'failed'
      seconds: number
      error?: unknown
    }
  | { kind: 'origin-connection-lost'; error: unknown }
  | { kind: 'tier-error'; tier: string; operation: 'get' | 'set' | 'log' | 'lease'; reason: string; error?: unknown }
  /** `label`: the name of the tier shown to people. */
  | { kind: 'tier-bypassed'; tier: string; label: string; forMs: number }
  | { kind: 'tier-back'; tier: string; label: string }
  | { kind: 'redis-connection'; state: 'ready' | 'lost'; error?: unknown }
  /** An entry was evicted from memory. */
  | { kind: 'evicted'; key: string; bytes: number; readAt: number }
  /**
   * The origin has answered. `before` is the entry replaced, if one is known that no invalidation has touched.
   * `isSame`: it had the same bytes. `waitedMs`: the time between the end of its freshness and the request that caused
   * this refresh. `readAt` is on this host's monotonic clock, in milliseconds.
   */
  | {
      kind: 'filled'
      route: string
      key: string
      readAt: number
      seconds: number
      /** `lifetime.fresh` of the route at that time. */
      freshMs: number
      before?: { readAt: number; isSame: boolean; waitedMs: number }
    }
  | { kind: 'collapsed'; route: string }
  /** A request was rejected to protect the service, and why. */
  | { kind: 'shed'; route: string; reason: RejectionReason }
  /** The degradation level (ops/degradation) has changed. `reason`: why it is not `healthy`. */
  | { kind: 'degradation'; level: DegradationLevel; before: DegradationLevel; reason?: string | undefined }
  /** `why`: the reason it opened. */
  | { kind: 'breaker'; name: string; state: BreakerState; why?: string | undefined }
  | { kind: 'fill-raced'; route: string }
  | { kind: 'refresh-failed'; route: string; error: unknown }
  | { kind: 'variant-failed'; error: unknown }
  /** This process has applied an invalidation. `lagSeconds`: since it was requested, if this process requested it. */
  | { kind: 'invalidated'; cause: Cause; soft: boolean; tags: readonly string[]; lagSeconds?: number }
  /** Reported each second while the database is followed: the time of a heartbeat from its commit to the log. */
  | { kind: 'followed'; lagSeconds: number }
  /** An event in the invalidation log may have been missed. */
  | { kind: 'log-gap' }
  | { kind: 'coherence'; state: Coherence; before: Coherence }
  /**
   * The way of following the database (changes/leader) has changed, or following has stopped. `why` ends a sentence.
   */
  | { kind: 'changes'; state: FollowState; mode: string; why: string; error?: unknown }
  /**
   * A hit was audited (cache/audit), or the audit was skipped. `ageSeconds`: the age of the entry at the comparison.
   */
  | { kind: 'audited'; route: string; outcome: AuditOutcome; ageSeconds: number }
  /** The trace collector no longer accepts traces, or accepts them again. */
  | { kind: 'traces'; state: 'lost' | 'back'; error?: unknown }
  /** The process has been told to stop by `signal`; or every request in flight has completed. */
  | { kind: 'draining'; signal: string }
  | { kind: 'drained'; seconds: number }
  /** The files of `listen.tls` were reloaded, or rejected. */
  | { kind: 'certificate'; outcome: 'taken' | 'refused'; error?: unknown }
  /** The reads listed in `warm` have completed at startup. */
  | { kind: 'warmed'; entries: number; failed: number; seconds: number }
  | { kind: 'config-reloaded'; routes: number; changed: readonly string[] }
  | { kind: 'config-refused'; error: unknown }
  /**
   * A table, view or function that routes read was redefined. `changed`: the routes that now read other objects.
   * `error`: the faults that a start would refuse.
   */
  | { kind: 'redefined'; changed: readonly string[]; error: unknown }

/** Takes a fact. Must not throw and must not block: it is called while a request is served. */
export type Observe = (fact: Observation) => void

export type FactKind = Observation['kind']
type FactsByKind = { [Fact in Observation as Fact['kind']]: Fact }
/** The facts of one kind, or of several kinds. */
export type FactOf<Kind extends FactKind> = { [K in Kind]: FactsByKind[K] & { kind: K } }[Kind]
/** A function for each kind of fact. Kinds without a function are ignored. */
export type FactTable<Result> = { readonly [Kind in FactKind]?: (fact: FactOf<Kind>) => Result }

/** The result of `table`'s function for `fact`. */
export function lookUpFact<Kind extends FactKind, Result>(
  table: FactTable<Result>,
  fact: FactOf<Kind>,
): Result | undefined {
  return table[fact.kind]?.(fact)
}

/**
 * Delivers every fact to all listeners, in the order in which they joined. A listener may observe facts of its own:
 * they reach all listeners before the fact that caused them reaches the later ones.
 */
export class ObservationBus {
  readonly #listeners: Observe[] = []

  listen(listener: Observe): void {
    this.#listeners.push(listener)
  }

  readonly observe: Observe = (fact) => {
    for (const listener of this.#listeners) listener(fact)
  }
}
