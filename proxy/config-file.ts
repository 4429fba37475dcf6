import { readFileSync } from 'node:fs'
import { basename, dirname, resolve } from 'node:path'
import { type Document, LineCounter, parseDocument, visit } from 'yaml'
import type { z } from 'zod'
import { isLoopback } from './address.ts'
import { type Config, complete, type Parameter, schema } from './config.ts'
import { messageOf, quote, Refusal } from './errors.ts'
import { parseStatement } from './statement.ts'

type Path = readonly (string | number)[]
type Environment = Readonly<Record<string, string | undefined>>

/**
 * Reads and validates a configuration file.
 *
 * `${NAME}` and `${NAME:-default}` in its scalars are taken from `environment`; a setting that comes out empty counts as
 * not given. SQL files are found beside the file. Throws one {@link Refusal} with every fault there is, one a line, each
 * with its line number, its path, the bad value and the nearest known name.
 */
export function readConfig(file: string, environment: Environment): Config {
  const faults = new Faults(file)
  const document = parseYaml(file, faults)
  substitute(document, environment, faults)
  const raw: unknown = document.toJS() ?? {}

  const checked = schema.safeParse(raw, { error: sentence })
  for (const issue of checked.error?.issues ?? []) {
    const unknown = issue.code === 'unrecognized_keys' ? issue.keys : [undefined]
    for (const [i, key] of unknown.entries()) {
      const path = [...issue.path, ...(key === undefined ? [] : [key])] as Path
      faults.add(path, issue.message.split('\n')[i] as string, key === undefined ? valueAt(raw, path) : undefined)
    }
  }
  const sql = new Map<string, string>()
  crossCheck(raw, dirname(file), sql, faults)
  faults.throwIfAny()
  return complete(checked.data as z.output<typeof schema>, (name) => sql.get(name) as string)
}

class Faults {
  readonly #sentences = new Map<string, number>()
  readonly #file: string
  lineOf: (path: Path) => number | undefined = () => undefined

  constructor(file: string) {
    this.#file = basename(file)
  }

  add(path: Path, sentence: string, value?: unknown): void {
    const line = this.lineOf(path)
    const where = `${this.#file}${line === undefined ? '' : `:${line}`}`
    const name = path.length === 0 ? '' : ` ${path.join('.')}:`
    // A secret may be spelled wrongly: what it was is not shown.
    const isSecret = path.some((part) => part === 'token' || part === 'url')
    const quoted = value === undefined || isSecret ? '' : ` ${quote(value)}`
    this.#sentences.set(`${where}${name}${quoted} ${sentence}`, line ?? 0)
  }

