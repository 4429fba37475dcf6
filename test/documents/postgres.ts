import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { freePort } from '../../bench/servers/programs.ts'
import { newFolder, recordProcess } from '../../bench/servers/run-folder.ts'
import { makeCluster, startServer, stopServer, superuserPassword } from '../../proxy/example/cluster.ts'
import { findTools } from '../../proxy/example/tools.ts'

/** A PostgreSQL without any database of its user's, as a reader of the documents has one. */
export interface EmptyPostgres {
  port: number
  /** What lets psql, createdb and dropdb find it, as its superuser. */
  environment: Record<string, string>
  stop(): Promise<void>
}

/** Starts one on loopback, in a folder of this run; `settings` are lines of postgresql.conf. */
export async function startEmptyPostgres(settings: readonly string[] = []): Promise<EmptyPostgres> {
  const path = join(newFolder('empty-postgres'), 'postgres')
  const cluster = { path, tools: await findTools() }
  await makeCluster(cluster)
  const port = await startServer(cluster, settings, await freePort(), (wanted) => Promise.resolve(wanted))
  recordProcess(Number(readFileSync(join(path, 'postmaster.pid'), 'utf8').split('\n')[0]), 'SIGQUIT')
  return {
    port,
    environment: {
      PGHOST: '127.0.0.1',
      PGPORT: String(port),
      PGUSER: 'postgres',
      PGPASSWORD: await superuserPassword(cluster),
    },
    stop: () => stopServer(cluster),
  }
}
