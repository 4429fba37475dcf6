// Reading the configuration file: environment, YAML, every fault with its line.
import { readFileSync } from 'node:fs'
import { basename, dirname, resolve } from 'node:path'
import { type Document, isMap, isNode, isScalar, LineCounter, parseDocument, visit } from 'yaml'
import { z } from 'zod'
import { messageOf, quote, Refusal } from '../errors.ts'
import { suggest } from '../suggest.ts'
import { crossCheck } from './check.ts'
import { type Path, valueAt } from './raw.ts'
import { type Config, complete, schema } from './schema.ts'

type Environment = Readonly<Record<string, string | undefined>>

/**
 * Reads and validates a configuration file.
 *
 * `${NAME}` and `${NAME:-default}` in its scalars are taken from `environment`; a setting that becomes empty counts as not given.
 * Paths of SQL files are relative to the file. Throws one {@link Refusal} with all faults, one a line, each with its line number,
 * its path, the bad value and the nearest known name.
 */
export function readConfig(file: string, environment: Environment): Config {
  const faults = new Faults(file)
  const document = parseYaml(file, faults)
  substitute(document, environment, faults)
  const raw = withoutNotGiven(document.toJS() ?? {})

  const checked = schema.safeParse(raw, { error: sentence })
  for (const issue of checked.error?.issues ?? []) addIssue(issue, raw, faults)
  const sqlOf = crossCheck(raw, dirname(file), (...fault) => faults.add(...fault))
  faults.throwIfAny()
  if (!checked.success) throw checked.error // a defect: every issue is a fault
  const read = checked.data
  const { tls } = read.listen
  if (tls !== undefined) read.listen.tls = { cert: beside(file, tls.cert), key: beside(file, tls.key) }
  return complete(read, sqlOf)
}

/** Adds one issue of the schema to the faults. Of unknown keys each is a fault: the lines of the message, in the same order. */
function addIssue(issue: z.core.$ZodIssue, raw: unknown, faults: Faults): void {
  const at = issue.path.filter((part) => typeof part !== 'symbol') // YAML has none
  if (issue.code === 'unrecognized_keys') {
    const sentences = issue.message.split('\n')
    for (const [i, key] of issue.keys.entries()) faults.add([...at, key], sentences[i] ?? issue.message)
  } else faults.add(at, issue.message, valueAt(raw, at))
}

function beside(file: string, path: string): string {
  return resolve(dirname(file), path)
}

class Faults {
  readonly #sentences = new Map<string, number>()
  readonly #file: string
  lineOf: (path: Path) => number | undefined = () => undefined
  lineAt: (node: unknown) => number | undefined = () => undefined
  /** The environment variables from which the setting at a path was taken. */
  variablesOf: (path: Path) => readonly string[] = () => []

  constructor(file: string) {
    this.#file = basename(file)
  }

  add(path: Path, sentence: string, value?: unknown, line = this.lineOf(path)): void {
    const where = `${this.#file}${line === undefined ? '' : `:${line}`}`
    const name = path.length === 0 ? '' : ` ${path.join('.')}:`
    const quoted = value === undefined || mayBeSecret(path) ? '' : ` ${quote(value)}`
    const variables = this.variablesOf(path)
    const from = variables.length === 0 ? '' : ` (it comes from ${variables.join(' and ')})`
    this.#sentences.set(`${where}${name}${quoted} ${sentence}${from}`, line ?? 0)
  }

  get count(): number {
    return this.#sentences.size
  }

