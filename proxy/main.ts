#!/usr/bin/env node
// The process: environment, signals, listen, drain, exit codes.
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { type Logger, pino } from 'pino'
import { z } from 'zod'
import { isWildcard, withoutSecrets } from './address.ts'
import { createApp } from './app.ts'
import { databaseReport, missingSql, verdictOf } from './check.ts'
import { type Command, readArguments, usage } from './cli.ts'
import { systemClock } from './clock.ts'
import { readConfig } from './config/load.ts'
import type { Config } from './config/schema.ts'
import { type Database, openDatabase } from './database.ts'
import { messageOf, Refusal, WrongUsage } from './errors.ts'
import { type ListenAt, listen, listeningAddress } from './http/listen.ts'
import { banner } from './ops/banner.ts'
import { prettyLine } from './ops/pretty.ts'
import { tune } from './ops/tune.ts'
import type { RunningApp } from './running-app.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const { version } = z.object({ version: z.string() }).parse(JSON.parse(readFileSync(`${root}package.json`, 'utf8')))

async function main(): Promise<void> {
  const command = readArguments(process.argv.slice(2), `${root}config/onramp.yaml`)
  switch (command.name) {
    case 'help':
      return print(usage(version))
    case 'version':
      return print(version)
    case 'check':
      return check(command)
    case 'tune':
      return print(await tune(readConfig(command.config, process.env).admin))
    case 'serve':
      return serve(command)
    default:
      command.name satisfies never
  }
}

async function check({ config: file, db, printSql }: Command): Promise<void> {
  const config = readConfig(file, process.env)
  const verdict = verdictOf(config, file)
  if (!db) return print(verdict)
  const database = await open(config)
  try {
    if (printSql) return print(await missingSql(config, database.url, systemClock))
    print(await databaseReport(config, database.url, systemClock))
    print(`${verdict} ${database.shown}: the database accepts every statement.`)
  } finally {
    await database.stop()
  }
}

async function serve({ config: file }: Command): Promise<void> {
  const config = readConfig(file, process.env)
  const stopping = stopSignal()
  const database = await open(config, () => stopping.isAsked)
  try {
    const app = await createApp({
      config,
      databaseUrl: database.url,
      readConfig: () => readConfig(file, process.env),
      pino: newLogger(config),
      clock: systemClock,
      random: Math.random,
      version,
      nodeVersion: process.version,
    })
    try {
      await listenAsConfigured(app, config)
      print(started(app, config, database))
      const signal = await stopping.signal
      print(`\n${signal}: finishing requests in flight.`)
      app.drain(signal)
    } finally {
      await closeListeners(app, config.limits.drainTimeout)
      await app.close()
    }
  } finally {
    await database.stop()
  }
}

/** Logs JSON lines; on a terminal, readable lines. */
function newLogger({ log }: Config): Logger {
  const options = { level: log.level, base: null, redact: ['*.token', '*.url', '*.password', '*.authorization'] }
  const isForPeople = process.stdout.isTTY && process.env.NODE_ENV !== 'production'
  return isForPeople ? pino(options, { write: (line) => process.stdout.write(prettyLine(line)) }) : pino(options)
}

async function listenAsConfigured(app: RunningApp, { listen: clients, admin }: Config): Promise<void> {
  // Other systems cannot share a port between sockets, or do not balance connections between them.
  const mayShare = process.platform === 'linux'
  await listen(app.public, { ...clients, reusePort: clients.reusePort ?? false, variable: 'PORT', mayShare })
  const adminListener = { server: app.admin.server, listen: (at: ListenAt) => app.admin.listen(at) }
  await listen(adminListener, { ...admin, reusePort: false, variable: 'ADMIN_PORT', mayShare: false })
}

/** Lets requests in flight complete. After `graceMs` the remaining connections are cut. */
async function closeListeners(app: RunningApp, graceMs: number): Promise<void> {
  const cut = setTimeout(() => app.cut(), graceMs)
  await app.handOver()
  // The admin listener closes last, because /ready must report draining until then.
  await app.public.close()
  await app.admin.close()
  clearTimeout(cut)
}

function open({ postgres }: Config, isAskedToStop = () => false): Promise<Database> {
  const folders = { dataDir: `${root}.data`, marketplaceDir: `${root}config/marketplace` }
  return openDatabase(postgres.url, { ...folders, print, isAskedToStop })
}

function started(app: RunningApp, { routes, listen, admin, upstream }: Config, { shown, ownerUrl }: Database): string {
  const scheme = listen.tls === undefined ? 'http' : 'https'
  return banner({
    version,
    routes,
    clients: listeningAddress(app.public, listen.host, scheme),
    here: listeningAddress(app.public, isWildcard(listen.host) ? '127.0.0.1' : listen.host, scheme),
    admin: listeningAddress(app.admin, admin.host),
    needsToken: admin.token !== undefined,
    tiers: app.tiers,
    database: shown,
    upstream: upstream.url === undefined ? undefined : withoutSecrets(upstream.url),
    ownerUrl,
    warnings: app.warnings,
  })
}

/**
 * Listens for the signals that stop this process: `serve` handles the first.
 *
 * A second signal ends the process at once. It is ignored within a second of the first: npm passes on a signal that the
 * terminal has already sent to the whole process group.
 */
function stopSignal(): { signal: Promise<string>; isAsked: boolean } {
  const { promise, resolve } = Promise.withResolvers<string>()
  const asked = { signal: promise, isAsked: false }
  let firstAt: number | undefined
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      if (firstAt !== undefined && performance.now() - firstAt > 1000) process.exit(1)
      firstAt ??= performance.now()
      asked.isAsked = true
      resolve(signal)
    })
  }
  return asked
}

function print(text: string): void {
  process.stdout.write(`${text.trimEnd()}\n`)
}

// The output is no longer read: there is no one to tell, and serving continues.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {})

try {
  await main()
} catch (error) {
  const isOurs = error instanceof Refusal || error instanceof WrongUsage
  process.stderr.write(`${isOurs ? error.message : error instanceof Error ? error.stack : messageOf(error)}\n`)
  if (error instanceof WrongUsage) process.stderr.write(`\n${usage(version)}`)
  process.exitCode = error instanceof WrongUsage ? 2 : 1
}