  throwIfAny(): void {
    if (this.#sentences.size === 0) return
    throw new Refusal([...this.#sentences].sort(([, a], [, b]) => a - b).map(([text]) => text))
  }
}

function parseYaml(file: string, faults: Faults): Document {
  let source: string
  try {
    source = readFileSync(file, 'utf8')
  } catch (error) {
    throw new Refusal(`The configuration file ${file} cannot be read: ${messageOf(error)}`, { cause: error })
  }
  const lineCounter = new LineCounter()
  const document = parseDocument(source, { lineCounter, prettyErrors: false })
  faults.lineOf = (path) => {
    for (let depth = path.length; depth > 0; depth -= 1) {
      const node = document.getIn(path.slice(0, depth), true) as { range?: [number, number, number] } | undefined
      if (node?.range) return lineCounter.linePos(node.range[0]).line
    }
    return undefined
  }
  for (const error of document.errors) {
    const { line } = lineCounter.linePos(error.pos[0])
    faults.add([], `line ${line} is not YAML: ${error.message}`)
  }
  // A file whose structure is broken would only give misleading faults further on; a repeated key does not break it.
  if (document.errors.some((error) => error.code !== 'DUPLICATE_KEY')) faults.throwIfAny()
  return document
}

function substitute(document: Document, environment: Environment, faults: Faults): void {
  visit(document, {
    Scalar(_key, node) {
      if (typeof node.value !== 'string' || !node.value.includes('${')) return
      const value = node.value.replace(/\$\{([A-Za-z_]\w*)(?::-([^}]*))?\}/g, (_all, name: string, preset?: string) => {
        const given = environment[name]
        if (given !== undefined && (given !== '' || preset === undefined)) return given
        if (preset === undefined)
          faults.add([], `\${${name}} is not set in the environment and has no default: write \${${name}:-default}`)
        return preset ?? ''
      })
      node.value = value
      if (value === '') return
    },
  })
  // A setting that comes out empty counts as not given: the default holds.
  visit(document, {
    Pair(_key, pair) {
      const value = pair.value as { value?: unknown; source?: string } | null
      if (value?.value === '' && value.source?.startsWith('${')) return visit.REMOVE
    },
  })
}

/** What one schema cannot see: SQL against parameters, paths against each other, addresses against tokens. */
function crossCheck(raw: unknown, folder: string, sqlOf: Map<string, string>, faults: Faults): void {
  const admin = recordAt(raw, ['admin'])
  const host = admin.host
  if (typeof host === 'string' && !isLoopback(host) && !admin.token) {
    faults.add(['admin', 'host'], 'is not a loopback address, so admin.token must be set', host)
  }
  const pathOwners = new Map<string, string>()
  for (const [name, route] of Object.entries(recordAt(raw, ['routes']))) {
    const at = (...rest: (string | number)[]): Path => ['routes', name, ...rest]
    const parameters = parametersOf(route)
    checkPath(recordAt(route, []).path, parameters, name, pathOwners, (sentence, value) =>
      faults.add(at('path'), sentence, value),
    )
    checkSql(
      recordAt(route, []).sql,
      parameters,
      folder,
      (sentence) => faults.add(at('sql'), sentence),
      (sql) => sqlOf.set(name, sql),
    )
    for (const [parameter, declared] of Object.entries(parameters)) {
      for (const problem of contradictions(declared)) faults.add(at('parameters', parameter), problem)
    }
    const tags = recordAt(route, []).tags
    for (const tag of Array.isArray(tags) ? tags : []) {
      for (const [, used] of String(tag).matchAll(/\{([^}]*)\}/g)) {
        if (!Object.hasOwn(parameters, used as string))
          faults.add(
            at('tags'),
            `names no parameter of this route: {${used}}${near(used as string, Object.keys(parameters))}`,
            tag,
          )
      }
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
      tell(`has a parameter that is not declared: :${name}${near(name, Object.keys(parameters))}`, path)
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
      tell(`uses :${name}, which is not declared in parameters${near(name, Object.keys(parameters))}`)
  }
  for (const name of Object.keys(parameters)) {
    if (!names.includes(name)) tell(`never uses the declared parameter :${name}${near(name, names)}`)
  }
}

/** What a parameter's settings say against each other. */
function contradictions(parameter: Parameter): string[] {
  const found: string[] = []
  const must = (holds: boolean, sentence: string) => holds || found.push(sentence)
  const preset = parameter.default
  switch (parameter.type) {
    case 'string': {
      must(parameter.minLength <= parameter.maxLength, 'has a minLength above its maxLength')
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

/** What is wrong, for the issues whose schema does not say it itself. Unknown keys: one line each, in their order. */
function sentence(issue: z.core.$ZodRawIssue): string | undefined {
  switch (issue.code) {
    case 'unrecognized_keys': {
      const known = Object.keys((issue.inst?._zod.def as unknown as { shape?: object })?.shape ?? {})
      return issue.keys
        .map((key) => `is not a setting here${near(key, known) || `; there are ${known.join(', ')}`}`)
        .join('\n')
    }
    case 'invalid_type':
      return issue.input === undefined ? 'is missing' : `is not ${article(issue.expected)}`
    case 'invalid_value':
      return `is none of ${issue.values.join(', ')}${typeof issue.input === 'string' ? near(issue.input, issue.values.map(String)) : ''}`
    case 'invalid_union':
      return issue.note === 'No matching discriminator' ? 'is none of the types string, integer, enum, list' : undefined
    case 'too_small':
      return issue.origin === 'number' || issue.origin === 'int' ? `must be at least ${issue.minimum}` : 'is too short'
    case 'too_big':
      return issue.origin === 'number' || issue.origin === 'int' ? `must be at most ${issue.maximum}` : 'is too long'
    case 'invalid_key':
      return issue.issues[0]?.message.startsWith('is ')
        ? issue.issues[0].message
        : 'is not a name: lower case letters, digits and _'
    default:
      return undefined
  }
}

function article(type: string): string {
  const name = {
    record: 'a mapping',
    object: 'a mapping',
    array: 'a list',
    int: 'a whole number',
    number: 'a whole number',
    boolean: 'true or false',
  }[type]
  return name ?? `a ${type}`
}

/** `; did you mean ports?` where one of `known` is at most two edits away. */
export function near(word: string, known: readonly string[]): string {
  const best = known
    .map((candidate) => ({ candidate, edits: editsBetween(word, candidate) }))
    .sort((a, b) => a.edits - b.edits)[0]
  return best !== undefined && best.edits <= Math.min(2, word.length / 2) ? `; did you mean ${best.candidate}?` : ''
}

/** Edits (insert, delete, replace, swap of neighbours) between two short words. */
function editsBetween(a: string, b: string): number {
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, j) => j)]
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i]
    for (let j = 1; j <= b.length; j += 1) {
      const [above, left, corner] = [rows[i - 1]?.[j] as number, row[j - 1] as number, rows[i - 1]?.[j - 1] as number]
      let least = Math.min(above + 1, left + 1, corner + (a[i - 1] === b[j - 1] ? 0 : 1))
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        least = Math.min(least, (rows[i - 2]?.[j - 2] as number) + 1)
      row.push(least)
    }
    rows.push(row)
  }
  return rows[a.length]?.[b.length] as number
}

function recordAt(value: unknown, path: Path): Record<string, unknown> {
  const found = valueAt(value, path)
  return typeof found === 'object' && found !== null && !Array.isArray(found) ? (found as Record<string, unknown>) : {}
}

function valueAt(value: unknown, path: Path): unknown {
  return path.reduce<unknown>(
    (at, part) => (typeof at === 'object' && at !== null ? (at as Record<string | number, unknown>)[part] : undefined),
    value,
  )
}
