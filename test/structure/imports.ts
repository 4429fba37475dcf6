// The imports between files, and the rules for them.
import { posix } from 'node:path'
import type { SourceFile } from './source.ts'

/** The layers, top first. Imports go down, or stay in a layer. */
const layers = [
  ['test'],
  ['config'],
  ['bench', 'bench/scenarios', 'bench/servers'],
  ['proxy/main.ts'],
  ['the app'],
  ['proxy/http', 'proxy/http/routes', 'proxy/http/upstream', 'proxy/ops'],
  ['proxy/cache', 'proxy/coherence', 'proxy/changes', 'proxy/origin', 'proxy/overload', 'proxy/example'],
  ['proxy/config'],
  ['proxy'],
]
/** The files that wire the folders together. */
const appFiles = /^proxy\/(app|check|database|running-app)\.ts$/
/** The folders that each folder imports from. A new pair is a decision to take; an unused one is removed. */
export const pairs: Readonly<Record<string, readonly string[]>> = {
  test: [
    ...['bench', 'bench/servers', 'config', 'proxy', 'proxy/cache', 'proxy/changes', 'proxy/coherence', 'proxy/config'],
    ...['proxy/example', 'proxy/http', 'proxy/http/routes', 'proxy/http/upstream', 'proxy/ops', 'proxy/origin'],
    ...['proxy/overload', 'the app'],
  ],
  config: ['bench', 'proxy/config', 'proxy/ops'],
  bench: ['bench/scenarios', 'bench/servers'],
  'bench/scenarios': ['bench', 'bench/servers', 'proxy', 'proxy/cache'],
  'bench/servers': ['bench', 'proxy', 'proxy/cache', 'proxy/example'],
  'proxy/main.ts': ['proxy', 'proxy/config', 'proxy/http', 'proxy/ops', 'the app'],
  'the app': [
    ...['proxy', 'proxy/cache', 'proxy/changes', 'proxy/coherence', 'proxy/config', 'proxy/example', 'proxy/http'],
    ...['proxy/http/routes', 'proxy/http/upstream', 'proxy/ops', 'proxy/origin', 'proxy/overload'],
  ],
  'proxy/http': ['proxy', 'proxy/cache', 'proxy/config', 'proxy/http/routes', 'proxy/http/upstream', 'proxy/overload'],
  'proxy/http/routes': ['proxy', 'proxy/cache', 'proxy/coherence', 'proxy/config', 'proxy/http', 'proxy/origin'],
  'proxy/http/upstream': ['proxy', 'proxy/config', 'proxy/http'],
  'proxy/ops': ['proxy', 'proxy/cache', 'proxy/changes', 'proxy/coherence', 'proxy/config', 'proxy/origin'],
  'proxy/cache': ['proxy', 'proxy/coherence'],
  'proxy/coherence': ['proxy', 'proxy/changes'],
  'proxy/changes': ['proxy'],
  'proxy/origin': ['proxy'],
  'proxy/overload': ['proxy'],
  'proxy/example': ['proxy'],
  'proxy/config': ['proxy'],
}
/** The only file of the second folder that the first may import. */
const meetingPoints: Record<string, string> = { 'proxy/coherence proxy/changes': 'proxy/changes/changes.ts' }
/** Folders that take plain values, never the configuration. */
const ofPlainValues = /^proxy\/(cache|coherence|changes|origin|overload|example)\//
/** The files in proxy/ that may import each client library. */
const owners: Record<string, RegExp> = {
  fastify: /^(running-app|ops\/(admin|admin-server|admin-listener|dashboard))$/,
  ioredis: /^(cache\/(redis|redis-time)|coherence\/log)$/,
  undici: /^http\/upstream\/pool$/,
  pg: /^(origin\/(postgres|cancel|server-check|inspection|referenced-objects|row-rules)|changes\/session|example\/marketplace)$/,
  'prom-client': /^ops\/(metrics|gauges|histogram-metric)$/,
  '@opentelemetry': /^ops\/(traces|trace-context)$/,
  'lru-cache': /^cache\/memory$/,
  pino: /^(main|app|ops\/(log|observers))$/,
}

