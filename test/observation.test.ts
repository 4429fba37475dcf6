import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { type FactKind, type Observation, ObservationBus } from '../proxy/observation.ts'
import { eventsByFact } from '../proxy/ops/event-of-fact.ts'
import { Metrics } from '../proxy/ops/metrics.ts'

/** Neither counted nor logged: the recent events and the advice use it. */
const silent: readonly FactKind[] = ['filled']

/** The kinds of facts, from the source of the union. */
const kinds = [
  ...readFileSync(new URL('../proxy/observation.ts', import.meta.url), 'utf8').matchAll(/\bkind: '([\w-]+)'/g),
].map(([, kind = '']) => kind)

const counted = Object.keys(new Metrics().counting)
/** Responses are logged by a method of their own. */
const logged = [...Object.keys(eventsByFact), 'response']

const forgotten = (all: readonly string[]) => all.filter((kind) => ![...counted, ...logged, ...silent].includes(kind))

test('every kind of fact is counted, logged, or listed as silent', () => {
  expect(new Set(kinds).size).toBe(kinds.length)
  expect(kinds.length).toBeGreaterThan(25)
  expect(forgotten(kinds)).toEqual([])
})

test('twin: a kind that is neither is found', () => {
  expect(forgotten([...kinds, 'never-heard-of'])).toEqual(['never-heard-of'])
})

test('every kind listed as silent exists, and is neither counted nor logged', () => {
  expect(kinds).toEqual(expect.arrayContaining([...silent]))
  expect(silent.filter((kind) => [...counted, ...logged].includes(kind))).toEqual([])
})

test('a bus gives every fact to all its listeners, in the order they joined', () => {
  const bus = new ObservationBus()
  const seen: string[] = []
  bus.observe({ kind: 'log-gap' })
  for (const name of ['first', 'second']) bus.listen(({ kind }) => void seen.push(`${name} ${kind}`))
  bus.observe({ kind: 'log-gap' })
  bus.listen(({ kind }) => void seen.push(`third ${kind}`))
  bus.observe({ kind: 'fill-raced', route: 'plan' })
  expect(seen).toEqual(['first log-gap', 'second log-gap', 'first fill-raced', 'second fill-raced', 'third fill-raced'])
})

test('a fact that a listener observes reaches all listeners, after the fact that caused it', () => {
  const bus = new ObservationBus()
  const seen: Observation['kind'][] = []
  bus.listen(({ kind }) => void seen.push(kind))
  bus.listen(({ kind }) => {
    if (kind === 'log-gap') bus.observe({ kind: 'draining', signal: 'SIGTERM' })
  })
  bus.observe({ kind: 'log-gap' })
  expect(seen).toEqual(['log-gap', 'draining'])
})
