#!/usr/bin/env node
// The process: environment, signals, listen, drain, exit codes.
import { readFileSync, statSync, unlinkSync } from 'node:fs'
import { type AddressInfo, connect } from 'node:net'
import { fileURLToPath } from 'node:url'
import { type Logger, pino } from 'pino'
import { httpAddress, isSocketPath, isWildcard, withoutSecrets } from './address.ts'
import { type App, createApp } from './app.ts'
import { checkCapabilities, psqlOf } from './changes/capabilities.ts'
import { type Command, readArguments, usage } from './cli.ts'
import { systemClock } from './clock.ts'
import { readConfig } from './config/load.ts'
import type { Config } from './config/schema.ts'
import { messageOf, Refusal, WrongUsage } from './errors.ts'
import { type Embedded, startEmbedded } from './example/embedded.ts'
import { backlog, claim } from './http/listener.ts'
import { prepare, sourcesOf } from './http/routes/routing.ts'
import { banner } from './ops/banner.ts'
import { prettyLine } from './ops/pretty.ts'
import { tune } from './ops/tune.ts'
import { checkServer, postgresOrigin } from './origin/postgres.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const { version } = JSON.parse(readFileSync(`${root}package.json`, 'utf8')) as { version: string }

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
  const { length } = config.routes
  const verdict = `${file}: ${length} route${length === 1 ? '' : 's'}, no fault.`
  if (!db) return print(verdict)
  const database = await openDatabase(config)
  const origin = postgresOrigin(
    { ...config.postgres, url: database.url, connections: 1, statementTimeoutMs: 10_000 },
    systemClock,
    () => {},
  )
  try {
    const { table, inspection } = await prepare(config, origin)
    const means = await checkCapabilities(database.url, config.postgres.follow, sourcesOf(table))
    if (printSql) return print(psqlOf(means))
    for (const { name, query } of table.routes) {
      const { parameterTypes = {}, tables = [], functions = [] } = inspection.routes.get(name) ?? {}
      const typed = query.statement.names.map((parameter) => `:${parameter} ${parameterTypes[parameter]}`)
      print(
        `  ${name}\n    parameters  ${typed.join(', ') || 'none'}\n    reads       ${tables.join(', ') || 'no table'}`,
      )
      if (functions.length > 0) print(`    calls       ${functions.join(', ')}`)
    }
    for (const warning of [...inspection.warnings, ...means.warnings]) print(`warning: ${warning}`)
    print(`The database is followed ${means.mode === 'off' ? `not at all: ${means.why}` : means.why}.`)
    print(`${verdict} ${database.shown}: every statement is accepted.`)
  } finally {
    await origin.close()
    await database.stop()
  }
}

async function serve({ config: file }: Command): Promise<void> {
  const config = readConfig(file, process.env)
  const stopping = stopSignal()
  const database = await openDatabase(config, () => stopping.isAsked)
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
      await listen(app, config)
      print(started(app, config, database))
      const signal = await stopping.signal
      print(`\n${signal}: finishing what is under way.`)
      app.drain(signal)
    } finally {
      await closeListeners(app, config.limits.drainTimeout)
      await app.close()
    }
  } finally {
    await database.stop()
  }
}

/** JSON, a line each; on a terminal, for people. */
function newLogger({ log }: Config): Logger {
  const options = { level: log.level, base: null, redact: ['*.token', '*.url', '*.password', '*.authorization'] }
  const isForPeople = process.stdout.isTTY && process.env.NODE_ENV !== 'production'
  return isForPeople ? pino(options, { write: (line) => process.stdout.write(prettyLine(line)) }) : pino(options)
}

async function listen(app: App, { listen, admin }: Config): Promise<void> {
  for (const [server, { host, port }, variable, reusePort = false] of [
    [app.public, listen, 'PORT', listen.reusePort],
    [app.admin, admin, 'ADMIN_PORT', false],
  ] as const) {
    const isSocket = isSocketPath(host)
    const path = host.slice('unix:'.length)
    if (isSocket) await removeStaleSocket(path)
    // Elsewhere sockets cannot share a port, or do not share its connections.
    const isShared = server === app.public && !isSocket && process.platform === 'linux'
    const begin = async () => {
      // For port 0 the system finds one that nobody has.
      if (isShared && !reusePort && port !== 0) await claim(host, port)
      const where = isSocket ? { path } : { host, port, reusePort: reusePort || isShared }
      await server.listen({ ...where, backlog })
      if (isShared) await app.listener.shareSockets(host)
    }
    await begin().catch((error: NodeJS.ErrnoException) => {
      const advice = isSocket ? 'Another process serves it.' : `Set ${variable} to another port.`
      const why = {
        EADDRINUSE: `it is in use. ${advice}`,
        EACCES: `this user may not. ${isSocket ? '' : advice}`,
        EADDRNOTAVAIL: 'this machine has no such address.',
        ENOENT: 'its folder is not there.',
      }[error.code ?? '']
      const where = isSocket ? host : `${host}:${port}`
      throw new Refusal(`onramp cannot listen on ${where}: ${(why ?? messageOf(error)).trim()}`, { cause: error })
    })
  }
}

