import { stripVTControlCharacters } from 'node:util'
import pg from 'pg'
import { pino } from 'pino'
import { describe, expect, test } from 'vitest'
import { Problem } from '../proxy/errors.ts'
import type { Observation } from '../proxy/observation.ts'
import { events } from '../proxy/ops/events.ts'
import { FactLogger } from '../proxy/ops/log.ts'
import { prettyLine } from '../proxy/ops/pretty.ts'
import { trialFailed } from '../proxy/origin/breaker.ts'
import { ManualClock } from './support.ts'

/** What is written, at debug, for the facts given one after the other. */
function written(...facts: Observation[]) {
  const { clock, lines, observe } = setup()
  for (const fact of facts) {
    observe(fact)
    clock.pass(1)
  }
  return lines()
}

function setup() {
  const clock = new ManualClock()
  const texts: string[] = []
  const { observe } = new FactLogger(pino({ level: 'debug' }, { write: (text) => void texts.push(text) }), 0.5, clock)
  return { clock, observe, lines: () => texts.map((text) => JSON.parse(text)) }
}

/** As the client library makes it of what PostgreSQL reports. */
function postgresError(message: string, code: string): Error {
  const error = new pg.DatabaseError(message, message.length, 'error')
  return Object.assign(error, { severity: 'ERROR', code })
}

const response = {
  kind: 'response',
  route: 'plan',
  method: 'GET',
  path: '/api/plans/1',
  source: 'memory',
  state: 'fresh',
  status: 200,
  seconds: 0.001,
} as const
const [debug, info, warn] = [20, 30, 40]

test('a request is one line at debug; a slow one and a failed one are at warn', () => {
  const failed = {
    ...response,
    status: 503,
    state: 'error',
    source: 'none',
    error: new Problem('origin-unavailable', 'gone', { cause: new Error('connect ECONNREFUSED') }),
  } as const
  const lines = written(response, { ...response, seconds: 0.5 }, { ...response, seconds: 0.501 }, failed, {
    ...response,
    status: 404,
  })
  expect(lines.map(({ level, event }) => [level, event])).toEqual([
    [debug, 'request-answered'],
    [debug, 'request-answered'],
    [warn, 'request-slow'],
    [warn, 'request-failed'],
    [debug, 'request-answered'],
  ])
  expect(lines[0]).toMatchObject({
    route: 'plan',
    method: 'GET',
    path: '/api/plans/1',
    source: 'memory',
    cacheState: 'fresh',
    status: 200,
    durationSeconds: 0.001,
  })
  expect(lines[3]).toMatchObject({ error: 'connect ECONNREFUSED' })
})

test('a failing statement is logged once in ten seconds for each route and outcome, not for each request', () => {
  const { clock, observe, lines } = setup()
  const failure = {
    kind: 'origin-query',
    route: 'plan',
    outcome: 'unavailable',
    seconds: 1,
    error: postgresError('no', '57P03'),
  } as const
  observe(failure)
  clock.pass(9999)
  observe(failure)
  observe({ ...failure, route: 'county' })
  observe({ ...failure, outcome: 'timeout' })
  expect(lines()).toHaveLength(3)
  expect(lines()[0]).toMatchObject({
    level: warn,
    route: 'plan',
    queryOutcome: 'unavailable',
    error: 'no',
    sqlState: '57P03',
  })
  clock.pass(1)
  observe(failure)
  expect(lines()).toHaveLength(4)
  observe({ ...failure, outcome: 'ok' })
  expect(lines()).toHaveLength(4)
})

