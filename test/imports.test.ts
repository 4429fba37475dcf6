import { expect, test } from 'vitest'
import { homeless, importCycles, importFaults, importsOf, pairFaults, pairs } from './structure/imports.ts'
import { folders, SourceFile, sourcesIn } from './structure/source.ts'

/** Files with imports in their strings. */
const holdsTexts = /^test\/(imports\.test\.ts|structure\/exercises\/)/
const everything = folders.flatMap(sourcesIn)
const sources = everything.filter(({ path }) => !holdsTexts.test(path))
const paths = everything.map(({ path }) => path)
const filesOf = (files: Record<string, string>) =>
  Object.entries(files).map(([path, text]) => new SourceFile(path, text))

test('imports go downward only, and each client library has one owner', () => {
  expect(importFaults(sources)).toEqual([])
})

test('there are no import cycles', () => {
  expect(importCycles(sources)).toEqual([])
})

test('every file belongs to a layer, and every imported file exists', () => {
  const some = ['proxy/main.ts', 'proxy/http/dispatch.ts', 'bench/run.ts', 'config/generate.ts', 'test/servers.ts']
  expect(paths).toEqual(expect.arrayContaining(some))
  expect(homeless(sources)).toEqual([])
  const imported = sources.filter(({ path }) => path.endsWith('.ts')).flatMap(importsOf)
  expect(paths).toEqual(expect.arrayContaining([...new Set(imported.filter((target) => !/^(node|npm):/.test(target)))]))
})

test('folders import from the folders listed for them, and from no others', () => {
  expect(pairFaults(sources)).toEqual([])
})

test('a new pair of folders is reported, and so is an unused one', () => {
  const listed = Object.values(pairs).flat().length
  const gone = pairFaults([])
  expect(gone.length).toBe(listed)
  expect(gone).toContain('proxy/http/routes -> proxy/origin is gone')
  const files = filesOf({
    'proxy/http/a.ts': "import '../origin/b.ts'",
    'proxy/http/routes/a.ts': "import '../../origin/b.ts'",
  })
  const faults = pairFaults(files)
  expect(faults).toContain('proxy/http -> proxy/origin is new')
  expect(faults.length).toBe(listed)
})

test('every import of every file is found', () => {
  for (const source of sources) {
    const lines = /^(import|export) .*from '.*'$|^import '.*'$|^} from '.*'$|await import\('.*'\)/gm
    expect(importsOf(source).length, source.path).toBe(source.text.match(lines)?.length ?? 0)
  }
})

