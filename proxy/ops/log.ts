// Observations written down.
import type { Logger } from 'pino'
import type { Clock } from '../clock.ts'
import { messageOf } from '../errors.ts'
import type { Observe } from '../observation.ts'
import type { DegradationLevel } from './degradation.ts'

/**
 * Writes observations down: each request at debug, slow and failed ones at warn, a line for each change of state.
 *
 * Nothing a client sent is written but the method and the path; of an error, its message and its SQLSTATE. A change of
 * state is told when it happens, and what it does to each request meanwhile is only counted: a dead Redis is one line, not thousands.
 */
export function logger(pino: Logger, slowSeconds: number, clock: Clock): Observe {
  const told = new Map<string, number>()
  /** Whether `what`, a name from the configuration, was not told in the last ten seconds. */
  const isNews = (what: string): boolean => {
    const at = told.get(what)
    if (at !== undefined && clock.now() - at < 10_000) return false
    told.set(what, clock.now())
    return true
  }
  const write: Observe = (fact) => {
    switch (fact.kind) {
      case 'response': {
        const isFailed = fact.status >= 500
        const isSlow = fact.seconds > slowSeconds
        if (!isFailed && !isSlow && !pino.isLevelEnabled('debug')) return
        const { kind: _kind, error, ...line } = fact
        if (isFailed) pino.warn({ ...line, ...described(error) }, 'failed')
        else if (isSlow) pino.warn(line, 'slow')
        else pino.debug(line, 'answered')
        return
      }
      case 'origin-query':
        if (fact.outcome !== 'ok' && isNews(`${fact.route} ${fact.outcome}`))
          pino.warn(
            { route: fact.route, outcome: fact.outcome, seconds: fact.seconds, ...described(fact.error) },
            'the statement of a route failed',
          )
        return
      case 'origin-connection-lost':
        return pino.warn(described(fact.error), 'a connection to PostgreSQL was lost')
      case 'redis-connection':
        return fact.state === 'ready'
          ? pino.info('connected to Redis')
          : pino.warn(described(fact.error), 'the connection to Redis was lost; going on without it')
      case 'tier-bypassed':
        return pino.warn({ tier: fact.tier, forMs: fact.forMs }, 'a tier does not answer and is passed by')
      case 'tier-back':
        return pino.info({ tier: fact.tier }, 'a tier answers again')
      case 'tier-error':
        // What Redis itself says is for people to mend: it is full, it wants a password.
        if (fact.error instanceof Error && fact.error.name === 'ReplyError' && isNews(`${fact.tier} ${fact.operation}`))
          return pino.warn({ tier: fact.tier, operation: fact.operation, ...described(fact.error) }, 'a tier refuses')
        return pino.debug(
          { tier: fact.tier, operation: fact.operation, reason: fact.reason, ...described(fact.error) },
          'a tier failed',
        )
      case 'refresh-failed':
        return pino.debug({ route: fact.route, ...described(fact.error) }, 'a refresh failed')
      case 'fill-raced':
        return pino.debug({ route: fact.route }, 'a fill was overtaken by an invalidation and is not kept')
      case 'invalidated':
        return fact.cause === 'barrier'
          ? pino.debug('another process goes on from a barrier of its own')
          : pino[fact.cause === 'purge' ? 'info' : 'debug'](
              { cause: fact.cause, soft: fact.soft, tags: fact.tags.slice(0, 20) },
              'invalidated',
            )
      case 'followed':
        return
      case 'log-gap':
        return pino.warn(
          'the invalidation log does not continue what was applied: what is held is not believed any more',
        )
      case 'coherence':
        return fact.state === 'degraded'
          ? pino.warn('invalidations cannot be followed: entries live a few seconds, until they can')
          : pino.info({ before: fact.before }, 'invalidations are followed')
      case 'variant-failed':
        return pino.warn(described(fact.error), 'an entry could not be compressed')
      case 'warmed':
        return pino.info(
          { entries: fact.entries, failed: fact.failed, seconds: fact.seconds },
          'what `warm` lists was read',
        )
      case 'config-reloaded':
        return pino.info({ routes: fact.routes, changed: fact.changed }, 'the configuration was reloaded')
      case 'config-refused':
        return pino.error(described(fact.error), 'the new configuration is refused; the old one stays')
      case 'redefined': {
        const { changed, error } = fact
        if (error !== undefined)
          pino.error(
            { changed, ...described(error) },
            'what the routes read was defined anew, so that a start would refuse it',
          )
        else pino.info({ changed }, 'what the routes read was defined anew')
        return
      }
      case 'shed':
        if (isNews(`${fact.route} ${fact.reason}`))
          pino.warn({ route: fact.route, reason: fact.reason }, 'requests are refused')
        return
      case 'degradation': {
        const { level: degradationLevel, before } = fact
        return degradationLevel === 'healthy'
          ? pino.info({ degradationLevel, before }, 'all is in use again')
          : pino.warn(
              { degradationLevel, before, reason: reasons[degradationLevel as DegradationLevel] },
              'going on with less',
            )
      }
      case 'breaker': {
        const { name, state, why } = fact
        if (state === 'closed') return pino.info({ breaker: name }, 'a breaker is closed again')
        if (state === 'open')
          return pino.warn({ breaker: name, reason: why }, 'a breaker is open: what it guards is left alone')
        return pino.debug({ breaker: name }, 'a breaker lets one through')
      }
      case 'changes': {
        const { state, mode, why, error } = fact
        const line = { state, mode, why, ...described(error) }
        return state === 'leading' || state === 'waiting'
          ? pino.info(line, 'the database is followed')
          : pino.warn(line, 'the database is not followed')
      }
      case 'certificate':
        return fact.outcome === 'taken'
          ? pino.info('the certificate was read anew')
          : pino.error(described(fact.error), 'the new certificate is refused; the old one stays')
      case 'audited':
        if (fact.outcome === 'mismatch' && isNews(`${fact.route} mismatch`))
          pino.warn(
            { route: fact.route, ageSeconds: fact.ageSeconds },
            'an audit found that what was served is not what the database says, and nothing has told of a change',
          )
        return
      case 'traces':
        return fact.state === 'back'
          ? pino.info('traces are taken again')
          : pino.warn(described(fact.error), 'traces are not taken; going on without them')
      case 'draining':
        return pino.info({ reason: fact.signal }, 'draining: what is under way is finished, nothing new is ready')
      case 'drained':
        return pino.info({ seconds: fact.seconds }, 'drained')
      case 'evicted':
      case 'filled':
      case 'collapsed':
        return
      default:
        fact satisfies never
    }
  }
  return write
}

/** What each degradation level below the first one means has happened. */
const reasons: Partial<Record<DegradationLevel, string>> = {
  'memory-only': 'Redis cannot be used',
  'stale-only': 'the database is left alone',
  shedding: 'more is asked for than can be done',
}

/** Why: the innermost cause's message, and its code if it has one. PostgreSQL quotes values in errors of class 22: not those. */
function described(error: unknown): { reason?: string; sqlState?: string } {
  let innermost = error
  while (innermost instanceof Error && innermost.cause !== undefined) innermost = innermost.cause
  if (innermost === undefined) return {}
  const sqlState = (innermost as { code?: unknown }).code
  const isAboutValue = typeof sqlState === 'string' && /^22\w{3}$/.test(sqlState)
  const reason = isAboutValue ? 'a value does not fit' : messageOf(innermost)
  return { reason, ...(typeof sqlState === 'string' && { sqlState }) }
}