  throwIfAny(): void {
    if (this.#sentences.size === 0) return
    throw new Refusal([...this.#sentences].sort(([, a], [, b]) => a - b).map(([text]) => text))
  }
}

/** Whether the value at `path` may contain a password or a token, also a misplaced one. Such a value is never shown. */
function mayBeSecret([section, ...rest]: Path): boolean {
  if (!['admin', 'redis', 'postgres', 'upstream', 'traces'].includes(String(section))) return false
  return rest.length === 0 || rest[0] === 'token' || rest[0] === 'url'
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
  const lineAt = (node: unknown) => {
    const start = isNode(node) ? node.range?.[0] : undefined
    return start === undefined ? undefined : lineCounter.linePos(start).line
  }
  faults.lineAt = lineAt
  faults.lineOf = (path) => {
    for (let depth = path.length; depth > 0; depth -= 1) {
      // The line of the name if there is one: its value may begin lines below.
      const parent = depth === 1 ? document.contents : document.getIn(path.slice(0, depth - 1), true)
      const name = isMap(parent) && parent.items.find(({ key }) => isScalar(key) && key.value === path[depth - 1])?.key
      const line = lineAt(name) ?? lineAt(document.getIn(path.slice(0, depth), true))
      if (line !== undefined) return line
    }
    return undefined
  }
  for (const error of document.errors) {
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the file spells it so
    const hint = source.includes('${') ? '. Within { } and [ ], ${NAME:-default} needs quotes' : ''
    faults.add([], `is not YAML: ${error.message}${hint}`, undefined, lineCounter.linePos(error.pos[0]).line)
  }
  visit(document, {
    Alias(_key, alias) {
      if (alias.resolve(document) === undefined) {
        faults.add([], `refers to an anchor that does not exist: *${alias.source}`, undefined, lineAt(alias))
      }
    },
  })
  // In a file with a broken structure all further faults would mislead. A repeated key does not break the structure.
  const isBroken = document.errors.some((error) => error.code !== 'DUPLICATE_KEY')
  if (isBroken || faults.count > document.errors.length) faults.throwIfAny()
  return document
}

/** Marks a setting that became empty. (It is not removed: an alias may refer to it.) */
const notGiven = Symbol('not given')

/** `value` without the settings that are not given. */
function withoutNotGiven(value: unknown): unknown {
  if (Array.isArray(value)) return value.filter((item) => item !== notGiven).map(withoutNotGiven)
  if (typeof value !== 'object' || value === null) return value
  const given = Object.entries(value).filter(([, setting]) => setting !== notGiven)
  return Object.fromEntries(given.map(([name, setting]) => [name, withoutNotGiven(setting)]))
}

/** Replaces `${NAME}` in all scalars. A setting that becomes empty counts as not given, so that its default holds. */
function substitute(document: Document, environment: Environment, faults: Faults): void {
  const variables = new Map<unknown, string[]>()
  faults.variablesOf = (path) => (path.length === 0 ? [] : (variables.get(document.getIn(path, true)) ?? []))
  visit(document, {
    Scalar(_key, node) {
      if (typeof node.value !== 'string' || !node.value.includes('${')) return
      const value = node.value.replace(/\$\{([A-Za-z_]\w*)(?::-([^}]*))?\}/g, (_all, name: string, preset?: string) => {
        const given = Object.hasOwn(environment, name) ? environment[name] : undefined
        if (given !== undefined && (given !== '' || preset === undefined)) {
          variables.set(node, [...(variables.get(node) ?? []), name])
          return given
        }
        if (preset === undefined) {
          const advice = `\${${name}} is not set in the environment and has no default: write \${${name}:-default}`
          faults.add([], advice, undefined, faults.lineAt(node))
        }
        return preset ?? ''
      })
      node.value = value === '' ? notGiven : value
    },
  })
}

/** The sentence for an issue whose schema has none. For unknown keys: one line each, in their order. */
function sentence(issue: z.core.$ZodRawIssue): string | undefined {
  switch (issue.code) {
    case 'unrecognized_keys': {
      const known = issue.inst instanceof z.ZodObject ? Object.keys(issue.inst.shape) : []
      return issue.keys
        .map((key) => `is not a setting here${suggest(key, known) || `; the settings here are ${known.join(', ')}`}`)
        .join('\n')
    }
    case 'invalid_type':
      return issue.input === undefined ? 'is missing' : `is not ${article(issue.expected)}`
    case 'invalid_value':
      return `is not one of ${issue.values.join(', ')}${typeof issue.input === 'string' ? suggest(issue.input, issue.values.map(String)) : ''}`
    case 'too_small':
      return limitSentence(issue.origin, 'at least', issue.minimum)
    case 'too_big':
      return limitSentence(issue.origin, 'at most', issue.maximum)
    default:
      return undefined
  }
}

function limitSentence(of: string, bound: 'at least' | 'at most', amount: number | bigint): string {
  if (of === 'number' || of === 'int') return `must be ${bound} ${amount}`
  return amount === 1 ? 'must not be empty' : `must have ${bound} ${amount} ${of === 'array' ? 'items' : 'characters'}`
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
