// A configured route, compiled: key, tags, parameters, statement.
import { createHash } from 'node:crypto'
import { type Key, type Params, spellKey } from '../../cache/key.ts'
import { heldBy } from '../../config/parameter-types.ts'
import type { RouteConfig } from '../../config/schema.ts'
import type { Fault } from '../../errors.ts'
import type { Query, RowRule } from '../../origin/origin.ts'
import { parseStatement, type Statement } from '../../statement.ts'
import { functionTag, routeTag, rowsTag, rowTag, tableTag } from '../../tags.ts'
import { type Given, readerOf } from './parameters.ts'

/** A configured route, compiled: everything that a request needs, without further lookups. */
export interface Route {
  /** Its configuration. Only the settings that every request reads are repeated beside it. */
  readonly config: RouteConfig
  readonly name: string
  readonly path: string
  /** As listed in `Allow`. */
  readonly methods: readonly string[]
  readonly lifetime: RouteConfig['lifetime']
  readonly cacheControl: string
  /** The share of hits whose statement is run again to compare the answers. */
  readonly audit: number
  readonly query: Query
  /** The tables that its statement reads, from the database; empty before the inspection. */
  readonly tables: readonly string[]
  /** The functions it calls, without PostgreSQL's own; empty before the inspection. */
  readonly functions: readonly string[]
  /** Why it is not served: after a redefinition its statement reads a private table. */
  readonly closed?: string
  /** Turns a client's values into typed, canonical parameters, or into all faults. Undeclared names are ignored. */
  read(given: Given): { params: Params } | { faults: Fault[] }
  /** Whether the values in the path could be meant for this route: every value fits its parameter. */
  fits(given: Given): boolean
  key(params: Params): Key
  tags(params: Params): string[]
}

/** Part of every key's version. Increase it when the way parameters, bodies or tags are made changes. */
const generation = 1

export function compileRoute(config: RouteConfig): Route {
  const { name, path, lifetime, cacheControl, audit, returns, share } = config
  const statement = parseStatement(config.sql)
  const rows = rowRules(config)
  const version = versionOf(config, statement, rows)
  const fillers = config.tags.map(tagFiller)
  return {
    config,
    name,
    path,
    methods: config.methods.flatMap((method) => (method === 'GET' ? ['GET', 'HEAD'] : [method])),
    lifetime,
    cacheControl,
    audit,
    query: { route: name, version, statement, returns, rows, share },
    tables: [],
    functions: [],
    ...parametersReader(config),
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

/**
 * Identifies the statement, the form of its answers, and their tags. A change makes all earlier entries unreachable.
 */
function versionOf({ returns, parameters, tags }: RouteConfig, statement: Statement, rows: Query['rows']): string {
  const text = statement.render((parameter) => `:${parameter}`)
  const identity = JSON.stringify([generation, text, returns, parameters, tags, ...Object.entries(rows)])
  return createHash('sha256').update(identity).digest('hex').slice(0, 12)
}

function parametersReader({ parameters }: RouteConfig): Pick<Route, 'read' | 'fits'> {
  const readers = Object.entries(parameters).map(
    ([parameter, declared]) => [parameter, readerOf(declared), declared.default] as const,
  )
  return {
    read(given) {
      // Without a prototype, because a parameter may have any name.
      const params: Record<string, Params[string]> = Object.create(null)
      const faults: Fault[] = []
      for (const [parameter, read, preset] of readers) {
        const values = given.get(parameter)
        if (values === undefined) {
          if (preset === undefined) faults.push({ parameter, detail: 'is required' })
          else params[parameter] = preset
          continue
        }
        const outcome = values.length > 1 ? { fault: 'must be given only once' } : read(values[0])
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
  }
}

function rowRules({ rows, parameters }: RouteConfig): Query['rows'] {
  return Object.fromEntries(
    Object.entries(rows).flatMap(([table, columns]) =>
      Object.entries(columns).flatMap(([column, parameter]) => {
        const declared = parameters[parameter]
        return declared ? [[table, { column, parameter, holds: heldBy(declared) }]] : []
      }),
    ),
  )
}

/**
 * The tags that an entry has for a table. With a rule: tags of the rows that matter, unless its parameter is not given.
 */
function tagsOfTable(table: string, rule: RowRule | undefined, params: Params): string[] {
  const value = rule && params[rule.parameter]
  if (rule === undefined || value === undefined || value === null) return [tableTag(table)]
  const values = typeof value === 'object' ? value : [value]
  return [rowsTag(table), ...values.map((one) => rowTag(table, rule.column, one))]
}

/** Fills a template such as `county:{county}`: one tag per item of a list, none if the parameter is not given. */
function tagFiller(template: string): (params: Params) => string[] {
  // Odd pieces are names: `a{b}c` is split into a, b, c.
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