const forbidden: [string, string, string][] = [
  [
    'proxy/changes/leader.ts',
    "import { redisLog } from '../coherence/log.ts'",
    'may not import proxy/coherence/log.ts',
  ],
  [
    'proxy/coherence/log.ts',
    "import { connect } from '../changes/session.ts'",
    'may not import proxy/changes/session.ts',
  ],
  ['proxy/cache/key.ts', "import '../attic/old.ts'", 'may not import proxy/attic/old.ts'],
  ['proxy/cache/memory.ts', "import { query } from '../origin/postgres.ts'", 'may not import proxy/origin/postgres.ts'],
  ['proxy/origin/postgres.ts', "import type { Key } from '../cache/key.ts'", 'may not import proxy/cache/key.ts'],
  ['proxy/http/dispatch.ts', "import { metrics } from '../ops/metrics.ts'", 'may not import proxy/ops/metrics.ts'],
  ['proxy/ops/admin.ts', "import { send } from '../http/dispatch.ts'", 'may not import proxy/http/dispatch.ts'],
  ['proxy/cache/key.ts', "import type { Config } from '../config/schema.ts'", 'may not import proxy/config/schema.ts'],
  ['proxy/coherence/log.ts', "import { readConfig } from '../config/load.ts'", 'may not import proxy/config/load.ts'],
  ['proxy/origin/origin.ts', "import { crossCheck } from '../config/check.ts'", 'may not import proxy/config/check.ts'],
  [
    'proxy/cache/key.ts',
    "import { compile } from '../http/routes/route.ts'",
    'may not import proxy/http/routes/route.ts',
  ],
  ['proxy/clock.ts', "import type { Key } from './cache/key.ts'", 'may not import proxy/cache/key.ts'],
  ['proxy/http/route.ts', "import { createApp } from '../app.ts'", 'may not import proxy/app.ts'],
  ['proxy/errors.ts', "export { main } from './main.ts'", 'may not import proxy/main.ts'],
  ['proxy/app.ts', "import { main } from './main.ts'", 'may not import proxy/main.ts'],
  [
    'proxy/cache/key.ts',
    "const { query } = await import('../origin/postgres.ts')",
    'may not import proxy/origin/postgres.ts',
  ],
  [
    'proxy/cache/key.ts',
    "import {\n  a,\n  b,\n} from '../origin/postgres.ts'",
    'may not import proxy/origin/postgres.ts',
  ],
  ['proxy/cache/read-through.ts', "import { Redis } from 'ioredis'", 'may not import npm:ioredis'],
  ['proxy/app.ts', "import { Redis } from 'ioredis'", 'may not import npm:ioredis'],
  ['proxy/http/dispatch.ts', "import pg from 'pg'", 'may not import npm:pg'],
  ['proxy/ops/metrics.ts', "import type { FastifyInstance } from 'fastify'", 'may not import npm:fastify'],
  ['proxy/app.ts', "import { Counter } from 'prom-client'", 'may not import npm:prom-client'],
  ['proxy/app.ts', "import { trace } from '@opentelemetry/api'", 'may not import npm:@opentelemetry/api'],
  ['proxy/app.ts', "import { Traces } from './ops/traces.ts'", 'may import ops/traces.ts only when it is wanted'],
  ['proxy/cache/redis.ts', "import { LRUCache } from 'lru-cache'", 'may not import npm:lru-cache'],
  ['proxy/http/dispatch.ts', "import { pino } from 'pino'", 'may not import npm:pino'],
  ['proxy/app.ts', 'const { PORT } = process.env', 'may not touch process'],
  ['proxy/app.ts', "import { env } from 'node:process'", 'may not touch process'],
  [
    'proxy/http/routes/route.ts',
    "import { pass } from '../upstream/pool.ts'",
    'may not import proxy/http/upstream/pool.ts',
  ],
  ['proxy/main.ts', "import { until } from '../bench/until.ts'", 'may not import bench/until.ts'],
  ['bench/run.ts', "import { setup } from '../test/servers.ts'", 'may not import test/servers.ts'],
  [
    'bench/servers/redis.ts',
    "import { crowd } from '../scenarios/crowd.ts'",
    'may not import bench/scenarios/crowd.ts',
  ],
  ['proxy/http/dispatch.ts', "import { guard } from '../origin/guard.ts'", 'may not import proxy/origin/guard.ts'],
  ['config/generate.ts', "import { run } from '../test/faults/run.ts'", 'may not import test/faults/run.ts'],
]
test.each(forbidden)('in %s, %j is refused', (path, text, fault) => {
  expect(importFaults(filesOf({ [path]: text }))).toContain(`${path} ${fault}`)
})

test('files that import each other, directly or not, are one cycle; files that only lead to it are not part of it', () => {
  const files = {
    'bench/a.ts': "import './b.ts'",
    'bench/b.ts': "import type { C } from './c.ts'",
    'bench/c.ts': "export * from './b.ts'",
    'bench/d.ts': "import './a.ts'\nconst text = './e.ts'",
    'bench/e.ts': "import './d.ts'",
  }
  expect(importCycles(filesOf(files))).toEqual([['bench/b.ts', 'bench/c.ts']])
})

test('allowed imports are not reported', () => {
  const allowed = {
    'proxy/main.ts': "import { pino } from 'pino'\nimport './app.ts'\nprocess.exit(0)",
    'proxy/app.ts': "import './ops/metrics.ts'\n// The only file to touch process.env is main.\n/* process.exit */",
    'proxy/ops/metrics.ts': "import { Counter } from 'prom-client'\nimport '../cache/key.ts'",
    'proxy/cache/key.ts': "import { z } from 'zod'\nimport '../errors.ts'\nconst text = 'this process.'",
    'proxy/coherence/publisher.ts': "import type { ChangeConsumer } from '../changes/changes.ts'",
    'bench/servers/direct.ts': "import '../../proxy/cache/key.ts'",
    'test/one.test.ts': "import './faults/run.ts'\nimport '../bench/until.ts'",
  }
  expect(importFaults(filesOf(allowed))).toEqual([])
})
