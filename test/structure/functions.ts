// The length of functions.
import type { ESTree } from 'rolldown/utils'
import { type Node, type SourceFile, walk } from './source.ts'

/** The most lines of a function in proxy/, flat tables excepted. */
export const longestFunction = 60

export interface MeasuredFunction {
  /** With the names around it: `Ledger.apply`, `createApp.close`. */
  name: string
  file: string
  line: number
  lines: number
  isTable: boolean
}

type FunctionNode = ESTree.Function | ESTree.ArrowFunctionExpression

/**
 * Every function of `source`: declarations, methods, getters, constructors, arrow functions. Its lines go from its head to the end of
 * its body. The lines of an inner function count for both.
 */
export function functionsOf(source: SourceFile): MeasuredFunction[] {
  const found: MeasuredFunction[] = []
  walk(source.program, (node, above) => {
    if (!isFunction(node) || node.body === null) return
    const line = source.lineOf(headOf(node, above.at(-1)).start)
    const lines = source.lineOf(node.end) - line + 1
    found.push({ name: nameOf([...above, node]), file: source.path, line, lines, isTable: isFlatTable(node) })
  })
  return found
}

function isFunction(node: Node): node is FunctionNode {
  return (
    node.type === 'FunctionDeclaration' || node.type === 'FunctionExpression' || node.type === 'ArrowFunctionExpression'
  )
}

/** The node where a function begins: for a method, the one with its name. */
function headOf(node: FunctionNode, parent: Node | undefined): Node {
  const isMethod = parent?.type === 'MethodDefinition' || (parent?.type === 'Property' && parent.method)
  return isMethod ? parent : node
}

function nameOf(chain: readonly Node[]): string {
  const names = chain.flatMap((node) => ownName(node) ?? [])
  const parent = chain.at(-2)?.type
  if (parent === 'CallExpression' || parent === 'NewExpression') names.push('callback')
  return names.join('.') || 'anonymous'
}

function ownName(node: Node): string | undefined {
  switch (node.type) {
    case 'FunctionDeclaration':
    case 'ClassDeclaration':
      return node.id?.name
    case 'VariableDeclarator':
      return node.id.type === 'Identifier' ? node.id.name : undefined
    case 'MethodDefinition':
    case 'PropertyDefinition':
    case 'Property':
      return keyName(node.key)
    default:
      return undefined
  }
}

export function keyName(key: Node): string | undefined {
  if (key.type === 'Identifier') return key.name
  if (key.type === 'PrivateIdentifier') return `#${key.name}`
  return key.type === 'Literal' ? String(key.value) : undefined
}

/**
 * Whether a function is a flat table, which may have any length. A function is a flat table if its body is one statement:
 *
 * - a `switch` whose cases are empty, one expression or one `return`, with or without a `break` or `return` after it; or
 * - the `return` of an object or an array.
 *
 * It has no other statement, and no inner function with a body in braces, so it neither branches nor declares. Data at the top of a file
 * is no function, and is not measured.
 */
function isFlatTable({ body }: FunctionNode): boolean {
  if (body === null || holdsBlock(body)) return false
  if (body.type !== 'BlockStatement') return isLiteral(body)
  const [only, ...more] = body.body
  if (only === undefined || more.length > 0) return false
  if (only.type === 'ReturnStatement') return only.argument !== null && isLiteral(only.argument)
  return only.type === 'SwitchStatement' && only.cases.every(({ consequent }) => isRow(consequent))
}

function isLiteral(node: Node): boolean {
  const inner = node.type === 'ParenthesizedExpression' ? node.expression : node
  return inner.type === 'ObjectExpression' || inner.type === 'ArrayExpression'
}

function isRow([first, end, ...more]: readonly Node[]): boolean {
  if (first === undefined) return true
  const isOne = first.type === 'ExpressionStatement' || first.type === 'ReturnStatement'
  const isEnd = end === undefined || end.type === 'BreakStatement' || (end.type === 'ReturnStatement' && !end.argument)
  return isOne && isEnd && more.length === 0
}

/** Whether a function with a body in braces is below `root`. */
function holdsBlock(root: Node): boolean {
  let holds = false
  walk(root, (node) => {
    if (isFunction(node) && node.body?.type === 'BlockStatement') holds = true
  })
  return holds
}
