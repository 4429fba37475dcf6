// Where a type is claimed instead of checked.
import type { ESTree } from 'rolldown/utils'
import { type Node, readText, type SourceFile, walk } from './source.ts'

/**
 * What a cast is there for:
 *
 * - `lookup`: to drop `undefined` from what an index, a map or the end of an array gives;
 * - `json`: to give what was parsed, or came from somebody else, a shape;
 * - `match`: to give the groups of a regular expression a shape;
 * - `twice`: through `unknown`, which no check of the compiler stands against;
 * - `scalar`: to have a value be a string, a number, or a list of them;
 * - `other`.
 */
export type CastKind = 'lookup' | 'json' | 'match' | 'twice' | 'scalar' | 'other'

export interface Cast {
  file: string
  line: number
  /** The type it claims. */
  type: string
  text: string
  kind: CastKind
}

type CastNode = ESTree.TSAsExpression | ESTree.TSTypeAssertion

/** The casts of `source`: `value as T` and `<T>value`. `as const`, `satisfies` and names of imports and exports are none. */
export function castsOf(source: SourceFile): Cast[] {
  const found: Cast[] = []
  walk(source.program, (node, above) => {
    if (!isCast(node) || source.spelling(node.typeAnnotation) === 'const') return
    // `value as unknown as T` is one.
    const outer = above.at(-1)
    if (outer !== undefined && isCast(outer)) return
    found.push({
      file: source.path,
      line: source.lineOf(node.start),
      type: source.spelling(node.typeAnnotation).replace(/< | >/g, (space) => space.trim()),
      text: source.spelling(node),
      kind: kindOf(node, source),
    })
  })
  return found
}

function isCast(node: Node): node is CastNode {
  return node.type === 'TSAsExpression' || node.type === 'TSTypeAssertion'
}

const lookups = new Set(['at', 'get', 'pop', 'shift', 'next', 'find', 'value'])
const parsers = new Set(['parse', 'json', 'data'])
const matches = new Set(['exec', 'match', 'matchAll', 'groups'])

function kindOf(node: CastNode, source: SourceFile): CastKind {
  const from = bare(node.expression)
  if (isCast(from)) return 'twice'
  if (from.type === 'MemberExpression' && from.computed) return 'lookup'
  const name = lastName(from)
  if (matches.has(name)) return 'match'
  if (parsers.has(name)) return 'json'
  if (lookups.has(name)) return 'lookup'
  return /^(string|number|boolean)\b(\[\])?$/.test(source.spelling(node.typeAnnotation)) ? 'scalar' : 'other'
}

/** What is inside of parentheses, `await`, `?.` and `!`. */
function bare(node: Node): Node {
  switch (node.type) {
    case 'ParenthesizedExpression':
    case 'ChainExpression':
    case 'TSNonNullExpression':
      return bare(node.expression)
    case 'AwaitExpression':
      return bare(node.argument)
    default:
      return node
  }
}

/** The name of the method called, or of the property read. */
function lastName(node: Node): string {
  const read = node.type === 'CallExpression' ? bare(node.callee) : node
  return read.type === 'MemberExpression' && read.property.type === 'Identifier' ? read.property.name : ''
}

/** A cast that may stay, or several alike in one file, and why. */
export interface AllowedCast {
  file: string
  type: string
  /** One where nothing else is said. */
  count?: number
  reason: string
}

export function allowedCasts(): AllowedCast[] {
  return JSON.parse(readText('test/structure/casts.json'))
}

/** The casts that are not allowed, and what is allowed and no longer there. */
export function judge(casts: readonly Cast[], allowed: readonly AllowedCast[]) {
  const left = new Map(allowed.map((one) => [`${one.file} ${one.type}`, one.count ?? 1]))
  const refused = casts.filter(({ file, type }) => {
    const count = left.get(`${file} ${type}`) ?? 0
    left.set(`${file} ${type}`, count - 1)
    return count <= 0
  })
  const unused = allowed.filter(({ file, type }) => (left.get(`${file} ${type}`) ?? 0) > 0)
  return { refused, unused }
}
