import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { Redis } from 'ioredis'
import pg from 'pg'
import { beforeAll, expect, test } from 'vitest'
import { isRunning, withDescendants } from '../bench/proc.ts'
import { newFolder, recorded } from '../bench/servers/run-folder.ts'
import { until } from '../bench/until.ts'

/*
 * Separate test runs that start servers and never end: nothing of them may be left, whichever signal ends them.
 */

/** The parent of the folders of these runs. */
const temporary = newFolder('runs')
const project = newFolder('project')
const here = (path: string) => JSON.stringify(fileURLToPath(new URL(path, import.meta.url)))

beforeAll(() => {
  mkdirSync(join(project, 'test'))
  writeFileSync(
    join(project, 'vitest.config.mjs'),
    `import { openRun } from ${here('../bench/servers/run-folder.ts')}
    await openRun()
    export default { test: { include: ['test/*.mjs'], globals: true } }`,
  )
  writeFileSync(
    join(project, 'test', 'endless.mjs'),
    `import { readFileSync } from 'node:fs'
    import { startPostgres } from ${here('../bench/servers/postgres.ts')}
    import { startRedis } from ${here('../bench/servers/redis.ts')}
    test('does not end', async () => {
      const postgres = await startPostgres({ marketplaceDir: ${here('faults/database')} })
      const redis = await startRedis()
      process.stdout.write('started ' + JSON.stringify([process.pid, postgres.pid, redis.pid, postgres.url, redis.url]) + '\\n')
      await new Promise(() => {})
    }, 1e9)`,
  )
})

interface Started {
  runner: ChildProcessByStdio<null, Readable, Readable>
  /** The process ids of the worker, PostgreSQL and Redis. */
  pids: [worker: number, postgres: number, redis: number]
  /** The process ids of PostgreSQL's children. */
  children: number[]
  postgresUrl: string
  redisUrl: string
  folder: string
}

async function startRun(): Promise<Started> {
  const before = new Set(readdirSync(temporary))
  const vitest = fileURLToPath(new URL('../node_modules/vitest/vitest.mjs', import.meta.url))
  const args = [vitest, 'run', '--root', project, '--reporter', 'default', '--disable-console-intercept']
  const env = { ...process.env, TMPDIR: temporary, VITEST: undefined }
  const runner = recorded(spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'], env }))
  let said = ''
  runner.stdout.on('data', (text) => (said += text))
  runner.stderr.on('data', (text) => (said += text))
  await until(
    () => said,
    (text) => /^started .*\n/m.test(text) || runner.exitCode !== null,
  )
  const [, started] = /^started (.*)\n/m.exec(said) ?? []
  if (started === undefined) throw new Error(`The run has not started: ${said}`)
  const [worker, postgres, redis, postgresUrl, redisUrl] = JSON.parse(started)
  const [, ...children] = withDescendants(postgres)
  const name = readdirSync(temporary).find((one) => !before.has(one))
  if (name === undefined) throw new Error('The run has no folder.')
  return { runner, pids: [worker, postgres, redis], children, postgresUrl, redisUrl, folder: join(temporary, name) }
}

/** What is left of a run: its folder, and its processes that still run. */
const leftOf = ({ folder, pids, children }: Started) => ({
  isThere: existsSync(folder),
  running: pids.filter(isRunning),
  hasChildren: children.some(isRunning),
})
const nothing = { isThere: false, running: [], hasChildren: false }
const allOf = ({ pids }: Started) => ({ isThere: true, running: pids, hasChildren: true })

async function end({ runner }: Started, signal: NodeJS.Signals): Promise<void> {
  const exited = once(runner, 'exit')
  runner.kill(signal)
  await exited
}

test('a stopped run leaves nothing, and a killed one nothing once another starts; a run beside them is not disturbed', async () => {
  const other = await startRun()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    const ended = await startRun()
    expect(leftOf(ended)).toEqual(allOf(ended))
    await end(ended, signal)
    expect({ signal, ...leftOf(ended) }).toEqual({ signal, ...nothing })
  }

  const killed = await startRun()
  await end(killed, 'SIGKILL')
  const [worker, ...servers] = killed.pids
  await until(() => isRunning(worker), false) // the worker ends itself once its runner is gone
  expect(leftOf(killed)).toEqual({ isThere: true, running: servers, hasChildren: true })
  const next = await startRun()
  expect(leftOf(killed)).toEqual(nothing)

  for (const run of [other, next]) {
    expect(leftOf(run)).toEqual(allOf(run))
    const client = new pg.Client(run.postgresUrl)
    await client.connect()
    expect((await client.query('select count(*)::int as n from items')).rows).toEqual([{ n: 1000 }])
    await client.end()
    const redis = new Redis(run.redisUrl)
    expect(await redis.ping()).toBe('PONG')
    redis.disconnect()
  }
  for (const run of [other, next]) await end(run, 'SIGTERM')
  expect(readdirSync(temporary)).toEqual([])
})
