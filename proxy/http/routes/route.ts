// A configured route, compiled; the table that finds one by its path.
import { createHash } from 'node:crypto'
import { type Key, type Params, spellKey } from '../../cache/key.ts'
import type { Parameter } from '../../config/parameter-types.ts'
import type { RouteConfig } from '../../config/schema.ts'
import type { Fault } from '../../errors.ts'
import type { Query, RowRule } from '../../origin/origin.ts'
import { parseStatement } from '../../statement.ts'
import { functionTag, routeTag, rowsTag, rowTag, tableTag } from '../../tags.ts'
import { decode, type Given, readerOf } from './parameters.ts'

/** A configured read, compiled: everything a request needs of it, nothing left to look up. */
export interface Route {
  readonly name: string
  readonly path: string
  /** As `Allow` lists them. */
  readonly methods: readonly string[]
  readonly parameters: Readonly<Record<string, Parameter>>
  readonly lifetime: RouteConfig['lifetime']
  readonly cacheControl: string
  readonly query: Query
  /** The share of its hits whose statement is run again and compared. */
  readonly audit: number
  readonly tagTemplates: readonly string[]
  readonly rows: Query['rows']
  /** The tables its statement reads, as the database says; none before it was asked. */
  readonly tables: readonly string[]
  /** The functions it calls that somebody can define anew; in the same way. */
  readonly functions: readonly string[]
  /** Why it is not served: something it reads was defined anew, so that it reads a private table. */
  readonly closed?: string
  /** Typed, canonical parameters out of what a client sent; every fault when they do not fit. Undeclared names are ignored. */
  read(given: Given): { params: Params } | { faults: Fault[] }
  /** Whether what stands in its path could be meant for it: every value fits its parameter. */
  fits(given: Given): boolean
  key(params: Params): Key
  tags(params: Params): string[]
}

/** Raises the version of every key when the way parameters, bodies or tags are made changes. */
const generation = 1

export function compileRoute(config: RouteConfig): Route {
  const { name, path, parameters, returns, tags: templates, lifetime, cacheControl, share, audit } = config
  const statement = parseStatement(config.sql)
  const text = statement.render((parameter) => `:${parameter}`)
  const rows = rowRules(config)
  const fillers = templates.map(tagFiller)
  const identity = JSON.stringify([generation, text, returns, parameters, templates, ...Object.entries(rows)])
  const version = createHash('sha256').update(identity).digest('hex').slice(0, 12)
  const readers = Object.entries(parameters).map(
    ([parameter, declared]) => [parameter, readerOf(declared), declared.default] as const,
  )
  const methods = [
    ...(config.methods.includes('GET') ? ['GET', 'HEAD'] : []),
    ...(config.methods.includes('POST') ? ['POST'] : []),
  ]
  return {
    name,
    path,
    parameters,
    lifetime,
    cacheControl,
    methods,
    audit,
    query: { route: name, version, statement, returns, rows, share: share },
    tagTemplates: templates,
    rows,
    tables: [],
    functions: [],
    read(given) {
      // Without a prototype: a parameter may have any name.
      const params: Record<string, Params[string]> = Object.create(null)
      const faults: Fault[] = []
      for (const [parameter, read, preset] of readers) {
        const values = given.get(parameter)
        if (values === undefined) {
          if (preset === undefined) faults.push({ parameter, detail: 'is missing' })
          else params[parameter] = preset
          continue
        }
        const outcome = values.length > 1 ? { fault: 'is given more than once' } : read(values[0])
        if ('fault' in outcome) faults.push({ parameter, detail: outcome.fault })
        else params[parameter] = outcome.value
      }
      return faults.length > 0 ? { faults } : { params }
    },
    fits: (given) =>
      readers.every(([parameter, read]) => {
        const values = given.get(parameter)
        return values === undefined || 'value' in read(values[0])
      }),
    key: (params) => spellKey(name, version, params),
    tags(params) {
      return [
        routeTag(name),
        ...this.tables.flatMap((table) => tagsOfTable(table, rows[table], params)),
        ...this.functions.map(functionTag),
        ...fillers.flatMap((fill) => fill(params)),
      ]
    },
  }
}

function rowRules({ rows, parameters }: RouteConfig): Query['rows'] {
  return Object.fromEntries(
    Object.entries(rows).flatMap(([table, columns]) =>
      Object.entries(columns).map(([column, parameter]) => {
        const declared = parameters[parameter]
        const type = declared?.type === 'list' ? declared.items.type : declared?.type
        return [table, { column, parameter, holds: type === 'integer' ? 'integers' : 'texts' } as const]
      }),
    ),
  )
}

/** The tags an entry has because of a table: with a rule, of the rows that matter to it, unless its parameter is not given. */
function tagsOfTable(table: string, rule: RowRule | undefined, params: Params): string[] {
  const value = rule && params[rule.parameter]
  if (rule === undefined || value === undefined || value === null) return [tableTag(table)]
  const values = typeof value === 'object' ? value : [value]
  return [rowsTag(table), ...values.map((one) => rowTag(table, rule.column, one))]
}

/** Fills `county:{county}`: one tag for each item of a list, none for a parameter that was not given. */
function tagFiller(template: string): (params: Params) => string[] {
  // Odd pieces are the names: `a{b}c` is cut into a, b, c.
  const pieces = template.split(/\{([^}]*)\}/)
  return (params) => {
    let tags = ['']
    for (const [i, piece] of pieces.entries()) {
      const value = i % 2 === 0 ? piece : (params[piece] ?? [])
      if (typeof value === 'object') tags = tags.flatMap((tag) => value.map((item) => tag + item))
      else tags = tags.map((tag) => tag + value)
    }
    return tags
  }
}

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
   * The route whose path `path` is, and what stands in place of its parameters, percent-decoded. `path` is the path of the
   * target as it came: a literal segment in any other spelling (`%70lans`, `//`, `/./`, a trailing slash) is another path.
   * So is one where a parameter's segment is not spelled the one way RFC 3986 has for it (2.3, 6.2.2.2: what needs no
   * percent sign has none), has a `;`, or decodes to one with a slash or to dots: what reads it otherwise must not be led to
   * believe that it read the same. A literal segment is preferred to a parameter.
   */
  find(path: string): { route: Route; given: Map<string, unknown[]> } | undefined
}

export function routeTable(routes: readonly Route[]): RouteTable {
  const root: Branch = { literals: new Map() }
  for (const route of routes) {
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

function descend(branch: Branch, segments: string[], depth: number, values: unknown[]): Branch['route'] {
  if (depth === segments.length) return branch.route
  const segment = segments[depth] as string
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
