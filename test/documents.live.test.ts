import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { afterEach, beforeAll, expect, inject, test } from 'vitest'
import { findProgram, freePort } from '../bench/servers/programs.ts'
import { documents, readDocument } from '../config/generate.ts'
import { type Step, stepsOf } from './documents/document.ts'
import { notRun } from './documents/not-run.ts'
import { startEmptyPostgres } from './documents/postgres.ts'
import { Reader, type Stage } from './documents/reader.ts'
import { startApp } from './live.ts'

/*
 * Every command that a document shows after `$ ` is run, in the order of the document: it must exit with 0, and print what is shown below it.
 * A command that ends with ` &` runs in the background until `kill %1`, or the end of the document.
 */

const stops: (() => unknown)[] = []
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop()
})

beforeAll(() => {
  findProgram('curl', 'curl')
  findProgram('psql', 'postgresql-client')
  findProgram('redis-cli', 'redis-tools')
})

const asItWas = `update plans set plan_name = 'Piñon Connect 5400' where plan_id = '57724AK0100002'`

/** onramp runs on the example marketplace. */
async function marketplace(environment: Record<string, string> = {}): Promise<Stage> {
  const app = await startApp(inject('databaseUrl'), environment, (config) => ({
    ...config,
    postgres: { ...config.postgres, follow: 'replication' },
  }))
  stops.push(
    () => app.stop(),
    () => promisify(execFile)('psql', [inject('ownerUrl'), '-c', asItWas]),
  )
  const [clients, admin] = [new URL(app.url), new URL(app.adminUrl)]
  return {
    environment: { DATABASE_URL: inject('databaseUrl'), PORT: clients.port, ADMIN_PORT: admin.port, ...environment },
    here: (text) =>
      text
        .replaceAll(/\b(localhost|127\.0\.0\.1):8080\b/g, clients.host)
        .replaceAll(/\b(localhost|127\.0\.0\.1):9090\b/g, admin.host)
        .replaceAll(/postgres(ql)?:\/\/[^\s'"`]+/g, inject('ownerUrl'))
        .replaceAll(/redis:\/\/[^\s'"`]+/g, inject('redisUrl')),
  }
}

/** A PostgreSQL of the reader's own, and nothing else. */
async function ownDatabase(): Promise<Stage> {
  findProgram('createdb', 'postgresql-client')
  const database = await startEmptyPostgres()
  stops.push(() => database.stop())
  const [port, adminPort] = [await freePort(), await freePort()]
  return {
    environment: { ...database.environment, PORT: String(port), ADMIN_PORT: String(adminPort) },
    here: (text) =>
      text
        .replaceAll('localhost:5432', `127.0.0.1:${database.port}`)
        .replaceAll(/\b(localhost|127\.0\.0\.1):8080\b/g, `127.0.0.1:${port}`)
        .replaceAll(/\b(localhost|127\.0\.0\.1):9090\b/g, `127.0.0.1:${adminPort}`),
  }
}

const stages: Readonly<Record<string, () => Promise<Stage>>> = {
  'README.md': () => marketplace(),
  'config/README.md': ownDatabase,
  'config/deploy/README.md': () => marketplace({ REDIS_URL: inject('redisUrl') }),
}

const reasonNotToRun = (step: Step) =>
  step.kind === 'command' ? notRun.find(({ pattern }) => pattern.test(step.command)) : undefined

test.each(Object.keys(documents))('what %s says works as it says', async (path) => {
  const steps = stepsOf(readDocument(path)).filter((step) => reasonNotToRun(step) === undefined)
  if (path === 'README.md' || path === 'config/README.md') expect(steps.length).toBeGreaterThanOrEqual(4)
  if (steps.length === 0) return
  const stage = await (stages[path] ?? (async () => ({ environment: {}, here: (text: string) => text })))()
  const reader = new Reader(stage)
  stops.push(() => reader.leave())
  for (const step of steps) await reader.follow(step)
})

test('every command that is not run is there, with a reason', () => {
  const commands = Object.keys(documents)
    .flatMap((path) => stepsOf(readDocument(path)))
    .flatMap((step) => (step.kind === 'command' ? [step.command] : []))
  for (const { pattern, reason } of notRun) {
    expect(
      commands.filter((command) => pattern.test(command)),
      String(pattern),
    ).not.toEqual([])
    expect(reason).toMatch(/^.{16,}\.$/)
  }
})
