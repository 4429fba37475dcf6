import { readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { parse, stringify } from 'yaml'
import type { Processes, Served } from './processes.ts'
import { type PostgresServer, startPostgres } from './servers/postgres.ts'
import { type RedisServer, startRedis } from './servers/redis.ts'
import { newFolder } from './servers/run-folder.ts'
import { type Popularity, popularity } from './shoppers.ts'

/** A configuration file before validation: scenarios change it in place. */
export type WrittenConfig = Record<string, Record<string, unknown>> & {
  routes: Record<string, Record<string, unknown>>
}

export interface OnrampOptions {
  redis?: RedisServer
  change?: (settings: WrittenConfig) => void
  core?: number
  /** The port for clients; any free port by default. */
  port?: number
}

export interface Onramp extends Served {
  adminUrl: string
  purge(body: unknown): Promise<void>
  /** The answer of /stats. */
  stats(): Promise<{ total: Record<string, number>; memory: { entries: number } }>
}

/** PostgreSQL with the whole example marketplace, Redis, and processes of onramp, all on loopback. */
export interface Stage {
  processes: Processes
  /** URL for the role that may only read. */
  databaseUrl: string
  ownerUrl: string
  popularity: Popularity
  /** Starts another Redis, empty; on `port` to replace one that has ended. */
  redis(port?: number): Promise<RedisServer>
  onramp(options?: OnrampOptions): Promise<Onramp>
  /**
   * SELECTs of routes that PostgreSQL has run for the reading role since the last reset, as pg_stat_statements counts them. Statements that
   * onramp runs for itself, at its start and while it follows the database, do not count: they read only the catalog.
   */
  statements(): Promise<number>
  resetStatements(): Promise<void>
  /** Kills the server and its children with SIGKILL. */
  killDatabase(): Promise<void>
  startDatabase(): Promise<void>
  close(): Promise<void>
}

const root = fileURLToPath(new URL('..', import.meta.url))
const dataDir = join(root, '.data', 'bench')
const { start } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).scripts as { start: string }

/** The command that runs `file` as `npm start` runs onramp, with the same Node flags and environment, but without npm. */
export function started(file = 'proxy/main.ts'): [command: string, ...args: string[]] {
  return ['sh', '-c', `${start.replace('proxy/main.ts', file)} "$@"`, file]
}

/** Starts the database. Its files stay under .data/bench, so that the next run need not create them. */
export async function openStage(processes: Processes, note: (text: string) => void): Promise<Stage> {
  const folder = newFolder('bench')
  const servers: RedisServer[] = []
  let database = await startServer()
  const connection = () => new pg.Pool({ connectionString: database.superuserUrl, max: 1 })
  let superuser = connection()
  superuser.on('error', () => {}) // a scenario kills the server
  await superuser.query('create extension if not exists pg_stat_statements')
  await superuser.query('grant create on database marketplace to dba')
  let files = 0

  function startServer(): Promise<PostgresServer> {
    const settings = [`shared_preload_libraries = 'pg_stat_statements'`, 'max_connections = 200']
    return startPostgres({ dataDir, settings, progress: note })
  }

  function configuration(change: OnrampOptions['change']): string {
    const settings = parse(readFileSync(join(root, 'config', 'onramp.yaml'), 'utf8')) as WrittenConfig
    for (const route of Object.values(settings.routes)) {
      const { file } = route.sql as { file: string }
      route.sql = readFileSync(join(root, 'config', file), 'utf8')
    }
    settings.log = { level: 'error' }
    change?.(settings)
    files += 1
    const path = join(folder, `onramp-${files}.yaml`)
    writeFileSync(path, stringify(settings, { aliasDuplicateObjects: false }))
    return path
  }

  return {
    processes,
    get databaseUrl() {
      return database.url
    },
    get ownerUrl() {
      return database.ownerUrl
    },
    popularity: await popularity(database.url),
    async redis(port) {
      const server = await startRedis([], port)
      servers.push(server)
      return server
    },
    async onramp({ redis, change, core, port = 0 } = {}) {
      const [command, ...args] = started()
      const served = await processes.program(command, [...args, '--config', configuration(change)], {
        environment: {
          PATH: `${dirname(process.execPath)}:${process.env.PATH}`,
          DATABASE_URL: database.url,
          PORT: String(port),
          ADMIN_PORT: '0',
          HOST: '127.0.0.1',
          REDIS_URL: redis?.url ?? '',
          UPSTREAM_URL: '',
          ADMIN_TOKEN: '',
        },
        says: /clients +(http:\S+)[\s\S]*\nTry:/,
        core,
      })
      const adminUrl = /^ +admin +(\S+)/m.exec(served.printed())?.[1] as string
      return Object.assign(served, {
        adminUrl,
        async purge(body: unknown) {
          const headers = { 'Content-Type': 'application/json' }
          const response = await fetch(`${adminUrl}/purge`, { method: 'POST', headers, body: JSON.stringify(body) })
          if (!response.ok) throw new Error(`onramp refused the purge: ${response.status} ${await response.text()}`)
        },
        async stats() {
          return (await (await fetch(`${adminUrl}/stats`)).json()) as Awaited<ReturnType<Onramp['stats']>>
        },
      })
    },
    async statements() {
      const { rows } = await superuser.query<{ calls: number }>(`
        select coalesce(sum(calls), 0)::int as calls from pg_stat_statements
        where userid = 'onramp'::regrole and query ~* '^\\s*(--[^\\n]*\\s+)*(select|with)'
          and query !~ 'pg_|regclass|format_type|has_database_privilege'`)
      return rows[0]?.calls ?? 0
    },
    async resetStatements() {
      await superuser.query('select pg_stat_statements_reset()')
    },
    killDatabase: () => database.kill(),
    async startDatabase() {
      await superuser.end()
      database = await startServer()
      superuser = connection()
      superuser.on('error', () => {})
    },
    async close() {
      await superuser.end().catch(() => {})
      await Promise.all(servers.map((server) => server.stop()))
      await database.stop()
    },
  }
}
