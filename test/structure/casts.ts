// Casts: places where a type is claimed instead of checked.
import type { ESTree } from 'rolldown/utils'
import { type Node, readText, type SourceFile, walk } from './source.ts'

/**
 * The purpose of a cast:
 *
 * - `lookup`: drops `undefined` from the result of an index, a map or an array method;
 * - `json`: gives parsed or received data a shape;
 * - `match`: gives the groups of a regular expression a shape;
 * - `twice`: goes through `unknown`, which the compiler never refuses;
 * - `any`: is no cast, but a parsed value that the compiler types as `any`, because it is neither `unknown` nor passed to a schema;
 * - `scalar`: claims a string, a number, a boolean, or a list of them;
 * - `other`.
 */
export type CastKind = 'lookup' | 'json' | 'match' | 'twice' | 'any' | 'scalar' | 'other'

export interface Cast {
  file: string
  line: number
  /** The claimed type. */
  type: string
  text: string
  kind: CastKind
}

type CastNode = ESTree.TSAsExpression | ESTree.TSTypeAssertion

/** The casts of `source`: `value as T` and `<T>value`. `as const`, `satisfies` and renamed imports and exports are no casts. */
export function castsOf(source: SourceFile): Cast[] {
  const found: Cast[] = []
  walk(source.program, (node, above) => {
    if (!isCast(node) || source.spelling(node.typeAnnotation) === 'const') return
    // `value as unknown as T` counts once.
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

/** Whether a call returns `any`: JSON.parse(), response.json() and vm.runIn…Context(). */
function givesAny(node: Node): boolean {
  if (node.type !== 'CallExpression') return false
  const { callee, arguments: given } = node
  if (callee.type === 'Identifier') return /^runIn\w*Context$/.test(callee.name)
  if (lastName(node) === 'json') return given.length === 0
  return isJsonParse(callee)
}

function isJsonParse(node: Node): boolean {
  return node.type === 'MemberExpression' && lastName(node) === 'parse' && nameOf(node.object) === 'JSON'
}

function nameOf(node: Node): string | undefined {
  return node.type === 'Identifier' ? node.name : undefined
}

/** The values of type `any` in `source` that get a type without a cast. */
export function anyOf(source: SourceFile): Cast[] {
  const found: Cast[] = []
  /** The variables that are `unknown`, and those that are not, as far as declared. */
  const unknowns = new Map<string, boolean>()
  walk(source.program, (node, above) => {
    if (node.type === 'VariableDeclarator' && node.id.type === 'Identifier')
      unknowns.set(node.id.name, isUnknown(node.id.typeAnnotation, docBefore(above.at(-1), source), 'type', source))
    if (!givesAny(node) || isNarrowed(node, above, unknowns, source)) return
    found.push({
      file: source.path,
      line: source.lineOf(node.start),
      type: 'any',
      text: source.spelling(node),
      kind: 'any',
    })
  })
  return found
}

const wrappers = new Set(['ParenthesizedExpression', 'ChainExpression', 'TSNonNullExpression', 'AwaitExpression'])

function isNarrowed(node: Node, above: readonly Node[], unknowns: ReadonlyMap<string, boolean>, source: SourceFile) {
  const user = above.findLast(({ type }) => !wrappers.has(type))
  switch (user?.type) {
    case 'VariableDeclarator':
      return user.id.type === 'Identifier' && unknowns.get(user.id.name) === true
    case 'AssignmentExpression':
      return unknowns.get(nameOf(user.left) ?? '') === true
    case 'ReturnStatement':
    case 'ArrowFunctionExpression':
      return returnsUnknown(above, source)
    case 'CallExpression':
      return isCheck(user.callee) && user.callee !== node
    default:
      return user !== undefined && isCast(user) // which is counted as such
  }
}

/** Whether a call checks its argument: a schema does, and so does a conversion to a scalar. */
function isCheck(callee: Node): boolean {
  if (callee.type === 'Identifier') return /^(String|Number|Boolean)$/.test(callee.name)
  return /^(safeP|p)arse$/.test(lastName(callee)) && !isJsonParse(callee)
}

function returnsUnknown(above: readonly Node[], source: SourceFile): boolean {
  const at = above.findLastIndex(({ type }) =>
    /^(FunctionDeclaration|FunctionExpression|ArrowFunctionExpression)$/.test(type),
  )
  const inside = above[at]
  if (inside === undefined || !('returnType' in inside)) return false
  const parent = above[at - 1]
  const documented = parent?.type.startsWith('Export') || parent?.type === 'MethodDefinition' ? parent : inside
  return isUnknown(inside.returnType, docBefore(documented, source), 'returns', source)
}

type Annotation = ESTree.TSTypeAnnotation | null | undefined

function isUnknown(annotation: Annotation, doc: string, tag: 'type' | 'returns', source: SourceFile): boolean {
  const type = annotation ? source.spelling(annotation.typeAnnotation) : doc.match(`@${tag} \\{(.*?)\\}`)?.[1]
  return type === 'unknown' || type === 'Promise<unknown>'
}

/** The JSDoc comment that ends right before `node`. */
function docBefore(node: Node | undefined, source: SourceFile): string {
  const before = source.text.slice(0, node?.start ?? 0).trimEnd()
  return before.endsWith('*/') ? before.slice(before.lastIndexOf('/**')) : ''
}

/** The expression inside parentheses, `await`, `?.` and `!`. */
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

/** The name of the called method, or of the property. */
function lastName(node: Node): string {
  const read = node.type === 'CallExpression' ? bare(node.callee) : node
  return read.type === 'MemberExpression' && read.property.type === 'Identifier' ? read.property.name : ''
}

/** An allowed cast, or several of the same kind in one file, with the reason. */
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

/** The casts that are not allowed, and the allowances without a cast. */
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
