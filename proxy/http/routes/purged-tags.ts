// The tags that a purge of a route, or of one entry of it, names.
import type { PurgeRequest } from '../../coherence/purge.ts'
import { Problem, quote } from '../../errors.ts'
import { suggest } from '../../suggest.ts'
import { everything, expandTags, routeTag } from '../../tags.ts'
import { followedTables } from './prepare.ts'
import type { RouteTable } from './table.ts'

/** The tags that `request` means. Throws `bad-parameters` for a route, or parameters of it, that do not exist. */
export function purgedTags(table: RouteTable, request: PurgeRequest): string[] {
  if ('all' in request) return [everything]
  if ('tags' in request) return expandTags(request.tags, new Map(followedTables(table).map((one) => [one.table, one])))
  const route = table.byName.get(request.route)
  if (route === undefined) {
    const meant = suggest(request.route, [...table.byName.keys()])
    throw new Problem('bad-parameters', `There is no route named ${quote(request.route)}${meant || '.'}`)
  }
  if (request.params === undefined) return [routeTag(route.name)]
  const unknown = Object.keys(request.params).filter((name) => !Object.hasOwn(route.config.parameters, name))
  const faults = unknown.map((parameter) => ({ parameter, detail: 'is not a parameter of this route' }))
  const read = route.read(new Map(Object.entries(request.params).map(([name, value]) => [name, [value]])))
  if ('faults' in read) faults.push(...read.faults)
  if ('faults' in read || faults.length > 0)
    throw new Problem('bad-parameters', 'The parameters are not those of an entry of this route.', { faults })
  return [route.key(read.params)]
}