/** The imports and re-exports of a file: own files by path, packages as npm:NAME, modules of Node as node:NAME. */
export function importsOf({ path, code }: SourceFile): string[] {
  const line = /^(?:import|export)\b(?:[^'"=;]*\bfrom)?\s*['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]/gm
  return [...code.matchAll(line)].map(([, still, late = '']) => {
    const target = still ?? late
    if (target.startsWith('.')) return posix.join(posix.dirname(path), target)
    return target.startsWith('node:') ? target : `npm:${target}`
  })
}

/** Every import in `sources` that breaks a rule, a sentence each. */
export function importFaults(sources: readonly SourceFile[]): string[] {
  return sources.flatMap((source) => [
    ...importsOf(source).flatMap((target) =>
      mayImport(source.path, target) ? [] : [`${source.path} may not import ${target}`],
    ),
    ...(source.path.startsWith('proxy/') ? faultsOfProxy(source) : []),
  ])
}

function faultsOfProxy({ path, text, code }: SourceFile): string[] {
  const found: string[] = []
  if (/^import (?!type)[^\n]*\/traces\.ts'/m.test(text))
    found.push(`${path} may import ops/traces.ts only when it is wanted`)
  const touchesProcess = /(?<![\w.])process\s*(\??\.\s*\w|\[)|\bnode:process\b/.test(code)
  if (touchesProcess && path !== 'proxy/main.ts') found.push(`${path} may not touch process`)
  return found
}

function mayImport(file: string, target: string): boolean {
  if (target.startsWith('node:')) return true
  if (target.startsWith('npm:')) return mayUse(file, target.slice('npm:'.length).split('/')[0] ?? '')
  const [from, to] = [folderOf(file), folderOf(target)]
  if (ofPlainValues.test(file) && to === 'proxy/config') return false
  const meeting = meetingPoints[`${from} ${to}`]
  if (meeting !== undefined) return target === meeting
  return from === to || (pairs[from]?.includes(to) === true && layerOf(from) <= layerOf(to))
}

const mayUse = (file: string, library: string) =>
  !file.startsWith('proxy/') || (owners[library]?.test(file.replace(/^proxy\/|\.ts$/g, '')) ?? true)

/** The layer of a folder, 0 at the top. NaN for an unlisted folder, which may neither import nor be imported. */
function layerOf(folder: string): number {
  const layer = layers.findIndex((names) => names.includes(folder))
  return layer === -1 ? Number.NaN : layer
}

/** The folder of a file. Subfolders of test/, config/ and ops/ count as their parent. */
function folderOf(file: string): string {
  if (file === 'proxy/main.ts') return file
  if (appFiles.test(file)) return 'the app'
  return posix.dirname(file).replace(/^(test|config|proxy\/ops)\/.*/, '$1')
}

/** The files that belong to no layer. */
export function homeless(sources: readonly SourceFile[]): string[] {
  return sources.map(({ path }) => path).filter((path) => Number.isNaN(layerOf(folderOf(path))))
}

/** Every pair of folders that is in `sources` but not in {@link pairs}, or the reverse, or that goes upward, a sentence each. */
export function pairFaults(sources: readonly SourceFile[]): string[] {
  const arrow = (from: string, to: string) => `${from} -> ${to}`
  const seen = sources.flatMap((source) => {
    const from = folderOf(source.path)
    const targets = importsOf(source).filter((target) => !/^(npm|node):/.test(target))
    return targets.map(folderOf).flatMap((to) => (to === from ? [] : arrow(from, to)))
  })
  const listed = Object.entries(pairs).flatMap(([from, all]) => all.map((to) => ({ from, to, text: arrow(from, to) })))
  const known = new Set(listed.map(({ text }) => text))
  return [
    ...[...new Set(seen)].filter((text) => !known.has(text)).map((text) => `${text} is new`),
    ...listed.filter(({ text }) => !seen.includes(text)).map(({ text }) => `${text} is gone`),
    ...listed.filter(({ from, to }) => !(layerOf(from) <= layerOf(to))).map(({ text }) => `${text} goes upward`),
  ].sort()
}

/** Groups of files that import each other, directly or not. */
export function importCycles(sources: readonly SourceFile[]): string[][] {
  const imports = new Map(sources.map((source) => [source.path, importsOf(source)]))
  const reach = new Map([...imports.keys()].map((file) => [file, reachedFrom(file, imports)]))
  const inCycle = [...imports.keys()].filter((file) => reach.get(file)?.has(file))
  const groups = inCycle.map((file) =>
    inCycle.filter((other) => reach.get(file)?.has(other) && reach.get(other)?.has(file)).sort(),
  )
  return [...new Map(groups.map((group) => [group.join(), group])).values()]
}

function reachedFrom(file: string, imports: ReadonlyMap<string, readonly string[]>): Set<string> {
  const reached = new Set<string>()
  const next = [...(imports.get(file) ?? [])]
  for (let at = next.pop(); at !== undefined; at = next.pop()) {
    if (reached.has(at)) continue
    reached.add(at)
    next.push(...(imports.get(at) ?? []))
  }
  return reached
}
