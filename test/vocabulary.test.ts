import { describe, expect, test } from 'vitest'
import { namesIn, wordsOf } from './structure/names.ts'
import { SourceFile } from './structure/source.ts'
import { oldNames, oldNamesInUse } from './structure/vocabulary.ts'

test('no name that was replaced is in use', () => {
  expect(oldNamesInUse()).toEqual([])
})

describe.each(oldNames().map((old) => [old.old, old] as const))('the pattern of %s', (_old, old) => {
  const pattern = new RegExp(old.pattern)
  const bare = (name: string) => wordsOf(name.replace(/\.[a-z]+$/, ''))

  test('hits its names, and spares those that only look like them', () => {
    expect(old.hits.filter((name) => !pattern.test(bare(name)))).toEqual([])
    expect((old.spares ?? []).filter((name) => pattern.test(bare(name)))).toEqual([])
  })
})

test('one name has the same words however it is spelled', () => {
  for (const name of ['isBusy', 'IsBusy', 'is_busy', 'is-busy', 'is busy', '#isBusy']) {
    expect(wordsOf(name)).toBe('-is-busy-')
  }
  expect(wordsOf('HTTPServer2')).toBe('-http-server2-')
})

test('names are found where they are given, and codes where they are strings; comments, prose and what is only read are not', () => {
  const text = `// a lonely word
import { imported } from 'package'
export interface Shape { field: 'kind-a' | 'kind-b'; method(argument: string): void }
const local = 'two words'
export class Part { #state = foreign.property; get own() { return 'This is a sentence.' } }
function outer({ key: renamed }) { const inner = { member: 1, 'quoted-key': 2 } }`
  const found = namesIn(new SourceFile('proxy/one.ts', text))
  const of = (kind: string) => found.filter(({ kinds }) => kinds.some((one) => one === kind)).map((one) => one.text)
  expect(of('export')).toEqual(['Shape', 'Part'])
  expect(of('top')).toEqual(['Shape', 'local', 'Part', 'outer'])
  expect(of('member')).toEqual(['field', 'method', 'state', 'own', 'member', 'quoted-key'])
  expect(of('code')).toEqual(['kind-a', 'kind-b', 'two words'])
  expect(of('name')).toEqual(expect.arrayContaining(['argument', 'foreign', 'renamed', 'inner']))
  for (const absent of ['imported', 'property', 'package', 'lonely']) expect(of('name')).not.toContain(absent)
})
