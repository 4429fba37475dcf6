import { readdirSync, readFileSync } from 'node:fs'
import { posix } from 'node:path'
import { expect, test } from 'vitest'

/** The layers of proxy/, top first. A file may import from its own folder, and from layers below its own. */
const layers = [
  ['main'],
  ['app', 'check', 'database'],
  ['http', 'ops'],
  ['cache', 'coherence', 'changes', 'origin', 'overload', 'example'],
  ['config'],
  ['base'],
]
/** Folders of one layer that may see each other, or one file of the other; of all others none may. */
const neighbours = ['cache coherence', 'coherence changes/changes']
/** Each client library has one owner. */
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

/** Everything in `files` (name without .ts, source) that is against the directions of imports, a sentence each. */
function violations(files: Files): string[] {
  const found: string[] = []
  const imports = new Map(Object.entries(files).map(([file, source]) => [file, importsOf(file, source)]))
  for (const [file, targets] of imports) {
    if (/^import (?!type)[^\n]*ops\/traces\.ts'/m.test(files[file] as string))
      found.push(`${file} may import ops/traces only when it is wanted`)
    for (const target of targets) if (!mayImport(file, target)) found.push(`${file} may not import ${target}`)
    const touchesProcess = /(?<![\w.])process\s*(\??\.\s*\w|\[)|\bnode:process\b/.test(
      withoutComments(files[file] as string),
    )
    if (touchesProcess && file !== 'main') found.push(`${file} may not touch process`)
    if (reaches(imports, file, file)) found.push(`${file} imports itself in the end`)
  }
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
  if (target.startsWith('npm:')) return owners[target.slice(4).split('/')[0] as string]?.test(file) ?? true
  const [from, to] = [folderOf(file), folderOf(target)]
  if (layers[3]?.includes(from) && target.startsWith('config/')) return false
  const isNeighbour = neighbours.includes(`${from} ${to}`) || neighbours.includes(`${from} ${target}`)
  return from === to || isNeighbour || layerOf(from) < layerOf(to)
}

const layerOf = (folder: string) => layers.findIndex((names) => names.includes(folder))

function folderOf(file: string): string {
  if (layers.slice(0, 2).flat().includes(file)) return file
  return file.includes('/') ? file.slice(0, file.indexOf('/')) : 'base'
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
  readdirSync('proxy', { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .map((file) => [file.replaceAll('\\', '/').replace(/\.ts$/, ''), readFileSync(`proxy/${file}`, 'utf8')]),
)

test('imports go downward only, and each client library has one owner', () => {
  expect(violations(files)).toEqual([])
})

test('every file is in a layer, and every file that is imported is there', () => {
  expect(Object.keys(files)).toEqual(expect.arrayContaining(['main', 'app', 'http/dispatch', 'cache/memory']))
  for (const [file, source] of Object.entries(files)) {
    expect(layerOf(folderOf(file)), file).toBeGreaterThanOrEqual(0)
    for (const target of importsOf(file, source)) {
      if (!/^(node|npm):/.test(target)) expect(Object.keys(files)).toContain(target)
    }
  }
})

test('every import line of every file is read', () => {
  for (const [file, source] of Object.entries(files)) {
    const lines = source.match(/^(import|export) .*from '.*'$|^import '.*'$|^} from '.*'$|await import\('.*'\)/gm) ?? []
    expect(importsOf(file, source).length, file).toBe(lines.length)
  }
})

const forbidden: [string, string, string][] = [
  ['cache/memory', "import { query } from '../origin/postgres.ts'", 'cache/memory may not import origin/postgres'],
  ['origin/postgres', "import type { Key } from '../cache/key.ts'", 'origin/postgres may not import cache/key'],
  ['http/dispatch', "import { metrics } from '../ops/metrics.ts'", 'http/dispatch may not import ops/metrics'],
  ['ops/admin', "import { send } from '../http/dispatch.ts'", 'ops/admin may not import http/server'],
  ['cache/key', "import type { Config } from '../config/schema.ts'", 'cache/key may not import config/schema'],
  ['coherence/log', "import { readConfig } from '../config/load.ts'", 'coherence/log may not import config/load'],
  ['changes/leader', "import { redisLog } from '../coherence/log.ts'", 'changes/leader may not import coherence/log'],
  ['coherence/log', "import { connect } from '../changes/session.ts'", 'coherence/log may not import changes/session'],
  ['origin/origin', "import { crossCheck } from '../config/check.ts'", 'origin/origin may not import config/check'],
  ['cache/key', "import { compile } from '../http/routes/route.ts'", 'cache/key may not import http/routes/route'],
  ['clock', "import type { Key } from './cache/key.ts'", 'clock may not import cache/key'],
  ['http/route', "import { createApp } from '../app.ts'", 'http/route may not import app'],
  ['errors', "export { main } from './main.ts'", 'errors may not import main'],
  ['app', "import { main } from './main.ts'", 'app may not import main'],
  ['cache/key', "const { query } = await import('../origin/postgres.ts')", 'cache/key may not import origin/postgres'],
  ['cache/key', "import {\n  a,\n  b,\n} from '../origin/postgres.ts'", 'cache/key may not import origin/postgres'],
  ['cache/read-through', "import { Redis } from 'ioredis'", 'cache/read-through may not import npm:ioredis'],
  ['app', "import { Redis } from 'ioredis'", 'app may not import npm:ioredis'],
  ['http/dispatch', "import pg from 'pg'", 'http/dispatch may not import npm:pg'],
  ['ops/metrics', "import type { FastifyInstance } from 'fastify'", 'ops/metrics may not import npm:fastify'],
  ['app', "import { Counter } from 'prom-client'", 'app may not import npm:prom-client'],
  ['app', "import { trace } from '@opentelemetry/api'", 'app may not import npm:@opentelemetry/api'],
  ['app', "import { Traces } from './ops/traces.ts'", 'app may import ops/traces only when it is wanted'],
  ['cache/redis', "import { LRUCache } from 'lru-cache'", 'cache/redis may not import npm:lru-cache'],
  ['http/dispatch', "import { pino } from 'pino'", 'http/dispatch may not import npm:pino'],
  ['app', 'const { PORT } = process.env', 'app may not touch process'],
  ['app', "import { env } from 'node:process'", 'app may not touch process'],
]
test.each(forbidden)('in %s, %j would be found out', (file, line, sentence) => {
  expect(violations({ [file]: line })).toContain(sentence)
})

test('a cycle would be found out', () => {
  const cycle = {
    'cache/a': "import './b.ts'",
    'cache/b': "import type { C } from './c.ts'",
    'cache/c': "import './a.ts'",
  }
  expect(violations(cycle)).toHaveLength(3)
})

test('what is allowed is not found out', () => {
  const allowed = {
    main: "import { pino } from 'pino'\nimport './app.ts'\nprocess.exit(0)",
    app: "import './ops/metrics.ts'\n// The only file to touch process.env is main.\n/* process.exit */",
    'ops/metrics': "import { Counter } from 'prom-client'\nimport '../cache/key.ts'",
    'cache/key': "import { z } from 'zod'\nimport '../errors.ts'\nconst text = 'this process.'",
  }
  expect(violations(allowed)).toEqual([])
})
