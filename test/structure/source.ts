// The files of the code base: text, comments and syntax trees.
import { globSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { type ESTree, type ParseResult, parseSync } from 'rolldown/utils'

export type Node = ESTree.Node

/** The folders with code. */
export const folders = ['proxy', 'bench', 'config', 'test']
export const home = fileURLToPath(new URL('../../', import.meta.url))

/** Matches a block comment, consecutive line comments, or a comment after code. The parser would be exact, but is slow. */
export const commentPattern = /\/\*(?=[*\s])[\s\S]*?\*\/|^[ \t]*\/\/.*(?:\n[ \t]*\/\/.*)*|(?<=[\s;,{}()])\/\/ .*/gm

/** A file. It is parsed at the first use of its syntax tree, because parsing takes most of the time. */
export class SourceFile {
  /** Relative to the root of the repository, with slashes. */
  readonly path: string
  readonly text: string
  #parseResult: ParseResult | undefined
  #lineEnds: number[] | undefined
  #code: string | undefined

  constructor(path: string, text: string) {
    this.path = path
    this.text = text
  }

  /** Throws if the file cannot be parsed. */
  get #parsed(): ParseResult {
    if (this.#parseResult !== undefined) return this.#parseResult
    const result = parseSync(this.path, this.text)
    const [fault] = result.errors
    if (fault !== undefined) throw new Error(`${this.path}: ${fault.message}`)
    this.#parseResult = result
    return result
  }

  get program(): ESTree.Program {
    return this.#parsed.program
  }

  /** The text without its comments. */
  get code(): string {
    this.#code ??= this.text.replace(commentPattern, '')
    return this.#code
  }

  /** The exported names, without re-exports. */
  get exports(): string[] {
    return this.#parsed.module.staticExports.flatMap(({ entries }) =>
      entries.flatMap(({ moduleRequest, exportName }) => (moduleRequest === null ? (exportName.name ?? []) : [])),
    )
  }

  get lines(): number {
    return this.lineOf(this.text.length - 1)
  }

  /** The line of the character at `offset`, counted from 1. */
  lineOf(offset: number): number {
    this.#lineEnds ??= [...this.text.matchAll(/\n/g)].map(({ index }) => index)
    let [low, high] = [0, this.#lineEnds.length]
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#lineEnds[middle] ?? offset) < offset) low = middle + 1
      else high = middle
    }
    return low + 1
  }

  /** The source of `node`, on one line. */
  spelling({ start, end }: { start: number; end: number }): string {
    return this.text.slice(start, end).replace(/\s+/g, ' ')
  }
}

const known = new Map<string, SourceFile[]>()

/** Every file of code in `folder`, sorted by path. Each is read once. */
export function sourcesIn(folder: string): SourceFile[] {
  const before = known.get(folder)
  if (before !== undefined) return before
  const files = pathsIn(folder, '{ts,js}').map((path) => new SourceFile(path, readFileSync(home + path, 'utf8')))
  known.set(folder, files)
  return files
}

/** The paths of the files in `folder` whose names end in `.ENDING`, sorted. */
export function pathsIn(folder: string, ending: string): string[] {
  const paths = globSync(`${folder}/**/*.${ending}`, { cwd: home })
  return paths.map((path) => path.replaceAll('\\', '/')).sort()
}

export function readText(path: string): string {
  return readFileSync(home + path, 'utf8')
}

/** Calls `visit` for `root` and every node below it, parents first, with the nodes above it, nearest last. */
export function walk(root: Node, visit: (node: Node, above: readonly Node[]) => void): void {
  const above: Node[] = []
  const go = (node: Node): void => {
    visit(node, above)
    above.push(node)
    for (const key in node) {
      const child: unknown = Reflect.get(node, key)
      if (Array.isArray(child)) for (const one of child) if (isNode(one)) go(one)
      if (isNode(child)) go(child)
    }
    above.pop()
  }
  go(root)
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && 'type' in value
}
