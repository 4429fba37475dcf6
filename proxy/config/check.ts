// What one schema cannot see.
import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { resolve } from 'node:path'
import { createSecureContext } from 'node:tls'
import { isLoopback, networks } from '../address.ts'
import { messageOf, quote } from '../errors.ts'
import { parseStatement } from '../statement.ts'
import { suggest } from '../suggest.ts'
import { type Parameter, parameterName, routeName, schema } from './schema.ts'

/** Where in the configuration something is: names of settings, indexes of lists. */
export type Path = readonly (string | number)[]

/** Takes one fault: where, what, and the bad value where it helps to see it. */
export type TellFault = (path: Path, sentence: string, value?: unknown) => void

/**
 * Checks what one schema cannot see: SQL against parameters, paths against each other, addresses against tokens.
 *
 * Works on the file as it was parsed, before and whether or not it fits the schema, so that all faults come at once. SQL files
 * are found in `folder`; the SQL of each route is put into `sqlOf`.
 */
export function crossCheck(raw: unknown, folder: string, sqlOf: Map<string, string>, tell: TellFault): void {
  const admin = recordAt(raw, ['admin'])
  const host = admin.host
  if (typeof host === 'string' && !isLoopback(host) && !admin.token) {
    tell(['admin', 'host'], 'is not a loopback address, so admin.token must be set', host)
  }
  checkListen(recordAt(raw, ['listen', 'tls']), folder, (sentence) => tell(['listen', 'tls'], sentence))
  checkUpstream(recordAt(raw, ['upstream']), (setting, sentence, value) => tell(['upstream', setting], sentence, value))
  checkTimeouts(raw, tell)
  checkShares(raw, (sentence, value) => tell(['postgres', 'connections'], sentence, value))
  checkWarm(raw, (sentence, value) => tell(['warm'], sentence, value))
  const pathOwners = new Map<string, string>()
  for (const [name, route] of Object.entries(recordAt(raw, ['routes']))) {
    const at = (...rest: (string | number)[]): Path => ['routes', name, ...rest]
    if (!routeName.test(name)) tell(at(), 'is not a route name: a lower case letter, then letters, digits and -')
    const parameters = parametersOf(route)
    checkPath(recordAt(route, []).path, parameters, name, pathOwners, (sentence, value) =>
      tell(at('path'), sentence, value),
    )
    checkSql(
      recordAt(route, []).sql,
      parameters,
      folder,
      (sentence) => tell(at('sql'), sentence),
      (sql) => sqlOf.set(name, sql),
    )
    for (const [parameter, declared] of Object.entries(parameters)) {
      if (!parameterName.test(parameter)) {
        tell(at('parameters', parameter), 'is not a parameter name: a lower case letter, then letters, digits and _')
      }
      for (const problem of contradictions(declared)) tell(at('parameters', parameter), problem)
    }
    for (const [table, columns] of Object.entries(recordAt(route, ['rows']))) {
      const names = Object.entries(recordAt(columns, []))
      if (names.length !== 1) tell(at('rows', table), 'must name one column, and the parameter it equals')
      for (const [column, parameter] of names) {
        if (typeof parameter === 'string' && !Object.hasOwn(parameters, parameter))
          tell(
            at('rows', table, column),
            `names no parameter of this route${suggest(parameter, Object.keys(parameters))}`,
            parameter,
          )
      }
    }
    const tags = recordAt(route, []).tags
    for (const tag of Array.isArray(tags) ? tags : []) {
      if (/[{}]/.test(String(tag).replaceAll(/\{[^{}]*\}/g, ''))) tell(at('tags'), 'has a brace without its other', tag)
      for (const [, used] of String(tag).matchAll(/\{([^}]*)\}/g)) {
        if (!Object.hasOwn(parameters, used as string))
          tell(
            at('tags'),
            `names no parameter of this route: {${used}}${suggest(used as string, Object.keys(parameters))}`,
            tag,
          )
      }
    }
  }
}

function checkListen({ cert, key }: Record<string, unknown>, folder: string, tell: (sentence: string) => void): void {
  if (typeof cert !== 'string' || typeof key !== 'string') return
  try {
    createSecureContext({ cert: readFileSync(resolve(folder, cert)), key: readFileSync(resolve(folder, key)) })
  } catch (error) {
    tell(`names files that are no certificate and its key: ${messageOf(error)}`)
  }
}

