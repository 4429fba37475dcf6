// The code base as syntax trees.
import { globSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { type ESTree, type ParseResult, parseSync } from 'rolldown/utils'

export type Node = ESTree.Node

/** The folders that hold code. */
export const folders = ['proxy', 'bench', 'config', 'test']
export const home = fileURLToPath(new URL('../../', import.meta.url))

/** A block of a comment, lines of it that follow each other, or the rest of a line. Told by its looks: the parser is never wrong, but slow. */
export const commentPattern = /\/\*(?=[*\s])[\s\S]*?\*\/|^[ \t]*\/\/.*(?:\n[ \t]*\/\/.*)*|(?<=[\s;,{}()])\/\/ .*/gm

/** A file of code. It is parsed when something is asked of it that takes that: most of the time is spent there. */
export class SourceFile {
  /** From the root of the repository, with slashes. */
  readonly path: string
  readonly text: string
  #parseResult: ParseResult | undefined
  #lineEnds: number[] | undefined
  #code: string | undefined

  constructor(path: string, text: string) {
    this.path = path
    this.text = text
  }

  /** Throws where the file cannot be parsed. */
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

  /** The text without its comments, which need no parsing. */
  get code(): string {
    this.#code ??= this.text.replace(commentPattern, '')
    return this.#code
  }

  /** The names it exports, those it only hands on left out. */
  get exports(): string[] {
    return this.#parsed.module.staticExports.flatMap(({ entries }) =>
      entries.flatMap(({ moduleRequest, exportName }) => (moduleRequest === null ? (exportName.name ?? []) : [])),
    )
  }

  get lines(): number {
    return this.lineOf(this.text.length - 1)
  }

  /** The line, counted from 1, in which the character at `offset` is. */
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

/** Every file of code in `folder`, by path. Each is read once. */
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

/** Calls `visit` with every node below `root`, a parent before its children, and the nodes above it, nearest last. */
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
