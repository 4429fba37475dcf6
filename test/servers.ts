import type { TestProject } from 'vitest/node'
import { startPostgres } from '../bench/servers/postgres.ts'
import { startRedis } from '../bench/servers/redis.ts'

declare module 'vitest' {
  interface ProvidedContext {
    /** The marketplace database, for a role that may only read. */
    databaseUrl: string
    /** The same, for the owner of the tables. */
    ownerUrl: string
    /** The same, for a superuser; pg_stat_statements is loaded. */
    superuserUrl: string
    redisUrl: string
  }
}

/**
 * Starts the servers of the live tests, once for all of them: PostgreSQL with the marketplace, and Redis. `DATABASE_URL` replaces the
 * first: the address, for a superuser, of a marketplace that may be changed, with pg_stat_statements loaded. `REDIS_URL` replaces the
 * second.
 */
export default async function setup(project: TestProject): Promise<() => Promise<unknown>> {
  const given = process.env.DATABASE_URL
  const settings = [`shared_preload_libraries = 'pg_stat_statements'`, 'wal_level = logical']
  const stop = async () => {}
  const database = given
    ? { url: given, ownerUrl: given, superuserUrl: given, stop }
    : await startPostgres({ settings })
  const redis = process.env.REDIS_URL ? { url: process.env.REDIS_URL, stop } : await startRedis()
  project.provide('databaseUrl', database.url)
  project.provide('ownerUrl', database.ownerUrl)
  project.provide('superuserUrl', database.superuserUrl)
  project.provide('redisUrl', redis.url)
  return () => Promise.all([redis.stop(), database.stop()])
}