test('each change of state is a line with its error', () => {
  const lines = written(
    { kind: 'redis-connection', state: 'lost', error: new Error('read ECONNRESET') },
    { kind: 'redis-connection', state: 'ready' },
    { kind: 'tier-bypassed', tier: 'redis', label: 'Redis', forMs: 1000 },
    { kind: 'tier-back', tier: 'redis', label: 'Redis' },
    { kind: 'invalidated', cause: 'purge', soft: false, tags: ['county:51059'], lagSeconds: 0 },
    { kind: 'config-reloaded', routes: 14, changed: ['plan'] },
    { kind: 'config-refused', error: new Error('routes.plan.sql: is missing') },
    { kind: 'redefined', changed: ['plan'], error: undefined },
    { kind: 'redefined', changed: [], error: new Error('Route plan: its statement reads people, which is private.') },
    { kind: 'degradation', level: 'stale-only', before: 'healthy', reason: 'PostgreSQL: gone' },
    { kind: 'degradation', level: 'healthy', before: 'stale-only' },
    { kind: 'breaker', name: 'origin', state: 'open', why: '3 of 5 statements failed, 0 were slow' },
    { kind: 'breaker', name: 'origin', state: 'closed' },
    { kind: 'traces', state: 'lost', error: new Error('connect ECONNREFUSED') },
    { kind: 'traces', state: 'back' },
    { kind: 'draining', signal: 'SIGTERM' },
    { kind: 'drained', seconds: 1.5 },
  )
  expect(lines.map(({ level, event, error }) => [level, event, error])).toEqual([
    [warn, 'redis-disconnected', 'read ECONNRESET'],
    [info, 'redis-connected', undefined],
    [warn, 'tier-circuit-open', undefined],
    [info, 'tier-circuit-closed', undefined],
    [info, 'purged', undefined],
    [info, 'config-reloaded', undefined],
    [50, 'config-rejected', 'routes.plan.sql: is missing'],
    [info, 'schema-changed', undefined],
    [50, 'schema-rejected', 'Route plan: its statement reads people, which is private.'],
    [warn, 'degraded-stale-only', undefined],
    [info, 'healthy', undefined],
    [warn, 'circuit-open', undefined],
    [info, 'circuit-closed', undefined],
    [warn, 'traces-lost', 'connect ECONNREFUSED'],
    [info, 'traces-restored', undefined],
    [info, 'draining', undefined],
    [info, 'drained', undefined],
  ])
  const degraded = lines.find(({ event }) => event === 'degraded-stale-only')
  expect(degraded).toMatchObject({
    degradationReason: 'PostgreSQL: gone',
    action: events['degraded-stale-only'].action,
  })
  expect(lines.find(({ event }) => event === 'circuit-open')).toMatchObject({
    openReason: '3 of 5 statements failed, 0 were slow',
  })
})

test('a purge of everything is logged as everything; other tags stay unchanged', () => {
  const purged = { kind: 'invalidated', cause: 'purge', soft: false } as const
  const lines = written({ ...purged, tags: ['*'] }, { ...purged, tags: ['county:51059'] })
  expect(lines.map(({ tags }) => tags)).toEqual([['everything'], ['county:51059']])
})

test('a rejection by Redis is logged once in ten seconds for each operation; a missing reply at debug', () => {
  const full = Object.assign(new Error('OOM command not allowed'), { name: 'ReplyError' })
  const refused = { kind: 'tier-error', tier: 'redis', operation: 'set', reason: 'error', error: full } as const
  const lines = written(refused, refused, { ...refused, operation: 'lease' }, { ...refused, error: new Error('late') })
  expect(lines.map(({ level, error }) => [level, error])).toEqual([
    [warn, 'OOM command not allowed'],
    [debug, 'OOM command not allowed'],
    [warn, 'OOM command not allowed'],
    [debug, 'late'],
  ])
})

test('failed trials of a circuit that stays open are logged once in ten seconds', () => {
  const { clock, observe, lines } = setup()
  const breaker = (state: 'open' | 'half-open' | 'closed', why?: string) =>
    observe({ kind: 'breaker', name: 'origin', state, why })
  breaker('open', '3 of 5 statements failed, 0 were slow')
  for (let i = 0; i < 3; i += 1) {
    breaker('half-open')
    breaker('open', trialFailed)
  }
  const warnings = () => lines().flatMap(({ level, event }) => (level === warn ? [event] : []))
  expect(warnings()).toEqual(['circuit-open', 'circuit-open'])
  breaker('closed')
  breaker('open', '4 of 6 statements failed, 0 were slow')
  expect(warnings()).toHaveLength(3)
  clock.pass(10_000)
  breaker('open', trialFailed)
  expect(warnings()).toHaveLength(4)
})

