// Tags named by a purge of a route, of one of its entries, of tags, or of everything.
import type { PurgeRequest } from '../../coherence/purge.ts'
import { Problem, quote } from '../../errors.ts'
import { suggest } from '../../suggest.ts'
import { everything, expandTags, routeTag } from '../../tags.ts'
import { followedTables } from './prepare.ts'
import type { RouteTable } from './table.ts'

/** The tags that `request` names. Throws `bad-parameters` for an unknown route or unsuitable parameters. */
export function purgedTags(table: RouteTable, request: PurgeRequest): string[] {
  if ('all' in request) return [everything]
  if ('tags' in request) return expandTags(request.tags, new Map(followedTables(table).map((one) => [one.table, one])))
  const route = table.byName.get(request.route)
  if (route === undefined) {
    const meant = suggest(request.route, [...table.byName.keys()])
    throw new Problem('bad-parameters', `Unknown route ${quote(request.route)}${meant || '.'}`)
  }
  if (request.params === undefined) return [routeTag(route.name)]
  const unknown = Object.keys(request.params).filter((name) => !Object.hasOwn(route.config.parameters, name))
  const faults = unknown.map((parameter) => ({ parameter, detail: 'is not a parameter of this route' }))
  const read = route.read(new Map(Object.entries(request.params).map(([name, value]) => [name, [value]])))
  if ('faults' in read) faults.push(...read.faults)
  if ('faults' in read || faults.length > 0)
    throw new Problem('bad-parameters', 'The parameters do not identify an entry of this route.', { faults })
  return [route.key(read.params)]
}
