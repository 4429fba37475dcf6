// Whatever an attacker requests, later clients get the correct answer from one entry.
import { describe, expect, test } from 'vitest'
import { askOnce } from '../wire/client.ts'
import { valuesOf } from '../wire/fields.ts'
import { requestOf } from '../wire/messages.ts'
import type { Attack } from './attack.ts'
import { contentAttacks } from './cases/content.ts'
import { fieldAttacks, ignoredFields, strangeFields } from './cases/fields.ts'
import { methodAttacks } from './cases/methods.ts'
import { postAttacks } from './cases/posts.ts'
import { queryAttacks } from './cases/queries.ts'
import { naiveCache } from './naive-cache.ts'
import { attackStage, keptOf, keysOf } from './stage.ts'

const stage = attackStage()

const subjects = { ...fieldAttacks, ...queryAttacks, ...contentAttacks, ...methodAttacks, ...postAttacks }
describe.for(Object.entries(subjects))('%s', ([, attacks]) => {
  for (const attack of attacks) test(attack.name, () => stage.expectHarmless(attack))
})

describe('fields of an attacker’s request change nothing for others', () => {
  test.each(ignoredFields)('%s is ignored: the answer is the whole', async (name) => {
    const { target } = stage.fresh('county')
    const right = await stage.rightAnswer(target)
    for (let i = 0; i < 2; i += 1)
      expect(keptOf(await askOnce(stage.app.url, requestOf('GET', target, strangeFields[name])))).toEqual(right)
  })
})

describe('a query with additional parameters', () => {
  test('with a value that other parsers take for a second parameter is a read of its own', async () => {
    const { app } = stage
    for (const [value, plain] of [
      ['silver;year=2015', 'silver'],
      ['gold%26year=2015', 'gold'],
      ['bronze%00', 'bronze'],
    ]) {
      const target = `/api/plans/names?q=${plain}`
      const right = await stage.rightAnswer(target)
      const cloaked = await askOnce(app.url, requestOf('GET', `/api/plans/names?q=${value}`))
      const victim = await askOnce(app.url, requestOf('GET', target))
      expect(keptOf(victim)).toEqual(right)
      expect(valuesOf(victim.fields, 'cache-status')).toEqual(['onramp; fwd=uri-miss; stored; detail=origin'])
      if (plain === 'bronze') expect(cloaked.status).toBe(400)
      else expect(cloaked.content.toString()).toBe('[]')
    }
    const keys = (await keysOf(app, 'plan-names')).map((key) => key.slice(key.indexOf('?')))
    const values = ['silver', 'silver%3Byear%3D2015', 'gold', 'gold%26year%3D2015', 'bronze']
    expect(keys.sort()).toEqual(values.map((q) => `?q=${q}&year=2014`).sort())
  })
})

describe('errors do not affect others', () => {
  test('a missing row is a 404 that no client may store, and that does not affect other keys', async () => {
    const target = '/api/counties/00000'
    const expected = { status: [404], fields: { 'Cache-Control': ['no-store'], ETag: [] } }
    // The missing row is cached from here on: later requests query the origin for the victim only.
    expect((await askOnce(stage.app.url, requestOf('GET', target))).status).toBe(404)
    const attack: Attack = { name: 'no row', requests: [{ target, expected }], reads: ['county'], fillsNothing: true }
    await stage.expectHarmless(attack)
  })
})

test('Cache-Status reveals neither the key nor the request', async () => {
  const read = /^onramp; (hit; ttl=\d+; detail=memory|fwd=uri-miss; stored; detail=origin|fwd=bypass; detail=upstream)$/
  for (const target of [stage.fresh('search').target, stage.fresh('county').target, '/not/a/route?secret=1']) {
    for (let i = 0; i < 2; i += 1) {
      const { fields } = await askOnce(stage.app.url, requestOf('GET', target))
      expect(valuesOf(fields, 'cache-status').join()).toMatch(read)
    }
  }
})

describe('twins: a cache that keeps the first answer is harmed, and the harm is detected', () => {
  const attacks: Attack[] = [
    { name: 'X-Forwarded-Host', requests: [{ fields: ['X-Forwarded-Host: evil.example'] }] },
    { name: 'Host', requests: [{ fields: ['Host: evil.example'] }] },
    { name: 'HEAD first', requests: [{ method: 'HEAD' }] },
  ]
  for (const attack of attacks)
    test(attack.name, async () => {
      const naive = await naiveCache(stage, (request) => request.url ?? '')
      expect(await stage.harmSeen(naive, attack, 'county')).not.toEqual([])
    })

  test('an additional parameter makes another entry if the key is the whole target', async () => {
    const target = '/api/plans/search?county=51059&ages={ages}&limit=2'
    const attack: Attack = { name: 'another limit', requests: [{ target }] }
    expect((await stage.harm(attack, 'search')).join()).toContain('what is kept is')
  })
})
