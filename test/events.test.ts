import { readFileSync } from 'node:fs'
import { pino } from 'pino'
import { describe, expect, test } from 'vitest'
import type { FactKind, FactOf, Observation } from '../proxy/observation.ts'
import { type EventText, events, logFields } from '../proxy/ops/events.ts'
import { FactLogger } from '../proxy/ops/log.ts'
import { ManualClock } from './support.ts'

const rejectedByRedis = Object.assign(new Error('OOM command not allowed'), { name: 'ReplyError' })
const ofPostgres = Object.assign(new Error('out of connections'), { code: '53300', severity: 'FATAL' })
const ofNode = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' })
const response: FactOf<'response'> = {
  ...{ kind: 'response', route: 'plan', source: 'memory', state: 'fresh', status: 200, seconds: 0.001 },
  ...{ method: 'GET', path: '/', fallbackReason: 'soft-timeout', requestId: 'r-1', ageSeconds: 1 },
}
const query = { kind: 'origin-query', route: 'plan', outcome: 'timeout', seconds: 1, error: ofPostgres } as const

/** Facts of each kind that becomes an event. */
const facts: { [Kind in FactKind]?: FactOf<Kind>[] } = {
  response: [response, { ...response, seconds: 2 }, { ...response, status: 503, error: ofNode }],
  'origin-query': [{ ...query, outcome: 'ok' }, query],
  'origin-connection-lost': [{ kind: 'origin-connection-lost', error: ofPostgres }],
  'tier-error': [
    { kind: 'tier-error', tier: 'redis', operation: 'get', reason: 'timeout', error: ofNode },
    { kind: 'tier-error', tier: 'redis', operation: 'set', reason: 'error', error: rejectedByRedis },
  ],
  'tier-bypassed': [{ kind: 'tier-bypassed', tier: 'redis', label: 'Redis', forMs: 1000 }],
  'tier-back': [{ kind: 'tier-back', tier: 'redis', label: 'Redis' }],
  'redis-connection': [
    { kind: 'redis-connection', state: 'ready' },
    { kind: 'redis-connection', state: 'lost', error: ofNode },
  ],
  shed: [{ kind: 'shed', route: 'plan', reason: 'queue-full' }],
  degradation: (['healthy', 'memory-only', 'stale-only', 'shedding'] as const).map((level) => ({
    kind: 'degradation',
    level,
    before: 'healthy',
    reason: 'Redis: gone',
  })),
  breaker: (['open', 'half-open', 'closed'] as const).map((state) => ({
    kind: 'breaker',
    name: 'origin',
    state,
    why: '3 of 5 failed',
  })),
  'fill-raced': [{ kind: 'fill-raced', route: 'plan' }],
  'refresh-failed': [{ kind: 'refresh-failed', route: 'plan', error: ofPostgres }],
  'variant-failed': [{ kind: 'variant-failed', error: new Error('no memory') }],
  invalidated: (['purge', 'change', 'missed', 'barrier'] as const).map((cause) => ({
    kind: 'invalidated',
    cause,
    soft: true,
    tags: ['*'],
  })),
  'log-gap': [{ kind: 'log-gap' }],
  coherence: (['synchronized', 'degraded'] as const).map((state) => ({ kind: 'coherence', state, before: 'starting' })),
  changes: [
    ...(['leading', 'waiting', 'off'] as const).map((state) => ({
      ...{ kind: 'changes' as const, state, mode: 'replication', why: 'the server allows it' },
    })),
    { kind: 'changes', state: 'lost', mode: 'replication', why: 'the server allows it', error: ofPostgres },
  ],
  audited: [{ kind: 'audited', route: 'plan', outcome: 'mismatch', ageSeconds: 1 }],
  traces: [
    { kind: 'traces', state: 'lost', error: ofNode },
    { kind: 'traces', state: 'back' },
  ],
  draining: [{ kind: 'draining', signal: 'SIGTERM' }],
  drained: [{ kind: 'drained', seconds: 1 }],
  certificate: [
    { kind: 'certificate', outcome: 'taken' },
    { kind: 'certificate', outcome: 'refused', error: ofNode },
  ],
  warmed: [{ kind: 'warmed', entries: 3, failed: 1, seconds: 1 }],
  'config-reloaded': [{ kind: 'config-reloaded', routes: 2, changed: ['plan'] }],
  'config-refused': [{ kind: 'config-refused', error: new Error('routes: is missing') }],
  redefined: [
    { kind: 'redefined', changed: ['plan'], error: undefined },
    { kind: 'redefined', changed: ['plan'], error: new Error('private') },
  ],
}

/** The lines that the log has of `facts`, at level debug. */
function written(all: readonly Observation[]): Record<string, unknown>[] {
  const lines: Record<string, unknown>[] = []
  const logger = new FactLogger(
    pino({ level: 'debug', base: null }, { write: (line) => void lines.push(JSON.parse(line)) }),
    0.5,
    new ManualClock(),
  )
  for (const fact of all) logger.observe(fact)
  return lines
}

const lines = written(Object.values(facts).flat())
const byName = Object.entries<EventText>(events)

