import { readdirSync, readFileSync } from 'node:fs'
import { posix } from 'node:path'
import { expect, test } from 'vitest'

/** The layers, top first. A file may import from its own folder, and from layers below its own. */
const layers = [
  ['test', 'test/faults'],
  ['config'],
  ['bench', 'bench/scenarios', 'bench/servers'],
  ['proxy/main'],
  ['proxy/app'],
  ['proxy/http', 'proxy/http/routes', 'proxy/http/upstream', 'proxy/ops'],
  ['proxy/cache', 'proxy/coherence', 'proxy/changes', 'proxy/origin', 'proxy/overload', 'proxy/example'],
  ['proxy/config'],
  ['proxy'],
]
/** Folders of one layer that see each other; no others may. */
const neighbours = [
  'test/faults test',
  'bench bench/scenarios',
  'bench bench/servers',
  'bench/scenarios bench',
  'bench/scenarios bench/servers',
  'bench/servers bench',
  'proxy/http proxy/http/routes',
  'proxy/http proxy/http/upstream',
  'proxy/http/routes proxy/http',
  'proxy/http/upstream proxy/http',
  'proxy/cache proxy/coherence',
]
/** They take plain values, never the configuration. */
const ofPlainValues = /^proxy\/(cache|coherence|changes|origin|overload|example)\//
/** Each client library has one owner in proxy/. */
const owners: Record<string, RegExp> = {
  fastify: /^(app|ops\/(admin|admin-server|dashboard))$/,
  ioredis: /^(cache\/(redis|redis-time)|coherence\/log)$/,
  undici: /^http\/upstream\/pool$/,
  pg: /^(origin\/(postgres|cancel|sql-errors|server-check|inspection|referenced-objects|row-rules)|changes\/session|example\/marketplace)$/,
  'prom-client': /^ops\/(metrics|gauges|histogram-metric)$/,
  '@opentelemetry': /^ops\/(traces|trace-context)$/,
  'lru-cache': /^cache\/memory$/,
  pino: /^(main|app|ops\/log)$/,
}

type Files = Readonly<Record<string, string>>

/** Everything in `files` (path without .ts, source) that is against the directions of imports, a sentence each. */
function violations(files: Files): string[] {
  const found: string[] = []
  const imports = new Map(Object.entries(files).map(([file, source]) => [file, importsOf(file, source)]))
  for (const [file, source] of Object.entries(files)) {
    for (const target of imports.get(file) ?? [])
      if (!mayImport(file, target)) found.push(`${file} may not import ${target}`)
    if (reaches(imports, file, file)) found.push(`${file} imports itself in the end`)
    if (file.startsWith('proxy/')) found.push(...ofProxy(file, source))
  }
  return found
}

