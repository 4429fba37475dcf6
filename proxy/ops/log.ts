// Observations written down.
import type { Logger } from 'pino'
import type { Clock } from '../clock.ts'
import { codeOf, messageOf } from '../errors.ts'
import { type FactOf, type FactTable, lookUpFact, type Observe } from '../observation.ts'
import { sqlState } from '../sql-state.ts'
import { tagInWords } from '../tags.ts'

interface LogLine {
  level: 'debug' | 'info' | 'warn' | 'error'
  text: string
  fields: Readonly<Record<string, unknown>>
  /** The line is written once in ten seconds for the same subject, made of names from the configuration. */
  subject?: string
  /** What is written for that subject meanwhile; nothing, if there is none. */
  meanwhile?: LogLine
}

type Fields = LogLine['fields']
const atDebug = (text: string, fields: Fields = {}): LogLine => ({ level: 'debug', text, fields })
const atInfo = (text: string, fields: Fields = {}): LogLine => ({ level: 'info', text, fields })
const atWarn = (text: string, fields: Fields = {}): LogLine => ({ level: 'warn', text, fields })
const atError = (text: string, fields: Fields = {}): LogLine => ({ level: 'error', text, fields })

/** The line for each kind of fact but `response`; no line for the others. */
export const factLines = {
  'origin-query': ({ route, outcome, seconds, error }) => {
    if (outcome === 'ok') return undefined
    const fields = { route, outcome, seconds, ...describeError(error) }
    return { ...atWarn('the statement of a route failed', fields), subject: `${route} ${outcome}` }
  },
  'origin-connection-lost': ({ error }) => atWarn('a connection to PostgreSQL was lost', describeError(error)),
  'redis-connection': ({ state, error }) =>
    state === 'ready'
      ? atInfo('connected to Redis')
      : atWarn('the connection to Redis was lost; going on without it', describeError(error)),
  'tier-bypassed': ({ tier, forMs }) => atWarn('a tier does not answer and is bypassed', { tier, forMs }),
  'tier-back': ({ tier }) => atInfo('a tier answers again', { tier }),
  'tier-error': ({ tier, operation, reason, error }) => {
    const failed = atDebug('a tier failed', { tier, operation, reason, ...describeError(error) })
    // What Redis itself says is for people to mend: it is full, it wants a password.
    if (!(error instanceof Error && error.name === 'ReplyError')) return failed
    const refused = atWarn('a tier refuses', { tier, operation, ...describeError(error) })
    return { ...refused, subject: `${tier} ${operation}`, meanwhile: failed }
  },
  'refresh-failed': ({ route, error }) => atDebug('a refresh failed', { route, ...describeError(error) }),
  'fill-raced': ({ route }) => atDebug('a fill was overtaken by an invalidation and is not kept', { route }),
  invalidated: ({ cause, soft, tags }) => {
    if (cause === 'barrier') return atDebug('another process goes on from a barrier of its own')
    const fields = { cause, soft, tags: tags.slice(0, 20).map(tagInWords) }
    return cause === 'purge' ? atInfo('invalidated', fields) : atDebug('invalidated', fields)
  },
  'log-gap': () =>
    atWarn('the invalidation log does not continue what was applied: what is held is not believed any more'),
  coherence: ({ state, before }) =>
    state === 'degraded'
      ? atWarn('invalidations cannot be followed: entries live a few seconds, until they can')
      : atInfo('invalidations are followed', { before }),
  'variant-failed': ({ error }) => atWarn('an entry could not be compressed', describeError(error)),
  warmed: ({ entries, failed, seconds }) => atInfo('what `warm` lists was read', { entries, failed, seconds }),
  'config-reloaded': ({ routes, changed }) => atInfo('the configuration was reloaded', { routes, changed }),
  'config-refused': ({ error }) => atError('the new configuration is refused; the old one stays', describeError(error)),
  redefined: ({ changed, error }) => {
    if (error === undefined) return atInfo('what the routes read was defined anew', { changed })
    const text = 'what the routes read was defined anew, so that a start would refuse it'
    return atError(text, { changed, ...describeError(error) })
  },
  shed: ({ route, reason }) => ({
    ...atWarn('requests are refused', { route, reason }),
    subject: `${route} ${reason}`,
  }),
  degradation: ({ level: degradationLevel, before, reason }) =>
    degradationLevel === 'healthy'
      ? atInfo('all is in use again', { degradationLevel, before })
      : atWarn('going on with less', { degradationLevel, before, reason }),
  breaker: ({ name: breaker, state, why }) => {
    if (state === 'closed') return atInfo('a breaker is closed again', { breaker })
    if (state === 'open') return atWarn('a breaker is open: what it guards is left alone', { breaker, reason: why })
    return atDebug('a breaker lets one through', { breaker })
  },
  changes: ({ state, mode, why, error }) => {
    const fields = { state, mode, why, ...describeError(error) }
    return state === 'leading' || state === 'waiting'
      ? atInfo('the database is followed', fields)
      : atWarn('the database is not followed', fields)
  },
  certificate: ({ outcome, error }) =>
    outcome === 'taken'
      ? atInfo('the certificate was read anew')
      : atError('the new certificate is refused; the old one stays', describeError(error)),
  audited: ({ route, outcome, ageSeconds }) => {
    if (outcome !== 'mismatch') return undefined
    const text = 'an audit found that what was served is not what the database says, and nothing has told of a change'
    return { ...atWarn(text, { route, ageSeconds }), subject: `${route} mismatch` }
  },
  traces: ({ state, error }) =>
    state === 'back'
      ? atInfo('traces are taken again')
      : atWarn('traces are not taken; going on without them', describeError(error)),
  draining: ({ signal }) => atInfo('draining: what is under way is finished, nothing new is ready', { reason: signal }),
  drained: ({ seconds }) => atInfo('drained', { seconds }),
} satisfies FactTable<LogLine | undefined>