/** Removes the socket a process has left that ended without a chance to: nobody answers on it. */
async function removeStaleSocket(path: string): Promise<void> {
  const there = statSync(path, { throwIfNoEntry: false })
  if (there === undefined) return
  if (!there.isSocket())
    throw new Refusal(`onramp cannot listen on unix:${path}: something is there that is no socket.`)
  const answers = await new Promise<boolean>((resolve) => {
    const socket = connect(path, () => resolve(true)).on('error', () => resolve(false))
    socket.unref()
    socket.on('connect', () => socket.destroy())
  })
  if (!answers) unlinkSync(path)
}

/** Lets every request under way have its answer; what is still open after `graceMs` is cut. */
async function closeListeners(app: App, graceMs: number): Promise<void> {
  const cut = setTimeout(() => app.cut(), graceMs)
  await app.handOver()
  // The admin listener last: /ready says that it is draining.
  await app.public.close()
  await app.admin.close()
  clearTimeout(cut)
}

interface Database {
  url: string
  /** The address without its password. */
  shown: string
  ownerUrl?: string
  stop(): Promise<void>
}

async function openDatabase({ postgres }: Config, isAskedToStop = () => false): Promise<Database> {
  if (postgres.url !== 'embedded') {
    const shown = withoutSecrets(postgres.url)
    await checkServer(postgres.url, shown)
    return { url: postgres.url, shown, stop: async () => {} }
  }
  const began = performance.now()
  let isBusy = false
  const progress = (step: string) => {
    if (isAskedToStop())
      throw new Refusal('Stopped before the example database was ready; the next start begins where it has to.')
    if (!isBusy) print('Preparing the embedded database; the next start takes a second or two.')
    isBusy = true
    print(`  ${((performance.now() - began) / 1000).toFixed(1).padStart(4)} s  ${step}`)
  }
  const embedded: Embedded = await startEmbedded({
    dataDir: `${root}.data`,
    marketplaceDir: `${root}config/marketplace`,
    progress,
  })
  return { ...embedded, shown: `embedded, ${withoutSecrets(embedded.url)}` }
}

function started(app: App, { routes, listen, admin, upstream }: Config, { shown, ownerUrl }: Database): string {
  const address = (server: App['public'], host: string, scheme?: string) =>
    isSocketPath(host) ? host : httpAddress(host, (server.server.address() as AddressInfo).port, scheme)
  const scheme = listen.tls === undefined ? 'http' : 'https'
  return banner({
    version,
    routes,
    clients: address(app.public, listen.host, scheme),
    here: address(app.public, isWildcard(listen.host) ? '127.0.0.1' : listen.host, scheme),
    admin: address(app.admin, admin.host),
    needsToken: admin.token !== undefined,
    tiers: app.tiers,
    database: shown,
    upstream: upstream.url === undefined ? undefined : withoutSecrets(upstream.url),
    ownerUrl,
    warnings: app.warnings,
  })
}

/**
 * Listens for the signals that ask this process to end: the first is for `serve` to heed.
 *
 * A second one ends it at once; not within a second, because npm passes on the signal that a terminal has already given to
 * the whole group.
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

// Whoever read the output has gone; there is nobody left to tell, and no reason to stop serving.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {})

try {
  await main()
} catch (error) {
  const isOurs = error instanceof Refusal || error instanceof WrongUsage
  process.stderr.write(`${isOurs ? error.message : error instanceof Error ? error.stack : messageOf(error)}\n`)
  if (error instanceof WrongUsage) process.stderr.write(`\n${usage(version)}`)
  process.exitCode = error instanceof WrongUsage ? 2 : 1
}
