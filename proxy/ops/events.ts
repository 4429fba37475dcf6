// The texts of all events: stable name, level, sentence, next step; and the fields of the log.
export interface EventText {
  level: 'debug' | 'info' | 'warn' | 'error'
  /** The same for each occurrence; everything variable is in fields. */
  sentence: string
  /** The next step of the operator, where there is one. */
  action?: string
}

const text = (level: EventText['level']) => (sentence: string, action?: string) =>
  action === undefined ? { level, sentence } : { level, sentence, action }
const [debug, info, warn, error] = [text('debug'), text('info'), text('warn'), text('error')]

/** The texts of all events, by the name in the log field `event`. Names are stable: alerts and searches depend on them. */
export const events = {
  'request-answered': debug('Answered a request.'),
  'request-slow': warn(
    'A request took longer than log.slow.',
    'On the dashboard, open the route. Slow fills: check PostgreSQL. None: check waiting statements. Route `none`: check the upstream.',
  ),
  'request-failed': warn(
    'Answered a request with a server error (5xx).',
    'Read `error`. The runbook lists the causes of each status under symptoms.',
  ),
  'requests-shed': warn(
    'Rejecting requests to protect the service; a route may serve an older answer instead.',
    'Read `shedReason`; the runbook section OnrampShedding has a step for each reason.',
  ),
  'statement-failed': warn(
    'The SQL statement of a route failed; stale answers are served where the route allows them.',
    'Check PostgreSQL. If `sqlState` begins with 42 (an error in the SQL), run `onramp check --db`.',
  ),
  'postgres-connection-lost': warn(
    'Lost a connection to PostgreSQL; the pool opens another when it needs one.',
    'If this repeats, read the PostgreSQL log: a restart, a failover or an idle timeout closes connections.',
  ),
  'redis-connected': info('Connected to Redis.'),
  'redis-disconnected': warn(
    'Lost the connection to Redis; answers come from memory and PostgreSQL until it is back.',
    'Check that Redis runs and is reachable at redis.url. onramp reconnects by itself.',
  ),
  'tier-circuit-open': warn(
    'The circuit breaker of a cache tier opened: the tier is bypassed until a trial succeeds.',
    'Check Redis: its connection, latency and load. onramp uses it again after its first successful reply.',
  ),
  'tier-circuit-closed': info('The circuit breaker of a cache tier closed: the tier is used again.'),
  'tier-error': debug('An operation on a cache tier failed; the request continued without the tier.'),
  'tier-rejected': warn(
    'Redis rejected a command; the request continued without Redis.',
    'Read `error`: Redis may be full (maxmemory), read-only, or lack a permission for this user.',
  ),
  'refresh-failed': debug('A background refresh failed; the stale answer stays.'),
  'fill-discarded': debug('Did not cache an answer: an invalidation arrived while its statement ran.'),
  purged: info('Applied a purge.'),
  invalidated: debug('Applied an invalidation.'),
  'barrier-applied': debug('Applied a barrier that another process appended to the invalidation log.'),
  'invalidation-gap': warn(
    'Invalidations may have been missed: cached entries are distrusted and read again.',
    'If this repeats, check Redis for restarts, FLUSHALL or evicted keys.',
  ),
  'coherence-degraded': warn(
    'Invalidations cannot be followed: entries are served for 2 to 5 s only, longer if PostgreSQL fails.',
    'Find redis-disconnected or following-lost in the lines before; /ready shows the state of both.',
  ),
  'coherence-synchronized': info('Synchronized with the invalidation log: entries live their full lifetime.'),
  'compression-failed': warn('Could not compress an entry; it is served uncompressed.'),
  warmed: info('Read the entries of the warm list.'),
  'config-reloaded': info('Reloaded the configuration.'),
  'config-rejected': error(
    'Rejected the new configuration; the previous one stays in use.',
    'Correct the faults named in `error`, then reload again.',
  ),
  'schema-changed': info('Tables, views or functions of some routes were redefined; their routes were prepared again.'),
  'schema-rejected': error(
    'Tables, views or functions were redefined so that a start would fail; a route that exposes a private table gets 503.',
    'Read `error`, then change the route or the database. `onramp check --db` shows the result.',
  ),
  'degraded-memory-only': warn(
    'Degraded to memory-only: a cache tier cannot be used, so PostgreSQL gets more statements.',
    'Check Redis. onramp reconnects by itself; do not restart onramp, its memory is needed now.',
  ),
  'degraded-stale-only': warn(
    'Degraded to stale-only: PostgreSQL fails, so cached answers are served past their lifetime.',
    'Check PostgreSQL. onramp retries by itself; do not restart onramp, its cache is needed now.',
  ),
  'degraded-shedding': warn(
    'Degraded to shedding: some requests are rejected so that the others are answered in time.',
    'Read `degradationReason`; the runbook section OnrampShedding has a step for each reason.',
  ),
  healthy: info('Healthy again: all cache tiers and PostgreSQL are in use.'),
  'circuit-open': warn(
    'A circuit breaker opened: its statements are not sent, and stale answers are served where possible.',
    'Read `circuitBreaker`. `origin`: check PostgreSQL. A route: check the statement of that route.',
  ),
  'circuit-half-open': debug('A circuit breaker lets one trial statement through.'),
  'circuit-closed': info('A circuit breaker closed: its statements are sent again.'),
  'following-leading': info('This process follows the changes of the database.'),
  'following-waiting': info('Another process follows the changes of the database; this one stands by.'),
  'following-lost': warn(
    'Lost the stream of database changes; until it is back, entries are served for 2 to 5 s only.',
    'Check PostgreSQL. If it runs, check its replication slots, its WAL senders and the rights of the role.',
  ),
  'following-off': warn(
    'The changes of the database are not followed: entries are served until they expire.',
    'Purge after each change, or enable following: `onramp check --db` shows what is missing.',
  ),
  'certificate-reloaded': info('Reloaded the TLS certificate.'),
  'certificate-rejected': error(
    'Rejected the new TLS certificate; the previous one stays in use.',
    'Correct the files of listen.tls. They are read again when they change.',
  ),
  'audit-mismatch': warn(
    'An audit found an answer that differs from the database, although no change was reported.',
    'Purge the route now. Then follow its table, correct `rows`, or shorten lifetime.fresh.',
  ),
  'traces-lost': warn(
    'The trace receiver does not accept spans; they are dropped.',
    'Check the receiver at traces.url. onramp sends again when it is back.',
  ),
  'traces-restored': info('The trace receiver accepts spans again.'),
  draining: info('Draining: open requests are finished, new connections are refused.'),
  drained: info('Drained: all client connections are closed.'),
} as const satisfies Record<string, EventText>