test('a mismatch found by an audit is logged once in ten seconds for each route; other outcomes are only counted', () => {
  const { clock, observe, lines } = setup()
  const found = { kind: 'audited', route: 'plan', outcome: 'mismatch', ageSeconds: 42 } as const
  for (const outcome of ['match', 'overtaken', 'failed', 'skipped'] as const) observe({ ...found, outcome })
  expect(lines()).toEqual([])
  observe(found)
  observe(found)
  observe({ ...found, route: 'county' })
  expect(lines()).toMatchObject([{ level: warn, route: 'plan', ageSeconds: 42 }, { route: 'county' }])
  clock.pass(10_000)
  observe(found)
  expect(lines()).toHaveLength(3)
})

test('a failed request is logged with its request id', () => {
  const [line] = written({ ...response, status: 503, state: 'error', source: 'none', requestId: 'r-17' })
  expect(line).toMatchObject({ event: 'request-failed', requestId: 'r-17' })
})

describe('of an error', () => {
  const fieldsOf = (error: unknown) => {
    const [line] = written({ kind: 'origin-connection-lost', error })
    return { error: line.error, sqlState: line.sqlState, errorCode: line.errorCode }
  }
  const coded = (message: string, code: string) => Object.assign(new Error(message), { code })

  test.each([
    'EPIPE',
    'ECONNRESET',
    'ECONNREFUSED',
    'UND_ERR_SOCKET',
    'HPE_INVALID_CONSTANT',
    'FST_ERR_CTP_EMPTY_JSON_BODY',
  ])('the code %s is an errorCode, and no sqlState', (code) => {
    expect(fieldsOf(coded('it broke', code))).toEqual({ error: 'it broke', sqlState: undefined, errorCode: code })
  })

  test('an error of PostgreSQL has a sqlState and no errorCode', () => {
    const fields = { error: 'too many connections', sqlState: '53300', errorCode: undefined }
    expect(fieldsOf(postgresError('too many connections', '53300'))).toEqual(fields)
    const problem = new Problem('origin-unavailable', 'gone', { cause: postgresError('too many connections', '53300') })
    expect(fieldsOf(problem)).toEqual(fields)
  })

  test('a severity beside another code does not make that code a SQLSTATE', () => {
    const error = Object.assign(coded('no', 'ERR_X'), { severity: 'ERROR' })
    expect(fieldsOf(error)).toEqual({ error: 'no', sqlState: undefined, errorCode: 'ERR_X' })
  })

  test('a value that PostgreSQL quotes is never written', () => {
    const message = 'invalid input syntax for type integer: "secret"'
    expect(fieldsOf(postgresError(message, '22P02'))).toEqual({
      error: 'PostgreSQL rejected a value (data exception)',
      sqlState: '22P02',
      errorCode: undefined,
    })
    expect(JSON.stringify(fieldsOf(coded(message, '22P02')))).not.toContain('secret')
  })

  test('a Problem without a cause has its own code; an error without a code has none', () => {
    expect(fieldsOf(new Problem('shed', 'No room.'))).toMatchObject({ sqlState: undefined, errorCode: 'shed' })
    for (const [error, message] of [
      [new Error('plain'), 'plain'],
      ['text', 'text'],
      [null, 'null'],
    ] as const)
      expect(fieldsOf(error)).toEqual({ error: message, sqlState: undefined, errorCode: undefined })
  })
})

describe('on a terminal', () => {
  const plain = (line: string) => stripVTControlCharacters(prettyLine(line))

  test('a line is the time of the day, the level, the sentence, and each field by name', () => {
    const time = new Date(2014, 0, 2, 9, 5, 7).getTime()
    const line = JSON.stringify({ level: 40, time, route: 'plan', seconds: 0.5, msg: 'slow', path: '/a b' })
    expect(plain(line)).toBe('09:05:07 warn  slow route=plan seconds=0.5 path="/a b"\n')
  })

  test('no value can control the terminal', () => {
    const reason = 'a\x1b[2Jb\x9b31mc\nd'
    const shown = prettyLine(JSON.stringify({ level: 30, time: 0, msg: 'lost', reason }))
    expect(shown).toContain('"a\\u001b[2Jb\\u009b31mc\\nd"')
    expect(stripVTControlCharacters(shown).trimEnd()).toMatch(/^[ -~]*$/)
  })

  test('a line that is not JSON is shown unchanged', () => {
    expect(prettyLine('not JSON')).toBe('not JSON')
  })
})