test('every event is written for some fact, under its name, with its sentence and its action', () => {
  const names = new Set(lines.map(({ event }) => event))
  expect([...names].sort()).toEqual(Object.keys(events).sort())
  for (const line of lines) {
    const { sentence, action } = events[line.event as keyof typeof events] as EventText
    expect([line.msg, line.action]).toEqual([sentence, action])
  }
})

/** Violations of the form that an event has. */
function faultsOf(name: string, { level, sentence, action }: EventText): string[] {
  const faults: [isBroken: boolean, fault: string][] = [
    [!/^[a-z]+(-[a-z]+)*$/.test(name), 'its name is not in kebab case'],
    [sentence.length >= 120, 'its sentence has 120 characters or more'],
    [!/^[A-Z].*\.$/.test(sentence), 'its sentence does not begin with a capital and end with a full stop'],
    [/\$\{|[a-z]+=|:\/\//.test(sentence), 'its sentence has a variable part'],
    [action !== undefined && !/^[A-Z].*\.$/.test(action), 'its action is no sentence'],
    [(action?.length ?? 0) > 140, 'its action has over 140 characters'],
    [level === 'error' && action === undefined, 'an error without an action'],
  ]
  return faults.flatMap(([isBroken, fault]) => (isBroken ? [`${name}: ${fault}`] : []))
}

test('an event has a stable name, a sentence under 120 characters, and an action that is a sentence', () => {
  expect(byName.flatMap(([name, event]) => faultsOf(name, event))).toEqual([])
})

/** Warnings that leave the operator nothing to do. */
const withoutAction = ['compression-failed']

test('every warning has an action, but for those that leave nothing to do', () => {
  const silent = byName.filter(([, { level, action }]) => level === 'warn' && action === undefined)
  expect(silent.map(([name]) => name)).toEqual(withoutAction)
})

describe('twins: the form refuses', () => {
  const good: EventText = { level: 'warn', sentence: 'Redis was lost.', action: 'Check Redis.' }
  test.each<[string, EventText]>([
    ['Bad Name', good],
    ['long', { ...good, sentence: `${'a'.repeat(119).replace('a', 'A')}.` }],
    ['no-stop', { ...good, sentence: 'Redis was lost' }],
    ['small', { ...good, sentence: 'redis was lost.' }],
    ['address', { ...good, sentence: 'Redis redis://host was lost.' }],
    ['no-action', { level: 'error', sentence: 'Redis was lost.' }],
    ['no-sentence', { ...good, action: 'check' }],
  ])('%s', (name, event) => {
    expect(faultsOf(name, event)).toHaveLength(1)
    expect(faultsOf('redis-lost', good)).toEqual([])
  })
})

/** Kinds of values by field: a field with one meaning has one. */
function kindsOfFields(all: readonly Record<string, unknown>[]): Map<string, Set<string>> {
  const kinds = new Map<string, Set<string>>()
  for (const { level: _level, time: _time, msg: _msg, ...fields } of all) {
    for (const [name, value] of Object.entries(fields)) {
      const kind = Array.isArray(value) ? 'list' : typeof value
      kinds.set(name, (kinds.get(name) ?? new Set()).add(kind))
    }
  }
  return kinds
}

test('every field of the log is listed with its meaning, and every listed field is written', () => {
  expect([...kindsOfFields(lines).keys()].sort()).toEqual(Object.keys(logFields).sort())
})

test('a field holds one kind of value; names say the unit; SQLSTATEs and other codes have fields of their own', () => {
  for (const [name, kinds] of kindsOfFields(lines)) expect([name, kinds.size]).toEqual([name, 1])
  const numbers = [...kindsOfFields(lines)].flatMap(([name, kinds]) => (kinds.has('number') ? [name] : []))
  const counts = ['status', 'entries', 'failedEntries', 'routes']
  expect(numbers.filter((name) => !/(Seconds|Ms)$/.test(name)).sort()).toEqual(counts.sort())
  for (const { sqlState = '53300', errorCode = 'ECONNREFUSED' } of lines) {
    expect([sqlState, errorCode]).toEqual(['53300', 'ECONNREFUSED'])
  }
})

test('twin: a field with two kinds of values is found', () => {
  expect(kindsOfFields([{ a: 1 }, { a: 'one' }]).get('a')?.size).toBe(2)
})

test('every event that the runbook names is one that the log has', () => {
  const runbook = readFileSync(new URL('../config/deploy/README.md', import.meta.url), 'utf8')
  const prose = runbook.replace(/<!-- (\S+) -->[\s\S]*?<!-- \/\1 -->/g, '')
  const sentences = prose.split(/(?<=[.:])\s/).filter((sentence) => /\b(events?|log line)\b/.test(sentence))
  const named = sentences.flatMap((sentence) => [...sentence.matchAll(/`([a-z]+(?:-[a-z]+)+|healthy)`/g)])
  const names = named.map(([, name = '']) => name)
  expect(names.length).toBeGreaterThan(5)
  expect(names.filter((name) => !(name in events))).toEqual([])
})
