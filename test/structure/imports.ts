// Who imports whom.
import { posix } from 'node:path'
import type { SourceFile } from './source.ts'

/** The files of the layer `app`. */
const appFiles = ['app.ts', 'check.ts', 'database.ts', 'running-app.ts']
/**
 * The layers of proxy/, top first, by folder; `base` is the other files beside main.ts. A file may import from its own folder and
 * from layers below its own.
 */
const layers = [
  ['main'],
  ['app'],
  ['http', 'ops'],
  ['cache', 'coherence', 'changes', 'origin', 'overload', 'example'],
  ['config'],
  ['base'],
]
/** What folders of one layer may import of each other. */
const beside = ['cache coherence', 'coherence changes']
/** They take plain values, never the configuration. */
const plain = layers[3] ?? []

/** What imports what, by path. */
type Imports = ReadonlyMap<string, readonly string[]>

/** The files of the repository that each of `sources` imports. */
export function importsOf(sources: readonly SourceFile[]): Imports {
  return pathsAmong(sources, ({ imports }) => imports)
}

function pathsAmong(sources: readonly SourceFile[], targetsOf: (source: SourceFile) => string[]): Imports {
  return new Map(
    sources.map((source) => {
      const own = targetsOf(source).filter((target) => target.startsWith('.'))
      return [source.path, own.map((target) => posix.join(posix.dirname(source.path), target))]
    }),
  )
}

/** Imports in proxy/ that do not go downward, a sentence each. */
export function upwardImports(imports: Imports): string[] {
  return [...imports].flatMap(([file, targets]) =>
    targets
      .filter((target) => file.startsWith('proxy/') && !mayImport(folderOf(file), folderOf(target)))
      .map((target) => `${file} imports ${target}`),
  )
}

function mayImport(from: string, to: string): boolean {
  if (to === 'config' && plain.includes(from)) return false
  return from === to || beside.includes(`${from} ${to}`) || layerOf(from) < layerOf(to)
}

/** What is in no layer may neither import nor be imported. */
function layerOf(folder: string): number {
  const layer = layers.findIndex((names) => names.includes(folder))
  return layer === -1 ? Number.NaN : layer
}

function folderOf(path: string): string {
  const [top, first = '', second] = path.split('/')
  if (top !== 'proxy') return path
  if (second !== undefined) return first
  if (appFiles.includes(first)) return 'app'
  return first === 'main.ts' ? 'main' : 'base'
}

/** Groups of files that import each other, directly or not. Only files that mention each other are parsed. */
export function importCycles(sources: readonly SourceFile[]): string[][] {
  const suspects = new Set(cyclesIn(pathsAmong(sources, ({ mentions }) => mentions)).flat())
  return cyclesIn(importsOf(sources.filter(({ path }) => suspects.has(path))))
}

function cyclesIn(imports: Imports): string[][] {
  const reach = new Map<string, Set<string>>()
  for (const file of imports.keys()) reach.set(file, reachedFrom(file, imports))
  const inCycle = [...imports.keys()].filter((file) => reach.get(file)?.has(file))
  const groups = new Map<string, string[]>()
  for (const file of inCycle) {
    const group = inCycle.filter((other) => reach.get(file)?.has(other) && reach.get(other)?.has(file)).sort()
    groups.set(group.join(), group)
  }
  return [...groups.values()]
}

function reachedFrom(file: string, imports: Imports): Set<string> {
  const reached = new Set<string>()
  const next = [...(imports.get(file) ?? [])]
  for (let at = next.pop(); at !== undefined; at = next.pop()) {
    if (reached.has(at)) continue
    reached.add(at)
    next.push(...(imports.get(at) ?? []))
  }
  return reached
}