function ofProxy(file: string, source: string): string[] {
  const found: string[] = []
  if (/^import (?!type)[^\n]*ops\/traces\.ts'/m.test(source))
    found.push(`${file} may import ops/traces only when it is wanted`)
  const touchesProcess = /(?<![\w.])process\s*(\??\.\s*\w|\[)|\bnode:process\b/.test(withoutComments(source))
  if (touchesProcess && file !== 'proxy/main') found.push(`${file} may not touch process`)
  return found
}

/** What `source` imports: files of ours by their names, packages as npm:name, Node's own as node:name. */
function importsOf(file: string, source: string): string[] {
  const line = /^(?:import|export)\b(?:[^'"=;]*\bfrom)?\s*['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]/gm
  return [...withoutComments(source).matchAll(line)].map(([, still, late]) => {
    const target = (still ?? late) as string
    if (target.startsWith('.')) return posix.join(posix.dirname(file), target).replace(/\.ts$/, '')
    return target.startsWith('node:') ? target : `npm:${target}`
  })
}

const withoutComments = (source: string) => source.replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*|\s\/\/ .*/gm, '')

function mayImport(file: string, target: string): boolean {
  if (target.startsWith('node:')) return true
  if (target.startsWith('npm:')) return mayUse(file, target.slice('npm:'.length).split('/')[0] ?? '')
  const [from, to] = [folderOf(file), folderOf(target)]
  if (ofPlainValues.test(file) && to === 'proxy/config') return false
  return from === to || neighbours.includes(`${from} ${to}`) || layerOf(from) < layerOf(to)
}

const mayUse = (file: string, library: string) =>
  !file.startsWith('proxy/') || (owners[library]?.test(file.slice('proxy/'.length)) ?? true)

const layerOf = (folder: string) => layers.findIndex((names) => names.includes(folder))

/** The folder of a file; main and app are each for themselves, and what is in a folder of ops belongs to ops. */
function folderOf(file: string): string {
  if (file === 'proxy/main' || file === 'proxy/app') return file
  return posix.dirname(file).replace(/^proxy\/ops\/.*/, 'proxy/ops')
}

function reaches(imports: Map<string, string[]>, from: string, to: string, seen = new Set<string>()): boolean {
  return (imports.get(from) ?? []).some((next) => {
    if (next === to) return true
    if (seen.has(next)) return false
    seen.add(next)
    return reaches(imports, next, to, seen)
  })
}

const files: Files = Object.fromEntries(
  ['proxy', 'bench', 'config', 'test']
    .flatMap((root) => readdirSync(root, { recursive: true, encoding: 'utf8' }).map((file) => posix.join(root, file)))
    .filter((file) => file.endsWith('.ts') && file !== 'test/imports.test.ts') // its cases are imports too
    .map((file) => [file.replace(/\.ts$/, ''), readFileSync(file, 'utf8')]),
)

test('imports go downward only, and each client library has one owner', () => {
  expect(violations(files)).toEqual([])
})

test('every file is in a layer, and every file that is imported is there', () => {
  const some = [
    'proxy/main',
    'proxy/http/dispatch',
    'proxy/cache/memory',
    'bench/run',
    'config/generate',
    'test/servers',
  ]
  expect(Object.keys(files)).toEqual(expect.arrayContaining(some))
  for (const [file, source] of Object.entries(files)) {
    expect(layerOf(folderOf(file)), file).toBeGreaterThanOrEqual(0)
    for (const target of importsOf(file, source)) {
      if (!/^(node|npm):/.test(target)) expect(Object.keys(files)).toContain(target)
    }
  }
})

test('folders of one layer that may see each other do', () => {
  const pairs = Object.entries(files).flatMap(([file, source]) =>
    importsOf(file, source).map((target) => [folderOf(file), folderOf(target)] as const),
  )
  const seen = pairs.filter(([from, to]) => from !== to && layerOf(from) === layerOf(to)).map((pair) => pair.join(' '))
  expect([...new Set(seen)].sort()).toEqual([...neighbours].sort())
})

test('every import line of every file is read', () => {
  for (const [file, source] of Object.entries(files)) {
    const lines = source.match(/^(import|export) .*from '.*'$|^import '.*'$|^} from '.*'$|await import\('.*'\)/gm) ?? []
    expect(importsOf(file, source).length, file).toBe(lines.length)
  }
})

const forbidden: [string, string, string][] = [
  [
    'proxy/cache/memory',
    "import { query } from '../origin/postgres.ts'",
    'proxy/cache/memory may not import proxy/origin/postgres',
  ],
  [
    'proxy/origin/postgres',
    "import type { Key } from '../cache/key.ts'",
    'proxy/origin/postgres may not import proxy/cache/key',
  ],
  [
    'proxy/http/dispatch',
    "import { metrics } from '../ops/metrics.ts'",
    'proxy/http/dispatch may not import proxy/ops/metrics',
  ],
  [
    'proxy/ops/admin',
    "import { send } from '../http/dispatch.ts'",
    'proxy/ops/admin may not import proxy/http/dispatch',
  ],
  [
    'proxy/cache/key',
    "import type { Config } from '../config/schema.ts'",
    'proxy/cache/key may not import proxy/config/schema',
  ],
  [
    'proxy/coherence/log',
    "import { readConfig } from '../config/load.ts'",
    'proxy/coherence/log may not import proxy/config/load',
  ],
  [
    'proxy/origin/origin',
    "import { crossCheck } from '../config/check.ts'",
    'proxy/origin/origin may not import proxy/config/check',
  ],
  [
    'proxy/cache/key',
    "import { compile } from '../http/routes/route.ts'",
    'proxy/cache/key may not import proxy/http/routes/route',
  ],
  ['proxy/clock', "import type { Key } from './cache/key.ts'", 'proxy/clock may not import proxy/cache/key'],
  ['proxy/http/route', "import { createApp } from '../app.ts'", 'proxy/http/route may not import proxy/app'],
  ['proxy/errors', "export { main } from './main.ts'", 'proxy/errors may not import proxy/main'],
  ['proxy/app', "import { main } from './main.ts'", 'proxy/app may not import proxy/main'],
  [
    'proxy/cache/key',
    "const { query } = await import('../origin/postgres.ts')",
    'proxy/cache/key may not import proxy/origin/postgres',
  ],
  [
    'proxy/cache/key',
    "import {\n  a,\n  b,\n} from '../origin/postgres.ts'",
    'proxy/cache/key may not import proxy/origin/postgres',
  ],
  [
    'proxy/cache/read-through',
    "import { Redis } from 'ioredis'",
    'proxy/cache/read-through may not import npm:ioredis',
  ],
  ['proxy/app', "import { Redis } from 'ioredis'", 'proxy/app may not import npm:ioredis'],
  ['proxy/http/dispatch', "import pg from 'pg'", 'proxy/http/dispatch may not import npm:pg'],
  [
    'proxy/ops/metrics',
    "import type { FastifyInstance } from 'fastify'",
    'proxy/ops/metrics may not import npm:fastify',
  ],
  ['proxy/app', "import { Counter } from 'prom-client'", 'proxy/app may not import npm:prom-client'],
  ['proxy/app', "import { trace } from '@opentelemetry/api'", 'proxy/app may not import npm:@opentelemetry/api'],
  ['proxy/app', "import { Traces } from './ops/traces.ts'", 'proxy/app may import ops/traces only when it is wanted'],
  ['proxy/cache/redis', "import { LRUCache } from 'lru-cache'", 'proxy/cache/redis may not import npm:lru-cache'],
  ['proxy/http/dispatch', "import { pino } from 'pino'", 'proxy/http/dispatch may not import npm:pino'],
  ['proxy/app', 'const { PORT } = process.env', 'proxy/app may not touch process'],
  ['proxy/app', "import { env } from 'node:process'", 'proxy/app may not touch process'],
  [
    'proxy/http/routes/route',
    "import { pass } from '../upstream/pool.ts'",
    'proxy/http/routes/route may not import proxy/http/upstream/pool',
  ],
  ['proxy/main', "import { until } from '../bench/until.ts'", 'proxy/main may not import bench/until'],
  ['bench/run', "import { setup } from '../test/servers.ts'", 'bench/run may not import test/servers'],
  [
    'bench/servers/redis',
    "import { crowd } from '../scenarios/crowd.ts'",
    'bench/servers/redis may not import bench/scenarios/crowd',
  ],
  ['config/generate', "import { run } from '../test/faults/run.ts'", 'config/generate may not import test/faults/run'],
  ['test/live', "import { run } from './faults/run.ts'", 'test/live may not import test/faults/run'],
]
test.each(forbidden)('in %s, %j would be found out', (file, line, sentence) => {
  expect(violations({ [file]: line })).toContain(sentence)
})

test('a cycle would be found out', () => {
  const cycle = {
    'bench/a': "import './b.ts'",
    'bench/b': "import type { C } from './c.ts'",
    'bench/c': "import './a.ts'",
  }
  expect(violations(cycle)).toHaveLength(3)
})

test('what is allowed is not found out', () => {
  const allowed = {
    'proxy/main': "import { pino } from 'pino'\nimport './app.ts'\nprocess.exit(0)",
    'proxy/app': "import './ops/metrics.ts'\n// The only file to touch process.env is main.\n/* process.exit */",
    'proxy/ops/metrics': "import { Counter } from 'prom-client'\nimport '../cache/key.ts'",
    'proxy/cache/key': "import { z } from 'zod'\nimport '../errors.ts'\nconst text = 'this process.'",
  }
  expect(violations(allowed)).toEqual([])
})