export type EventName = keyof typeof events

/** Every field of the log beside `level`, `time` and `msg`, and its one meaning. */
export const logFields = {
  event: 'Stable name of the event',
  action: 'Next step of the operator, where there is one',
  error: 'Message of the error that caused the event',
  sqlState: 'SQLSTATE of that error, if PostgreSQL reported it',
  errorCode: 'Code of that error, if Node.js, a library or onramp gave it one',
  route: 'Name of the route; `none` for requests to the upstream',
  method: 'HTTP method of the request',
  path: 'Path of the request, without its query',
  status: 'HTTP status of the response',
  requestId: 'X-Request-Id of the request',
  source: 'Source of the answer: a cache tier, `origin`, `upstream` or `none`',
  cacheState: 'State of the answer in the cache: `fresh`, `stale`, `miss`, `bypass` or `error`',
  fallbackReason: 'Reason why an older answer was served',
  ageSeconds: 'Age of the answer, in seconds',
  durationSeconds: 'Duration of what the event reports, in seconds',
  queryOutcome: 'Outcome of a statement: `timeout`, `unavailable` or `failed`',
  shedReason: 'Reason why requests were rejected',
  tier: 'Name of the cache tier',
  operation: 'Operation on the tier: `get`, `set`, `log` or `lease`',
  tierFailure: 'Kind of failure of the tier: `timeout`, `error`, or the fault of an unreadable value',
  bypassMs: 'Time until the next trial of a bypassed tier, in milliseconds',
  invalidationCause: 'Cause of an invalidation: `purge`, `change` or `missed`',
  soft: 'Whether the entries may be served once more while they are refreshed',
  tags: 'Invalidated tags, at most 20',
  coherenceBefore: 'Coherence before the event: `starting`, `synchronized` or `degraded`',
  entries: 'Number of entries read',
  failedEntries: 'Number of entries that could not be read',
  routes: 'Number of configured routes',
  changedRoutes: 'Names of the routes that changed',
  degradationLevel: 'Degradation level after the event',
  degradationBefore: 'Degradation level before the event',
  degradationReason: 'Cause of the degradation: dependency and error',
  circuitBreaker: 'Name of the circuit breaker: `origin`, or the tag of a route',
  openReason: 'Failures that opened the circuit breaker',
  followMode: 'Method of following the database: `replication`, `notify` or `off`',
  followReason: 'Reason for the method, or for not following',
  signal: 'Signal that asked the process to stop',
} as const satisfies Record<string, string>
