// Route table: finds a route by its path.
import { decode } from './parameters.ts'
import type { Route } from './route.ts'

interface Branch {
  literals: Map<string, Branch>
  parameter?: Branch
  route?: { route: Route; names: string[] }
}

/** Finds a route by its exact path. */
export interface RouteTable {
  readonly routes: readonly Route[]
  readonly byName: ReadonlyMap<string, Route>
  /**
   * The route that `path` matches, and its parameters in the path, percent-decoded. `path` is the unmodified path of
   * the target: a literal segment in another spelling (`%70lans`, `//`, `/./`, a trailing slash) is another path.
   *
   * A parameter's segment must have the one spelling of RFC 3986 (2.3, 6.2.2.2: no percent-encoding where none is
   * needed). It must not contain a `;`, and not decode to a slash or to dots. Otherwise software that interprets the
   * path differently could take it for another one. A literal segment is preferred to a parameter.
   */
  find(path: string): { route: Route; given: Map<string, unknown[]> } | undefined
}

export function routeTable(routes: readonly Route[]): RouteTable {
  const root: Branch = { literals: new Map() }
  for (const route of routes) plant(root, route)
  return {
    routes,
    byName: new Map(routes.map((route) => [route.name, route])),
    find(path) {
      if (!path.startsWith('/')) return undefined
      const values: unknown[] = []
      const found = descend(root, path.split('/'), 1, values)
      return found && { route: found.route, given: new Map(found.names.map((name, i) => [name, [values[i]]])) }
    },
  }
}

function plant(root: Branch, route: Route): void {
  let branch = root
  const names: string[] = []
  for (const segment of route.path.split('/').slice(1)) {
    if (segment.startsWith(':')) {
      names.push(segment.slice(1))
      branch.parameter ??= { literals: new Map() }
      branch = branch.parameter
    } else {
      const next: Branch = branch.literals.get(segment) ?? { literals: new Map() }
      branch.literals.set(segment, next)
      branch = next
    }
  }
  branch.route = { route, names }
}

function descend(branch: Branch, segments: string[], depth: number, values: unknown[]): Branch['route'] {
  const segment = segments[depth]
  if (segment === undefined) return branch.route
  const literal = branch.literals.get(segment)
  const found = literal && descend(literal, segments, depth + 1, values)
  if (found !== undefined || branch.parameter === undefined || segment === '') return found
  if (/[;\\]|%(?:2[DE]|3\d|[46][1-9A-F]|[57][\dA]|5F|7E)/i.test(segment)) return undefined
  const value = decode(segment)
  if (typeof value === 'string' && (/[/\\]/.test(value) || value === '.' || value === '..')) return undefined
  values.push(value)
  const below = descend(branch.parameter, segments, depth + 1, values)
  if (below === undefined) values.pop()
  return below
}