/** A subject is news again after this long. */
const newsAfterMs = 10_000

/**
 * Writes observations down: each request at debug, slow and failed ones at warn, a line for each change of state.
 *
 * Nothing a client sent is written but the method and the path; of an error, its message and its code. A change of
 * state is written when it happens, and what it does to each request meanwhile is only counted: a dead Redis is one line, not thousands.
 */
export class FactLogger {
  readonly #pino: Logger
  readonly #slowSeconds: number
  readonly #clock: Clock
  /** When each subject was last written of. */
  readonly #writtenAt = new Map<string, number>()

  constructor(pino: Logger, slowSeconds: number, clock: Clock) {
    this.#pino = pino
    this.#slowSeconds = slowSeconds
    this.#clock = clock
  }

  readonly observe: Observe = (fact) => {
    const line = fact.kind === 'response' ? this.#responseLine(fact) : lookUpFact(factLines, fact)
    if (line !== undefined) this.#write(line)
  }

  /** Most responses are not written: nothing is made of them. */
  #responseLine(response: FactOf<'response'>): LogLine | undefined {
    const isFailed = response.status >= 500
    const isSlow = response.seconds > this.#slowSeconds
    if (!isFailed && !isSlow && !this.#pino.isLevelEnabled('debug')) return undefined
    const { kind: _kind, error, ...fields } = response
    if (isFailed) return atWarn('failed', { ...fields, ...describeError(error) })
    return isSlow ? atWarn('slow', fields) : atDebug('answered', fields)
  }

  #write({ level, text, fields, subject, meanwhile }: LogLine): void {
    if (subject === undefined || this.#isNews(subject)) this.#pino[level](fields, text)
    else if (meanwhile !== undefined) this.#write(meanwhile)
  }

  #isNews(subject: string): boolean {
    const now = this.#clock.now()
    const writtenAt = this.#writtenAt.get(subject)
    if (writtenAt !== undefined && now - writtenAt < newsAfterMs) return false
    this.#writtenAt.set(subject, now)
    return true
  }
}

/** A SQLSTATE, or the code of whatever else has failed: Node's, undici's, the framework's, ours. */
type DescribedError = {
  reason?: string
  sqlState?: string
  errorCode?: string
}

/** Why: the innermost cause's message, and its code if it has one. PostgreSQL quotes values in errors of class 22: not those. */
function describeError(error: unknown): DescribedError {
  let innermost = error
  while (innermost instanceof Error && innermost.cause !== undefined) innermost = innermost.cause
  if (innermost === undefined) return {}
  const code = codeOf(innermost)
  const reason = /^22\w{3}$/.test(code ?? '') ? 'a value does not fit' : messageOf(innermost)
  const state = sqlState(innermost)
  if (state !== undefined) return { reason, sqlState: state }
  return code === undefined ? { reason } : { reason, errorCode: code }
}