/** Each timeout leaves time for the one around it to do something about it: soft, statement, request. */
function checkTimeouts(raw: unknown, tell: TellFault): void {
  const { request, postgres } = schema.shape
  const timeouts = [
    { path: ['request', 'softTimeout'], shape: request.unwrap().shape.softTimeout },
    { path: ['postgres', 'statementTimeout'], shape: postgres.unwrap().shape.statementTimeout },
    { path: ['request', 'timeout'], shape: request.unwrap().shape.timeout },
  ].map(({ path, shape }) => ({
    path,
    text: valueAt(raw, path),
    ms: shape.safeParse(valueAt(raw, path)).data ?? Number.NaN,
  }))
  for (const [i, inner] of timeouts.entries()) {
    const outer = timeouts[i + 1]
    if (outer === undefined || !(inner.ms >= outer.ms)) continue
    if (inner.text === undefined)
      tell(outer.path, `must be more than ${inner.path.join('.')}, which is ${inner.ms}ms`, outer.text)
    else tell(inner.path, `must be less than ${outer.path.join('.')}, which is ${outer.ms}ms`, inner.text)
  }
}

/** Every reserve can be kept at once, with a slot to spare for those without one. */
function checkShares(raw: unknown, tell: (sentence: string, value?: unknown) => void): void {
  const connections = Number(recordAt(raw, ['postgres']).connections ?? 10)
  const reserves = Object.values(recordAt(raw, ['routes'])).map((route) =>
    Number(valueAt(route, ['share', 'reserve']) ?? 0),
  )
  const reserved = reserves.reduce((sum, reserve) => sum + (reserve || 0), 0)
  if (reserved > 0 && reserved >= connections)
    tell(`must be more than all share.reserve of the routes together, which are ${reserved}`, connections)
}

/** What is to be read at the start exists; whether each value fits is seen when the routes are compiled. */
function checkWarm(raw: unknown, tell: (sentence: string, value: unknown) => void): void {
  const list = valueAt(raw, ['warm'])
  const routes = recordAt(raw, ['routes'])
  for (const one of Array.isArray(list) ? list : []) {
    const { route = one, params = {} } = recordAt(one, [])
    if (typeof route !== 'string') continue // the schema tells
    if (!Object.hasOwn(routes, route)) {
      tell(`names no route: ${route}${suggest(route, Object.keys(routes))}`, one)
      continue
    }
    const declared = parametersOf(routes[route])
    for (const name of Object.keys(recordAt(params, [])))
      if (!Object.hasOwn(declared, name))
        tell(`names no parameter of ${route}: ${name}${suggest(name, Object.keys(declared))}`, one)
  }
}

function checkUpstream(
  { url, trustedProxies }: Record<string, unknown>,
  tell: (setting: string, sentence: string, value?: unknown) => void,
): void {
  const isEncrypted = typeof url === 'string' && url.startsWith('https:')
  if (isEncrypted && isIP((URL.parse(url)?.hostname ?? '').replace(/^\[|\]$/g, '')) !== 0)
    tell('url', 'is encrypted, so it needs the name its certificate is for instead of an address', url)
  if (typeof url === 'string' && !url.startsWith('unix:') && URL.parse(url) === null)
    tell('url', 'is not an address', url)
  if (!Array.isArray(trustedProxies)) return
  for (const text of trustedProxies) {
    try {
      networks([String(text)])
    } catch (error) {
      tell('trustedProxies', messageOf(error))
    }
  }
}

/** The parameters of a route that are well-formed themselves, whatever is wrong with the rest of it. */
function parametersOf(route: unknown): Record<string, Parameter> {
  const shape = schema.shape.routes.valueType.shape.parameters.unwrap().valueType
  const found: Record<string, Parameter> = {}
  for (const [name, value] of Object.entries(recordAt(route, ['parameters']))) {
    const read = shape.safeParse(value)
    if (read.success) found[name] = read.data
    else found[name] = { type: 'enum', values: [] } // its own fault is told already; the name is known
  }
  return found
}

type Tell = (sentence: string, value?: unknown) => void

