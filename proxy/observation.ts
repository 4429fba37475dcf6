// Every fact reported, one union, and the bus that carries them.
/** Why something is invalidated: a person asked; a row has changed; changes may have been missed; a process needs a place in the log. */
export const causes = ['purge', 'change', 'missed', 'barrier'] as const
export type Cause = (typeof causes)[number]

/** Whether this process is known to have missed no invalidation. Degraded: nobody knows, and entries live a few seconds. */
export type Coherence = 'starting' | 'synchronized' | 'degraded'

/**
 * Of following the database. leading: this process does; waiting: another process of the fleet; lost: nobody, as far as this process
 * knows; off: it is not to be followed.
 */
export type FollowState = 'leading' | 'waiting' | 'lost' | 'off'

/** Why a request is rejected to protect the service. */
export type RejectionReason = 'upstream-full' | 'queue-full' | 'too-late' | 'breaker-open' | 'overloaded'

/** How much of the cache is in use, best first (ops/degradation). */
export type DegradationLevel = 'healthy' | 'memory-only' | 'stale-only' | 'shedding'

/** What the cache made of a request. */
export type State = 'fresh' | 'stale' | 'miss' | 'bypass' | 'error'

/** Of a circuit breaker. Closed: in use. Open: bypassed. Half-open: one is let through to try. */
export type BreakerState = 'closed' | 'open' | 'half-open'

/**
 * What came of an audit: the same bytes; others, though nothing has told of a change; others, and a change was told of; the
 * statement failed; or it was not run, since the database had enough to do or an audit of the route was under way.
 */
export type AuditOutcome = 'match' | 'mismatch' | 'overtaken' | 'failed' | 'skipped'

/**
 * Every fact the program reports, in one union. `ops/metrics` counts them, `ops/log` writes them down; nothing else in the
 * program logs or counts. Times are in seconds, as Prometheus has them.
 */
export type Observation =
  | {
      kind: 'response'
      route: string
      /** The name of one of the sources of answers (sources.ts). */
      source: string
      state: State
      status: number
      /** From the end of the request's head to the response being written; of what is passed on, to the upstream's head. */
      seconds: number
      method: string
      /** Why an older answer was served in place of what the origin would have said. */
      fallbackReason?: string | undefined
      /** The path of the target, without its query: a query may hold what nobody should log. */
      path: string
      /** The X-Request-Id it came with, or was given (problem-reply). */
      requestId?: string | undefined
      /** How old what the cache answered was. */
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
  /** `label`: the tier as people read it. */
  | { kind: 'tier-bypassed'; tier: string; label: string; forMs: number }
  | { kind: 'tier-back'; tier: string; label: string }
  | { kind: 'redis-connection'; state: 'ready' | 'lost'; error?: unknown }
  /** An entry was dropped from memory for room. */
  | { kind: 'evicted'; key: string; bytes: number; readAt: number }
  /**
   * The origin has answered. `before`: the entry this replaces, if one is known that no invalidation has touched, and whether it
   * held the same bytes, and for how long it had waited, past its freshness, for somebody to ask for it. `readAt` is on this host's monotonic clock, in milliseconds.
   */
  | {
      kind: 'filled'
      route: string
      key: string
      readAt: number
      seconds: number
      /** `lifetime.fresh` of the route, as it was then. */
      freshMs: number
      before?: { readAt: number; isSame: boolean; waitedMs: number }
    }
  | { kind: 'collapsed'; route: string }
  /** Work refused to stay alive, and why. */
  | { kind: 'shed'; route: string; reason: RejectionReason }
  /** The degradation level (ops/degradation) has changed; `reason`: why it is not the best one. */
  | { kind: 'degradation'; level: DegradationLevel; before: DegradationLevel; reason?: string | undefined }
  /** `why`: what made it open. */
  | { kind: 'breaker'; name: string; state: BreakerState; why?: string | undefined }
  | { kind: 'fill-raced'; route: string }
  | { kind: 'refresh-failed'; route: string; error: unknown }
  | { kind: 'variant-failed'; error: unknown }
  /** Applied by this process; `lagSeconds`: since it was asked for, where that was this process. */
  | { kind: 'invalidated'; cause: Cause; soft: boolean; tags: readonly string[]; lagSeconds?: number }
  /** The database is followed; a heartbeat took this long from its commit to the log. Each second. */
  | { kind: 'followed'; lagSeconds: number }
  /** Something in the invalidation log may have been missed. */
  | { kind: 'log-gap' }
  | { kind: 'coherence'; state: Coherence; before: Coherence }
  /** Following the database (changes/leader) goes on in another way, or not at all; `why` is a sentence's end. */
  | { kind: 'changes'; state: FollowState; mode: string; why: string; error?: unknown }
  /** A hit whose statement was run again (cache/audit), or would have been. `ageSeconds`: of the entry, when it was compared. */
  | { kind: 'audited'; route: string; outcome: AuditOutcome; ageSeconds: number }
  /** The receiver of traces takes them no more, or again. */
  | { kind: 'traces'; state: 'lost' | 'back'; error?: unknown }
  /** It has been asked to end, and by what; or everything under way is done. */
  | { kind: 'draining'; signal: string }
  | { kind: 'drained'; seconds: number }
  /** The files of `listen.tls` were read anew, or could not be. */
  | { kind: 'certificate'; outcome: 'taken' | 'refused'; error?: unknown }
  /** What `warm` lists has been read at the start. */
  | { kind: 'warmed'; entries: number; failed: number; seconds: number }
  | { kind: 'config-reloaded'; routes: number; changed: readonly string[] }
  | { kind: 'config-refused'; error: unknown }
  /** Something the routes read was defined anew: those that read something else now, and what a start would refuse. */
  | { kind: 'redefined'; changed: readonly string[]; error: unknown }

/** Takes a fact. Must not throw and must not wait: it is called while a request is served. */
export type Observe = (fact: Observation) => void

export type FactKind = Observation['kind']
type FactsByKind = { [Fact in Observation as Fact['kind']]: Fact }
/** The facts of one kind, or of several. */
export type FactOf<Kind extends FactKind> = { [K in Kind]: FactsByKind[K] & { kind: K } }[Kind]
/** What is made of each kind of fact; of a kind that is not in it, nothing. */
export type FactTable<Result> = { readonly [Kind in FactKind]?: (fact: FactOf<Kind>) => Result }

/** What `table` makes of `fact`. */
export function lookUpFact<Kind extends FactKind, Result>(
  table: FactTable<Result>,
  fact: FactOf<Kind>,
): Result | undefined {
  return table[fact.kind]?.(fact)
}

/**
 * Takes every fact to everybody who listens, in the order in which they joined. A listener may observe facts of its own: they reach
 * everybody before the fact that caused them reaches those who joined later.
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
