// Turns a fact into its event, for the log and for the recent events of the dashboard.
import type { FactOf, FactTable } from '../observation.ts'
import { trialFailed } from '../origin/breaker.ts'
import { tagInWords } from '../tags.ts'
import { type ErrorFields, errorFields } from './error-fields.ts'
import type { EventName, logFields } from './events.ts'

export type EventFields = { [Name in Exclude<keyof typeof logFields, 'event' | 'action'>]?: unknown }

/** One occurrence of an event. */
export interface ReportedEvent {
  event: EventName
  fields?: EventFields & ErrorFields
  /** What it concerns, by a name from the configuration or of this program; never a text that an error or a client brought. */
  about?: string
  /** Occurrences with the same subject are written once in ten seconds. */
  subject?: string
  /** Written for that subject in between; nothing, if absent. */
  meanwhile?: ReportedEvent
}

/** The event of each kind of fact; `undefined` for a fact that concerns nobody. A `response` is the log's own (ops/log). */
export const eventsByFact: FactTable<ReportedEvent | undefined> = {
  'origin-query': ({ route, outcome, seconds, error }) => {
    if (outcome === 'ok') return undefined
    const fields = { route, queryOutcome: outcome, durationSeconds: rounded(seconds), ...errorFields(error) }
    return { event: 'statement-failed', fields, subject: `${route} ${outcome}` }
  },
  'origin-connection-lost': ({ error }) => ({ event: 'postgres-connection-lost', fields: errorFields(error) }),
  'redis-connection': ({ state, error }) =>
    state === 'ready' ? { event: 'redis-connected' } : { event: 'redis-disconnected', fields: errorFields(error) },
  'tier-bypassed': ({ tier, label, forMs }) => ({
    event: 'tier-circuit-open',
    fields: { tier, bypassMs: forMs },
    about: label,
  }),
  'tier-back': ({ tier, label }) => ({ event: 'tier-circuit-closed', fields: { tier }, about: label }),
  'tier-error': ({ tier, operation, reason, error }) => {
    const fields = { tier, operation, tierFailure: reason, ...errorFields(error) }
    const failed: ReportedEvent = { event: 'tier-error', fields }
    // A reply of Redis itself needs a person: it is full, or it wants a password.
    if (!(error instanceof Error && error.name === 'ReplyError')) return failed
    return { event: 'tier-rejected', fields, subject: `${tier} ${operation}`, meanwhile: failed }
  },
  'refresh-failed': ({ route, error }) => ({ event: 'refresh-failed', fields: { route, ...errorFields(error) } }),
  'fill-raced': ({ route }) => ({ event: 'fill-discarded', fields: { route } }),
  invalidated: ({ cause, soft, tags }) => {
    if (cause === 'barrier') return { event: 'barrier-applied' }
    const fields = { invalidationCause: cause, soft, tags: tags.slice(0, 20).map(tagInWords) }
    return { event: cause === 'purge' ? 'purged' : 'invalidated', fields }
  },
  'log-gap': () => ({ event: 'invalidation-gap' }),
  coherence: ({ state, before }) => ({
    event: state === 'degraded' ? 'coherence-degraded' : 'coherence-synchronized',
    fields: { coherenceBefore: before },
  }),
  'variant-failed': ({ error }) => ({ event: 'compression-failed', fields: errorFields(error) }),
  warmed: ({ entries, failed, seconds }) => ({
    event: 'warmed',
    fields: { entries, failedEntries: failed, durationSeconds: rounded(seconds) },
  }),
  'config-reloaded': ({ routes, changed }) => ({
    event: 'config-reloaded',
    fields: { routes, changedRoutes: changed },
    about: changed.length === 0 ? 'no route changed' : someOf(changed),
  }),
  'config-refused': ({ error }) => ({ event: 'config-rejected', fields: errorFields(error) }),
  redefined: ({ changed, error }) => ({
    event: error === undefined ? 'schema-changed' : 'schema-rejected',
    fields: { changedRoutes: changed, ...errorFields(error) },
    ...(changed.length > 0 && { about: someOf(changed) }),
  }),
  shed: ({ route, reason }) => ({
    event: 'requests-shed',
    fields: { route, shedReason: reason },
    subject: `${route} ${reason}`,
  }),
  degradation: ({ level, before, reason }) => ({
    event: level === 'healthy' ? 'healthy' : `degraded-${level}`,
    fields: { degradationLevel: level, degradationBefore: before, degradationReason: reason },
  }),
  breaker: ({ name, state, why }) => ({
    event: `circuit-${state}`,
    fields: { circuitBreaker: name, openReason: why },
    about: name,
    // It stays open: the line of its opening is enough.
    ...(why === trialFailed && { subject: `circuit-open ${name}` }),
  }),
  changes: ({ state, mode, why, error }) => ({
    event: `following-${state}`,
    // An error says why it was lost; `why` is then still the reason for the method.
    fields: { followMode: mode, followReason: error === undefined ? why : undefined, ...errorFields(error) },
    ...((state === 'leading' || state === 'waiting') && { about: mode }),
  }),
  certificate: ({ outcome, error }) =>
    outcome === 'taken'
      ? { event: 'certificate-reloaded' }
      : { event: 'certificate-rejected', fields: errorFields(error) },
  audited: ({ route, outcome, ageSeconds }) =>
    outcome === 'mismatch'
      ? { event: 'audit-mismatch', fields: { route, ageSeconds }, subject: `${route} mismatch` }
      : undefined,
  traces: ({ state, error }) =>
    state === 'back' ? { event: 'traces-restored' } : { event: 'traces-lost', fields: errorFields(error) },
  draining: ({ signal }) => ({ event: 'draining', fields: { signal } }),
  drained: ({ seconds }) => ({ event: 'drained', fields: { durationSeconds: rounded(seconds) } }),
}

/** The event of a response that has to be written, and its fields. */
export function responseEvent(event: EventName, response: FactOf<'response'>): ReportedEvent {
  const { kind: _kind, state: cacheState, seconds, error, ...fields } = response
  return { event, fields: { ...fields, cacheState, durationSeconds: rounded(seconds), ...errorFields(error) } }
}

function someOf(names: readonly string[]): string {
  return `${names.slice(0, 10).join(', ')}${names.length > 10 ? ' …' : ''}`
}

/** Seconds, to the microsecond. */
function rounded(seconds: number): number {
  return Math.round(seconds * 1e6) / 1e6
}