function checkPath(
  path: unknown,
  parameters: Record<string, Parameter>,
  route: string,
  owners: Map<string, string>,
  tell: Tell,
): void {
  if (typeof path !== 'string') return
  const shape = path.replace(/:[^/]+/g, ':')
  const owner = owners.get(shape)
  if (owner !== undefined) tell(`is taken by route ${owner} already`, path)
  owners.set(shape, route)
  const names = [...path.matchAll(/:([^/]+)/g)].map(([, name]) => name as string)
  for (const name of names) {
    const parameter = Object.hasOwn(parameters, name) ? parameters[name] : undefined
    if (parameter === undefined)
      tell(`has a parameter that is not declared: :${name}${suggest(name, Object.keys(parameters))}`, path)
    else if (parameter.type === 'list' || parameter.default !== undefined)
      tell(`cannot hold :${name}: a list, or a parameter with a default, belongs in the query`, path)
  }
  if (new Set(names).size < names.length) tell('names a parameter twice', path)
}

function checkSql(
  sql: unknown,
  parameters: Record<string, Parameter>,
  folder: string,
  tell: Tell,
  keep: (sql: string) => void,
): void {
  const file = recordAt(sql, []).file
  let text: string
  if (typeof file === 'string') {
    try {
      text = readFileSync(resolve(folder, file), 'utf8')
    } catch (error) {
      tell(`names a file that cannot be read: ${messageOf(error)}`)
      return
    }
  } else if (typeof sql === 'string') text = sql
  else return
  keep(text)
  const { names } = parseStatement(text)
  for (const name of names) {
    if (!Object.hasOwn(parameters, name))
      tell(`uses :${name}, which is not declared in parameters${suggest(name, Object.keys(parameters))}`)
  }
  for (const name of Object.keys(parameters)) {
    if (!names.includes(name)) tell(`never uses the declared parameter :${name}${suggest(name, names)}`)
  }
}

/** What a parameter's settings say against each other. */
function contradictions(parameter: Parameter): string[] {
  const found: string[] = []
  const must = (holds: boolean, sentence: string) => holds || found.push(sentence)
  const preset = parameter.default
  switch (parameter.type) {
    case 'string': {
      const { minLength, maxLength, lowercase } = parameter
      must(minLength <= maxLength, 'has a minLength above its maxLength')
      if (typeof preset === 'string') {
        const isFitting = preset.length >= minLength && preset.length <= maxLength && preset.isWellFormed()
        must(isFitting && !preset.includes('\0'), `has a default that it would refuse: ${quote(preset)}`)
        must(!lowercase || preset === preset.toLowerCase(), `has a default that is not in lower case: ${quote(preset)}`)
      }
      if (parameter.pattern === undefined) break
      try {
        new RegExp(parameter.pattern, 'v')
      } catch (error) {
        must(false, `has a pattern that is no regular expression: ${messageOf(error)}`)
        break
      }
      must(
        typeof preset !== 'string' || new RegExp(`^(?:${parameter.pattern})$`, 'v').test(preset),
        `has a default that its pattern refuses: ${quote(preset)}`,
      )
      break
    }
    case 'integer':
      must(parameter.min <= parameter.max, 'has a min above its max')
      must(
        typeof preset !== 'number' || (preset >= parameter.min && preset <= parameter.max),
        `has a default outside its bounds: ${quote(preset)}`,
      )
      break
    case 'enum':
      must(
        typeof preset !== 'string' || parameter.values.includes(preset),
        `has a default that is none of its values: ${quote(preset)}`,
      )
      break
    case 'list':
      must(parameter.minItems <= parameter.maxItems, 'has a minItems above its maxItems')
      must(parameter.items.default === undefined, 'has items with a default')
      found.push(...contradictions(parameter.items))
      break
    default:
      parameter satisfies never
  }
  return found
}

function recordAt(value: unknown, path: Path): Record<string, unknown> {
  const found = valueAt(value, path)
  return typeof found === 'object' && found !== null && !Array.isArray(found) ? (found as Record<string, unknown>) : {}
}

/** What is at `path` in `value`, if anything is. */
export function valueAt(value: unknown, path: Path): unknown {
  return path.reduce<unknown>(
    (at, part) => (typeof at === 'object' && at !== null ? (at as Record<string | number, unknown>)[part] : undefined),
    value,
  )
}
