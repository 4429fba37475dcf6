// The names in the code base.
import { type Node, pathsIn, readText, SourceFile, walk } from './source.ts'

/**
 * The kind of place where a name stands. An exported interface has three: `export`, `top` (at the top of its file) and `name`.
 *
 * - `name`: any declared identifier, also a parameter or local variable; a property that is only read is none;
 * - `member`: of a class, an interface or an object;
 * - `code`: a string, or a piece of a template, of one or two words: a kind, a state, the name of a metric;
 * - `file`: a file or a folder, without its ending; `setting`: in the files of config/;
 * - `metric`: a word that begins with `onramp_`, wherever it stands: in a longer string, in a comment, in a document.
 */
export type NameKind = 'name' | 'member' | 'top' | 'export' | 'code' | 'file' | 'metric' | 'setting'

export interface FoundName {
  text: string
  kinds: readonly NameKind[]
  file: string
  line: number
}

/** `text` in lower case, its words between hyphens: `isBusy`, `is_busy` and `IsBusy` are all `-is-busy-`. */
export function wordsOf(text: string): string {
  const apart = text.replace(/([a-z\d])([A-Z])/g, '$1-$2').replace(/([A-Z])([A-Z][a-z])/g, '$1-$2')
  return `-${
    apart
      .toLowerCase()
      .match(/[a-z\d]+/g)
      ?.join('-') ?? ''
  }-`
}

/** The names in the code of `source`. */
export function namesIn(source: SourceFile): FoundName[] {
  const found: FoundName[] = []
  const exported = new Set(source.exports)
  walk(source.program, (node, above) => {
    const text = textOf(node)
    const kinds = text === undefined ? [] : kindsOf(node, text, above, exported)
    if (text !== undefined && kinds.length > 0)
      found.push({ text, kinds, file: source.path, line: source.lineOf(node.start) })
  })
  return found
}

function textOf(node: Node): string | undefined {
  if (node.type === 'Identifier' || node.type === 'PrivateIdentifier') return node.name
  // Punctuation around a piece of a template is not part of a word; a space around it makes it part of a sentence.
  if (node.type === 'TemplateElement') return node.value.raw.replace(/^[^\w\s]+|[^\w\s]+$/g, '')
  return node.type === 'Literal' && typeof node.value === 'string' ? node.value : undefined
}

function kindsOf(node: Node, text: string, above: readonly Node[], exported: ReadonlySet<string>): NameKind[] {
  const parent = above.at(-1)
  if (parent === undefined || parent.type.startsWith('Import') || parent.type === 'ExportAllDeclaration') return []
  const isKey = 'key' in parent && parent.key === node && above.at(-2)?.type !== 'ObjectPattern'
  if (node.type === 'Literal') {
    if (isKey) return ['member']
    return isCode(text) ? ['code'] : []
  }
  if (node.type === 'TemplateElement') return isCode(text) ? ['code'] : []
  if (parent.type === 'MemberExpression' && parent.property === node && !parent.computed) return []
  const isTop = 'id' in parent && parent.id === node && isAtTop(above)
  return [
    'name',
    ...(isKey ? (['member'] as const) : []),
    ...(isTop ? (['top'] as const) : []),
    ...(isTop && exported.has(text) ? (['export'] as const) : []),
  ]
}

const isCode = (text: string) => /^[A-Za-z_][\w.:-]*( [\w-]+)?$/.test(text)

/** Whether the last node of `above` is declared at the top of its file. */
function isAtTop(above: readonly Node[]): boolean {
  const around = above.slice(1, -1)
  return around.every(({ type }) => type === 'ExportNamedDeclaration' || type === 'VariableDeclaration')
}

/** The names of the files of `folder`, and of its folders. */
export function fileNames(folder: string): FoundName[] {
  return pathsIn(folder, '*').flatMap((file) =>
    file.split('/').map((part) => ({ text: part.replace(/\..*$/, ''), kinds: ['file'], file, line: 1 }) as const),
  )
}

/** The settings in the files of config/. */
export function configNames(): FoundName[] {
  return pathsIn('config', '{yaml,json}').flatMap((path) =>
    matchesIn(new SourceFile(path, readText(path)), /^[ {"-]*([A-Za-z_][\w-]*)"?:/gm, ['setting']),
  )
}

/** The metrics named in a file of any kind: code, a document, rules for Prometheus. */
export function metricsIn(source: SourceFile): FoundName[] {
  return matchesIn(source, /\b(onramp_\w+)/g, ['metric'])
}

/** The types defined in the comments of a file, which other files may import. */
export function typedefsIn(source: SourceFile): FoundName[] {
  if (!source.path.endsWith('.js')) return []
  const definition = /@typedef\s+(?:\{[\s\S]*?\}\s+)?(?:\*\s+)?([A-Za-z_]\w*)/g
  return matchesIn(source, definition, ['name', 'top', 'export'])
}

/** The names in HTML (`id`, `class`, `data-` attributes) and CSS (selectors, custom properties). The values of `data-` are codes. */
export function pageNames(source: SourceFile): FoundName[] {
  const names = source.path.endsWith('.css') ? /(?:[.#]|--)([a-z][\w-]*)/gi : /\s(?:id|class|for)="([^"]*)"/g
  return [
    ...matchesIn(source, names, ['name']).flatMap((found) =>
      found.text.split(/\s+/).map((text) => ({ ...found, text })),
    ),
    ...matchesIn(source, /[\s[]data-([\w-]+)/g, ['name']),
    ...matchesIn(source, /[\s[]data-[\w-]+="([^"]*)"/g, ['code']),
  ]
}

/** The first group of every match of `pattern`. */
function matchesIn(source: SourceFile, pattern: RegExp, kinds: readonly NameKind[]): FoundName[] {
  return [...source.text.matchAll(pattern)].map(({ 1: text = '', index }) => ({
    text,
    kinds,
    file: source.path,
    line: source.lineOf(index),
  }))
}
