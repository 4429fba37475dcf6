// The error details that the code gives to Problem.
import { type Node, type SourceFile, walk } from './source.ts'
import { countWords, oneWord, sentencesOf } from './texts.ts'

export interface FoundDetail {
  /** A value that is known only at run time is one word. */
  text: string
  file: string
  line: number
}

/**
 * Every detail that `source` gives to Problem or to a class that extends it. A conditional gives one detail for each outcome. A parameter
 * gives the arguments of the calls in the same file, a constant its value. Details from other files and libraries are left out.
 */
export function detailsIn(source: SourceFile): FoundDetail[] {
  if (!/\bnew Problem\(|\bextends Problem\b/.test(source.text)) return []
  const scope = scopeOf(source)
  return scope.problems.flatMap(({ node, above }) =>
    detailOf(node, above, scope).map((text) => ({ text, file: source.path, line: source.lineOf(node.start) })),
  )
}

interface Scope {
  /** The detail of each `new Problem(code, detail)`, and the nodes above it. */
  problems: { node: Node; above: readonly Node[] }[]
  /** The initial value of each constant, by its name. */
  constants: Map<string, Node>
  /** The arguments of each call of a function, by its name. */
  calls: Map<string, (readonly Node[])[]>
}

function scopeOf(source: SourceFile): Scope {
  const scope: Scope = { problems: [], constants: new Map(), calls: new Map() }
  const classes = new Set([
    'Problem',
    ...[...source.text.matchAll(/class (\w+) extends Problem\b/g)].map(([, name]) => name),
  ])
  walk(source.program, (node, above) => {
    if (node.type === 'VariableDeclarator' && node.id.type === 'Identifier' && node.init !== null)
      scope.constants.set(node.id.name, node.init)
    if (node.type === 'CallExpression' && node.callee.type === 'Identifier')
      scope.calls.set(node.callee.name, [...(scope.calls.get(node.callee.name) ?? []), node.arguments])
    const detail = node.type === 'NewExpression' ? node.arguments[1] : undefined
    if (node.type !== 'NewExpression' || node.callee.type !== 'Identifier' || detail === undefined) return
    if (classes.has(node.callee.name)) scope.problems.push({ node: detail, above: [...above] })
  })
  return scope
}

/** The possible texts of a detail, as far as this file has them. */
function detailOf(node: Node, above: readonly Node[], scope: Scope): string[] {
  if (node.type === 'Identifier') {
    const constant = scope.constants.get(node.name)
    const given = constant !== undefined ? [constant] : argumentsFor(node.name, above, scope)
    return given.flatMap(spellings).filter((text) => text !== oneWord)
  }
  if (node.type === 'MemberExpression' && node.object.type === 'Identifier') {
    const table = scope.constants.get(node.object.name)
    if (table?.type !== 'ObjectExpression') return []
    return table.properties.flatMap((row) => (row.type === 'Property' ? spellings(row.value) : []))
  }
  return spellings(node).filter((text) => text !== oneWord)
}

/** The arguments that this file gives for `name`, a parameter of a function around. */
function argumentsFor(name: string, above: readonly Node[], { calls }: Scope): Node[] {
  for (let at = above.length - 1; at >= 0; at--) {
    const own = above[at]
    if (own === undefined || !('params' in own) || !Array.isArray(own.params)) continue
    const place = own.params.findIndex((parameter) => parameter.type === 'Identifier' && parameter.name === name)
    if (place === -1) continue
    const named = own.type === 'FunctionDeclaration' ? own : above[at - 1]
    const id = named !== undefined && 'id' in named ? named.id : undefined
    if (id?.type !== 'Identifier') return []
    return (calls.get(id.name) ?? []).flatMap((given) => given[place] ?? [])
  }
  return []
}

/** Every text that an expression may give, with {@link oneWord} for an unknown part. */
function spellings(node: Node): string[] {
  switch (node.type) {
    case 'Literal':
      return [String(node.value)]
    case 'TemplateLiteral':
      return node.quasis.reduce<string[]>(
        (texts, { value }, at) => {
          const hole = node.expressions[at]
          const parts = hole === undefined ? [''] : spellings(hole)
          return texts.flatMap((text) => parts.map((part) => text + (value.cooked ?? value.raw) + part))
        },
        [''],
      )
    case 'ConditionalExpression':
      return [...spellings(node.consequent), ...spellings(node.alternate)]
    case 'LogicalExpression':
      return [...spellings(node.left), ...spellings(node.right)]
    case 'BinaryExpression':
      return spellings(node.left).flatMap((left) => spellings(node.right).map((right) => left + right))
    default:
      return [oneWord]
  }
}

const mostSentences = 2
const mostWords = 30

/** The rule that a detail breaks; undefined if it breaks none. An unknown value at its beginning or end is accepted. */
export function faultOfDetail(text: string): string | undefined {
  const sentences = sentencesOf(text)
  if (sentences.length > mostSentences) return `more than ${mostSentences} sentences`
  if (sentences.some((sentence) => countWords(sentence) > mostWords))
    return `a sentence of more than ${mostWords} words`
  if (!/[.\uE000]$/.test(text)) return 'no full stop at its end'
  return /^["'“‘`(]|^[\p{Lu}\uE000]/u.test(text) ? undefined : 'no capital or quote at its beginning'
}

/** The details in `sources` that break a rule, each with its place. */
export function detailFaults(sources: readonly SourceFile[]): string[] {
  return sources.flatMap(detailsIn).flatMap(({ text, file, line }) => {
    const fault = faultOfDetail(text)
    return fault === undefined ? [] : [`${file}:${line}: ${fault}: ${text.replaceAll(oneWord, '…')}`]
  })
}
