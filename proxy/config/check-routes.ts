// Checks of a route beyond the schema: its path, SQL, rows and tags against its parameters.
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { messageOf } from '../errors.ts'
import { parseStatement } from '../statement.ts'
import { suggest } from '../suggest.ts'
import { contradictions, type Parameter, parameter } from './parameter-types.ts'
import { recordAt, type TellFault } from './raw.ts'
import { parameterName, routeName } from './route-schema.ts'

/** A route as parsed, with those of its parameters that are well-formed. */
interface RawRoute {
  name: string
  settings: Record<string, unknown>
  parameters: Record<string, Parameter>
  /** Takes a fault of this route; the path begins at the route. */
  tell: TellFault
}

/** Checks every route of `raw`. Returns the SQL of each route that has any; paths of files are relative to `folder`. */
export function checkRoutes(raw: unknown, folder: string, tell: TellFault): Map<string, string> {
  const pathOwners = new Map<string, string>()
  const sqlOf = new Map<string, string>()
  for (const [name, settings] of Object.entries(recordAt(raw, ['routes']))) {
    const route: RawRoute = {
      name,
      settings: recordAt(settings, []),
      parameters: parametersOf(settings),
      tell: (path, sentence, value) => tell(['routes', name, ...path], sentence, value),
    }
    if (!routeName.test(name))
      route.tell([], 'is not a route name: write a lower-case letter, then lower-case letters, digits or -')
    checkPath(route, pathOwners)
    const sql = readSql(route, folder)
    if (sql !== undefined) {
      sqlOf.set(name, sql)
      checkSql(route, sql)
    }
    checkParameters(route)
    checkRows(route)
    checkTags(route)
  }
  return sqlOf
}

/** The parameters of a route. One that is malformed is an enum without values: its name is known, and its own fault is told elsewhere. */
export function parametersOf(route: unknown): Record<string, Parameter> {
  const found: Record<string, Parameter> = {}
  for (const [name, value] of Object.entries(recordAt(route, ['parameters']))) {
    const read = parameter.safeParse(value)
    if (read.success) found[name] = read.data
    else found[name] = { type: 'enum', values: [] }
  }
  return found
}

function checkPath({ name: route, settings: { path }, parameters, tell }: RawRoute, owners: Map<string, string>): void {
  if (typeof path !== 'string') return
  const shape = path.replace(/:[^/]+/g, ':')
  const owner = owners.get(shape)
  if (owner !== undefined) tell(['path'], `is the path of route ${owner} already: each route needs its own`, path)
  owners.set(shape, route)
  const names = [...path.matchAll(/:([^/]+)/g)].map(([, name = '']) => name)
  for (const name of names) {
    const declared = Object.hasOwn(parameters, name) ? parameters[name] : undefined
    if (declared === undefined)
      tell(
        ['path'],
        `names :${name}, which is not declared in parameters${suggest(name, Object.keys(parameters))}`,
        path,
      )
    else if (declared.type === 'list' || declared.default !== undefined)
      tell(
        ['path'],
        `cannot contain :${name}: take a list, or a parameter with a default, out of the path, into the query`,
        path,
      )
  }
  if (new Set(names).size < names.length) tell(['path'], 'names a parameter twice: name each once', path)
}

function readSql({ settings: { sql }, tell }: RawRoute, folder: string): string | undefined {
  if (typeof sql === 'string') return sql
  const { file } = recordAt(sql, [])
  if (typeof file !== 'string') return undefined
  try {
    return readFileSync(resolve(folder, file), 'utf8')
  } catch (error) {
    tell(['sql'], `names a file that cannot be read (paths are relative to this file): ${messageOf(error)}`)
    return undefined
  }
}

function checkSql({ parameters, tell }: RawRoute, sql: string): void {
  const { names } = parseStatement(sql)
  for (const name of names) {
    if (!Object.hasOwn(parameters, name))
      tell(['sql'], `uses :${name}, which is not declared in parameters${suggest(name, Object.keys(parameters))}`)
  }
  for (const name of Object.keys(parameters)) {
    if (!names.includes(name)) tell(['sql'], `never uses the declared parameter :${name}: use it or remove it`)
  }
}

function checkParameters({ parameters, tell }: RawRoute): void {
  for (const [name, declared] of Object.entries(parameters)) {
    if (!parameterName.test(name))
      tell(
        ['parameters', name],
        'is not a parameter name: write a lower-case letter, then lower-case letters, digits or _',
      )
    for (const sentence of contradictions(declared)) tell(['parameters', name], sentence)
  }
}

function checkRows({ settings, parameters, tell }: RawRoute): void {
  for (const [table, columns] of Object.entries(recordAt(settings, ['rows']))) {
    const names = Object.entries(recordAt(columns, []))
    if (names.length !== 1)
      tell(['rows', table], 'must be one column and the parameter that it equals, like { plan_id: id }')
    for (const [column, name] of names) {
      if (typeof name === 'string' && !Object.hasOwn(parameters, name))
        tell(['rows', table, column], `is not a parameter of this route${suggest(name, Object.keys(parameters))}`, name)
    }
  }
}

function checkTags({ settings: { tags }, parameters, tell }: RawRoute): void {
  for (const tag of Array.isArray(tags) ? tags : []) {
    if (/[{}]/.test(String(tag).replaceAll(/\{[^{}]*\}/g, '')))
      tell(['tags'], 'has an unpaired brace: write {parameter}', tag)
    for (const [, name = ''] of String(tag).matchAll(/\{([^}]*)\}/g)) {
      if (!Object.hasOwn(parameters, name))
        tell(
          ['tags'],
          `names {${name}}, which is not a parameter of this route${suggest(name, Object.keys(parameters))}`,
          tag,
        )
    }
  }
}
