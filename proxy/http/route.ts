import { createHash } from 'node:crypto'
import { type Key, type Params, type Scalar, spellKey } from '../cache/key.ts'
import type { Parameter, RouteConfig, ScalarParameter } from '../config.ts'
import { type Fault, quote } from '../errors.ts'
import type { Query } from '../origin/origin.ts'
import { parseStatement } from '../statement.ts'

/** A configured read, compiled: everything a request needs of it, nothing left to look up. */
export interface Route {
  readonly name: string
  readonly path: string
  readonly allow: string
  readonly takesPost: boolean
  readonly parameters: Readonly<Record<string, Parameter>>
  readonly lifetime: RouteConfig['lifetime']
  readonly cacheControl: string
  readonly query: Query
  readonly tagTemplates: readonly string[]
  /** The tables its statement reads, as the database says; none before it was asked. */
  readonly tables: readonly string[]
  /** Typed, canonical parameters out of what a client sent; every fault when they do not fit. Undeclared names are ignored. */
  read(given: Given): { params: Params } | { faults: Fault[] }
  key(params: Params): Key
  tags(params: Params): string[]
}

/** What a client sent for one name: text (a query, a path), or a JSON value; several where a name came more than once. */
export type Given = ReadonlyMap<string, readonly unknown[]>

/** Raises the version of every key when the way parameters, bodies or tags are made changes. */
const generation = 1

export function compileRoute(config: RouteConfig): Route {
  const { name, path, parameters, returns, tags: templates, lifetime, cacheControl } = config
  const statement = parseStatement(config.sql)
  const text = statement.render((parameter) => `:${parameter}`)
  const identity = JSON.stringify([generation, text, returns, parameters, templates])
  const version = createHash('sha256').update(identity).digest('hex').slice(0, 12)
  const readers = Object.entries(parameters).map(
    ([parameter, declared]) => [parameter, readerOf(declared), declared.default] as const,
  )
  const takesPost = config.methods.includes('POST')
  const methods = [...(config.methods.includes('GET') ? ['GET', 'HEAD'] : []), ...(takesPost ? ['POST'] : [])]
  return {
    name,
    path,
    parameters,
    lifetime,
    cacheControl,
    takesPost,
    allow: methods.join(', '),
    query: { route: name, version, statement, returns },
    tagTemplates: templates,
    tables: [],
    read(given) {
      const params: Record<string, Params[string]> = {}
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
    key: (params) => spellKey(name, version, params),
    tags(params) {
      return [
        `route:${name}`,
        ...this.tables.map((table) => `table:${table}`),
        ...templates.flatMap((template) => fillTemplate(template, params)),
      ]
    },
  }
}

/** A name with its value that could not be decoded: percent signs that are no UTF-8. Fits no parameter. */
export const undecodable = Symbol('undecodable')

type Outcome<T> = { value: T } | { fault: string }
type Reader = (value: unknown) => Outcome<Params[string]>

function readerOf(parameter: Parameter): Reader {
  const read = parameter.type === 'list' ? listReader(parameter) : scalarReader(parameter)
  return (value) => {
    if (value === undecodable) return { fault: 'is not percent-encoded UTF-8' }
    // JSON null is how a body says that an optional parameter is not given.
    if (value === null && parameter.default !== undefined) return { value: parameter.default }
    return read(value)
  }
}

function listReader(list: Extract<Parameter, { type: 'list' }>): Reader {
  const readItem = scalarReader(list.items)
  const { minItems, maxItems, sorted, unique } = list
  return (value) => {
    const items = typeof value === 'string' ? value.split(',', maxItems + 1) : value
    if (!Array.isArray(items)) return { fault: 'is not a list' }
    if (items.length < minItems) return { fault: `has fewer than ${minItems} items` }
    if (items.length > maxItems) return { fault: `has more than ${maxItems} items` }
    let read: Scalar[] = []
    for (const item of items) {
      const outcome = readItem(item)
      if ('fault' in outcome) return { fault: `has an item that ${outcome.fault}` }
      read.push(outcome.value)
    }
    if (unique) read = [...new Set(read)]
    if (sorted) read.sort((a, b) => (a < b ? -1 : Number(a > b)))
    return { value: read }
  }
}

function scalarReader(parameter: ScalarParameter): (value: unknown) => Outcome<Scalar> {
  switch (parameter.type) {
    case 'integer':
      return (value) => {
        // Leading zeros, signs and exponents would be other spellings of the same number.
        const number = typeof value === 'string' && /^(0|-?[1-9]\d{0,14})$/.test(value) ? Number(value) : value
        if (!Number.isInteger(number) || Object.is(number, -0))
          return { fault: `is not a whole number: ${quote(value)}` }
        const { min, max } = parameter
        if ((number as number) < min || (number as number) > max)
          return { fault: `is not between ${min} and ${max}: ${quote(value)}` }
        return { value: number as number }
      }
    case 'enum': {
      const values = new Set(parameter.values)
      return (value) =>
        typeof value === 'string' && values.has(value)
          ? { value }
          : { fault: `is none of ${parameter.values.join(', ')}: ${quote(value)}` }
    }
    case 'string': {
      const { minLength, maxLength, lowercase } = parameter
      const pattern = parameter.pattern === undefined ? undefined : new RegExp(`^(?:${parameter.pattern})$`, 'v')
      return (given) => {
        if (typeof given !== 'string') return { fault: `is not a string: ${quote(given)}` }
        const value = lowercase ? given.toLowerCase() : given
        if (value.length > maxLength) return { fault: `is longer than ${maxLength} characters` }
        if (value.length < minLength)
          return { fault: minLength === 1 ? 'is empty' : `is shorter than ${minLength} characters` }
        if (value.includes('\0') || !value.isWellFormed()) return { fault: 'holds characters PostgreSQL cannot store' }
        if (pattern?.test(value) === false) return { fault: `does not match ${parameter.pattern}: ${quote(value)}` }
        return { value }
      }
    }
    default:
      return parameter satisfies never
  }
}

/** `county:{county}` filled in; one tag for each item of a list, none for a parameter that was not given. */
function fillTemplate(template: string, params: Params): string[] {
  let tags = [template]
  for (const [placeholder, name] of template.matchAll(/\{([^}]*)\}/g)) {
    const value = params[name as string] ?? []
    const items = typeof value === 'object' ? value : [value]
    tags = tags.flatMap((tag) => items.map((item) => tag.replaceAll(placeholder, String(item))))
  }
  return tags
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
   * target as it came: a literal segment in any other spelling (`%70lans`, `//`, `/./`, a trailing slash) is another path,
   * and so is a parameter that decodes to one with a slash in it. A literal segment is preferred to a parameter.
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
  const value = decode(segment)
  if (typeof value === 'string' && (value.includes('/') || value === '.' || value === '..')) return undefined
  values.push(value)
  const below = descend(branch.parameter, segments, depth + 1, values)
  if (below === undefined) values.pop()
  return below
}

/** `text` percent-decoded, or {@link undecodable}. */
export function decode(text: string): string | typeof undecodable {
  if (!text.includes('%')) return text
  try {
    return decodeURIComponent(text)
  } catch {
    return undecodable // said to the client in the words of a fault
  }
}
