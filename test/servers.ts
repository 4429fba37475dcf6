import { execFileSync, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import type { TestProject } from 'vitest/node'
import { startEmbedded } from '../proxy/example/embedded.ts'

declare module 'vitest' {
  interface ProvidedContext {
    /** The marketplace, for a role that may only read. */
    databaseUrl: string
    /** The same, for the owner of the tables. */
    ownerUrl: string
    /** The same, for a superuser; pg_stat_statements is loaded. */
    superuserUrl: string
    redisUrl: string
  }
}

/**
 * Starts what the live tests need, once for all of them: PostgreSQL with the marketplace (or `DATABASE_URL`, a superuser's
 * address of a marketplace that may be changed, with pg_stat_statements loaded), and Redis (or `REDIS_URL`).
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const given = process.env.DATABASE_URL
  const dataDir = mkdtempSync(join(tmpdir(), 'onramp-test-'))
  const marketplaceDir = new URL('../config/marketplace', import.meta.url).pathname
  const settings = [`shared_preload_libraries = 'pg_stat_statements'`, 'wal_level = logical']
  const database =
    given === undefined || given === ''
      ? await startEmbedded({ dataDir, marketplaceDir, settings, progress: () => {} })
      : { url: given, ownerUrl: given, superuserUrl: given, stop: async () => {} }
  const redis = process.env.REDIS_URL ? { url: process.env.REDIS_URL, stop: () => {} } : await startRedis()
  project.provide('databaseUrl', database.url)
  project.provide('ownerUrl', database.ownerUrl)
  project.provide('superuserUrl', database.superuserUrl)
  project.provide('redisUrl', redis.url)
  return async () => {
    redis.stop()
    await database.stop()
    rmSync(dataDir, { recursive: true, force: true })
  }
}

export interface RedisServer {
  url: string
  pid: number
  stop(): void
}

/** Starts a Redis of the test's own, saving nothing by itself; `args` are added to its command line. */
export async function startRedis(args: string[] = [], wantedPort?: number): Promise<RedisServer> {
  const binary = findProgram('redis-server', 'redis-server', ', or its address in REDIS_URL')
  const port = wantedPort ?? (await freePort())
  const server = spawn(
    binary,
    ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', ...args],
    {
      stdio: 'ignore',
    },
  )
  const url = `redis://127.0.0.1:${port}`
  const probe = new Redis(url, { retryStrategy: () => 20, maxRetriesPerRequest: 250 })
  probe.on('error', () => {}) // it is still starting; the ping below rejects when it never comes up
  await probe.ping()
  probe.disconnect()
  return {
    url,
    pid: server.pid as number,
    stop() {
      server.kill('SIGCONT')
      server.kill('SIGKILL')
    },
  }
}

/** The path of a program: from PATH, else installed from the Debian package `from` where that is possible. */
export function findProgram(name: string, from: string, otherwise: string): string {
  const onPath = () => {
    try {
      return execFileSync('which', [name], { encoding: 'utf8' }).trim()
    } catch {
      return undefined // `which` found nothing
    }
  }
  const found = onPath()
  if (found !== undefined) return found
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  try {
    execFileSync('apt-get', ['update'], { stdio: 'ignore' })
    execFileSync('apt-get', ['install', '-y', '--no-install-recommends', from], { stdio: 'ignore', env })
  } catch (cause) {
    throw new Error(`The live tests need ${name} on PATH${otherwise}; apt-get could not install it.`, { cause })
  }
  const installed = onPath()
  if (installed === undefined) throw new Error(`${from} was installed, but ${name} is not on PATH.`)
  return installed
}

export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number }
      server.close(() => resolve(port))
    })
  })
}
