import type { TestProject } from 'vitest/node'
import { startPostgres } from '../bench/servers/postgres.ts'
import { startRedis } from '../bench/servers/redis.ts'

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
 * address of a marketplace that may be changed, with pg_stat_statements loaded), and Redis (or `REDIS_URL`). They end with the run.
 */
export default async function setup(project: TestProject): Promise<void> {
  const given = process.env.DATABASE_URL
  const settings = [`shared_preload_libraries = 'pg_stat_statements'`, 'wal_level = logical']
  const database = given ? { url: given, ownerUrl: given, superuserUrl: given } : await startPostgres({ settings })
  const redisUrl = process.env.REDIS_URL || (await startRedis()).url
  project.provide('databaseUrl', database.url)
  project.provide('ownerUrl', database.ownerUrl)
  project.provide('superuserUrl', database.superuserUrl)
  project.provide('redisUrl', redisUrl)
}
