// Only the exact path of a route is answered by the route.
import { describe, expect, test } from 'vitest'
import { askOnce } from '../wire/client.ts'
import { valuesOf } from '../wire/fields.ts'
import { ownAnswer, requestOf } from '../wire/messages.ts'
import type { ScriptedUpstream } from '../wire/scripted-upstream.ts'
import { strangePaths } from './cases/paths.ts'
import { naiveCache } from './naive-cache.ts'
import { attackStage, type Kept, keptOf, keysOf } from './stage.ts'

const stage = attackStage()

/** The `paths` that `url` answers itself, and how. */
async function confusions(url: string, upstream: ScriptedUpstream, paths: readonly string[]): Promise<string[]> {
  const found: string[] = []
  for (const path of paths) found.push(...(await confusion(url, upstream, path)))
  return found
}

async function confusion(url: string, upstream: ScriptedUpstream, path: string): Promise<string[]> {
  const before = upstream.asked.length
  const answer = await askOnce(url, requestOf('GET', path))
  const asked = upstream.asked.slice(before)
  if (answer.status === 400 && asked.length === 0 && valuesOf(answer.fields, 'cache-control').join() === 'no-store')
    return []
  const found: string[] = []
  if (answer.content.toString() !== ownAnswer('GET', path))
    found.push(`${path} is answered ${answer.status} ${answer.content.toString().slice(0, 100)}`)
  const heads = asked.map(({ head }) => head.slice(0, head.indexOf('\r\n')))
  if (heads.join('|') !== `GET ${path} HTTP/1.1`) found.push(`${path} reaches the upstream as ${JSON.stringify(heads)}`)
  return found
}

describe('a path that is not spelled as a route’s', () => {
  test('goes to the upstream byte for byte, or is rejected; no route answers it, before or after the route was read', async () => {
    const { upstream } = stage
    const own = await stage.startOwn()
    expect(await confusions(own.url, upstream, strangePaths)).toEqual([])
    for (const route of ['states', 'county', 'plan-search', 'plan']) expect(await keysOf(own, route)).toEqual([])
    const right = new Map<string, Kept>()
    for (const target of ['/api/states', '/api/counties/51059', '/api/plans/search?county=51059&ages=34']) {
      right.set(target, await stage.rightAnswer(target))
      expect(keptOf(await askOnce(own.url, requestOf('GET', target)))).toEqual(right.get(target))
    }
    expect(await confusions(own.url, upstream, strangePaths)).toEqual([])
    for (const [target, answer] of right)
      expect(keptOf(await askOnce(own.url, requestOf('GET', target)))).toEqual(answer)
    for (const route of ['states', 'county', 'plan-search'])
      expect([route, (await keysOf(own, route)).length]).toEqual([route, 1])
    expect(await keysOf(own, 'plan')).toEqual([])
  })

  test('is a 404 or a 400 without an upstream, and must not be stored', async () => {
    for (const path of strangePaths) {
      const { status, fields } = await askOnce(stage.clean.url, requestOf('GET', path))
      expect([path, status === 404 || status === 400]).toEqual([path, true])
      expect([path, valuesOf(fields, 'cache-control')]).toEqual([path, ['no-store']])
      expect([path, valuesOf(fields, 'etag')]).toEqual([path, []])
    }
  })

  test('twin: a cache that normalizes paths answers some of them itself', async () => {
    const naive = await naiveCache(stage, (request) => new URL(decodeURI(request.url ?? ''), 'http://a').pathname)
    const paths = ['/api/%73tates', '/api/../api/states', '/api//states']
    expect(await confusions(naive, stage.upstream, paths)).not.toEqual([])
  })
})
