// Every name the code base gives to something.
import { type Node, pathsIn, readText, type SourceFile, walk } from './source.ts'

/**
 * Where a name was found. An exported interface counts three times: `export`, `top` (at the top of its file) and `name`.
 *
 * - `name`: any identifier, parameters and local variables too; a property that is only read belongs to whoever declares it;
 * - `member`: of a class, an interface or an object;
 * - `code`: a string that is one word or two: a kind, a state, a name of a metric;
 * - `file`: a file or a folder, without its ending; `metric`, `setting`: in the files of config/.
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
  return node.type === 'Literal' && typeof node.value === 'string' ? node.value : undefined
}

function kindsOf(node: Node, text: string, above: readonly Node[], exported: ReadonlySet<string>): NameKind[] {
  const parent = above.at(-1)
  if (parent === undefined || parent.type.startsWith('Import') || parent.type === 'ExportAllDeclaration') return []
  const isKey = 'key' in parent && parent.key === node && above.at(-2)?.type !== 'ObjectPattern'
  if (node.type === 'Literal') {
    if (isKey) return ['member']
    return /^[A-Za-z_][\w.:-]*( [\w-]+)?$/.test(text) ? ['code'] : []
  }
  if (parent.type === 'MemberExpression' && parent.property === node && !parent.computed) return []
  const isTop = 'id' in parent && parent.id === node && isAtTop(above)
  return [
    'name',
    ...(isKey ? (['member'] as const) : []),
    ...(isTop ? (['top'] as const) : []),
    ...(isTop && exported.has(text) ? (['export'] as const) : []),
  ]
}

/** Whether what `above` ends in is declared by no function or block, but by its file. */
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

/** The settings and metrics that files of config/ name, those for Prometheus and Grafana too. */
export function configNames(): FoundName[] {
  const patterns: [NameKind, RegExp][] = [
    ['metric', /\bonramp_\w+/g],
    ['setting', /^[ {"-]*([A-Za-z_][\w-]*)"?:/gm],
  ]
  return pathsIn('config', '{yaml,json}').flatMap((file) => {
    const lines = readText(file).split('\n')
    return lines.flatMap((text, i) =>
      patterns.flatMap(([kind, pattern]) =>
        [...text.matchAll(pattern)].map(([all, own]) => ({ text: own ?? all, kinds: [kind], file, line: i + 1 })),
      ),
    )
  })
}
