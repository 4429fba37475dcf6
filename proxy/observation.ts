/** Where an answer's bytes came from. */
export type Source = 'memory' | 'redis' | 'origin' | 'upstream' | 'none'

/** What the cache made of a request. */
export type State = 'fresh' | 'stale' | 'miss' | 'bypass' | 'error'

export type TierName = 'memory' | 'redis'

/**
 * Every fact the program reports, in one union. `ops/metrics` counts them, `ops/log` writes them down; nothing else in the
 * program logs or counts. Times are in seconds, as Prometheus has them.
 */
export type Observation =
  | {
      kind: 'response'
      route: string
      source: Source
      state: State
      status: number
      /** From the end of the request's head to the end of the response; of what is passed on, to the upstream's head. */
      seconds: number
      method: string
      /** The path of the target, without its query: a query may hold what nobody should log. */
      path: string
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
  | { kind: 'tier-error'; tier: TierName; operation: 'get' | 'set' | 'head' | 'lease'; reason: string; error?: unknown }
  | { kind: 'tier-bypassed'; tier: TierName; forMs: number }
  | { kind: 'tier-back'; tier: TierName }
  | { kind: 'redis-connection'; state: 'ready' | 'lost'; error?: unknown }
  | { kind: 'evicted' }
  | { kind: 'collapsed'; route: string }
  /** Work refused to stay alive, and why. */
  | { kind: 'shed'; route: string; reason: 'upstream-full' | 'queue-full' | 'too-late' | 'breaker-open' }
  /** The rung of the ladder (ops/ladder) has changed. */
  | { kind: 'rung'; rung: string; before: string }
  | { kind: 'breaker'; name: string; state: 'closed' | 'open' | 'half-open' }
  /** The origin has been asked for `key`, which holds nothing but declared parameters. */
  | { kind: 'filled'; route: string; key: string; seconds: number }
  | { kind: 'fill-raced'; route: string }
  | { kind: 'refresh-failed'; route: string; error: unknown }
  | { kind: 'variant-failed'; error: unknown }
  /** `lagSeconds`: from when it was asked for to when every tier it is for has heard of it, or could not. */
  | { kind: 'invalidated'; cause: 'purge' | 'soft-purge'; tags: readonly string[]; lagSeconds: number }
  /** The files of `listen.tls` were read anew, or could not be. */
  | { kind: 'certificate'; outcome: 'taken' | 'refused'; error?: unknown }
  | { kind: 'config-reloaded'; routes: number; changed: readonly string[] }
  | { kind: 'config-refused'; error: unknown }

/** Takes a fact. Must not throw and must not wait: it is called on the road of a request. */
export type Observe = (fact: Observation) => void

/** One observer out of several. */
export function observers(...all: Observe[]): Observe {
  return (fact) => {
    for (const observe of all) observe(fact)
  }
}
