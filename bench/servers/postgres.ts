import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Embedded, type EmbeddedOptions, startEmbedded } from '../../proxy/example/embedded.ts'
import { isRunning, signal, withDescendants } from '../proc.ts'
import { until } from '../until.ts'
import { freePort } from './programs.ts'
import { newFolder, recordProcess } from './run-folder.ts'

/** PostgreSQL on loopback, with the example marketplace or another one. */
export interface PostgresServer extends Embedded {
  port: number
  /** The pid of the first postmaster. */
  pid: number
  freeze(): void
  thaw(): void
  /** Sends SIGKILL to all its processes, as in a power cut. */
  kill(): Promise<void>
}

/** Starts PostgreSQL; its files are in a new folder of this run unless `dataDir` names one. */
export async function startPostgres(options: Partial<EmbeddedOptions> = {}): Promise<PostgresServer> {
  const {
    dataDir = newFolder('postgres'),
    marketplaceDir = fileURLToPath(new URL('../../config/marketplace', import.meta.url)),
    progress = () => {},
    port = await freePort(),
    settings = [],
  } = options
  const server = await startEmbedded({ dataDir, marketplaceDir, progress, port, settings })
  const pidFile = join(dataDir, 'postgres', 'postmaster.pid')
  const postmaster = () => Number(readFileSync(pidFile, 'utf8').split('\n')[0])
  const pid = postmaster()
  recordProcess(pid, 'SIGQUIT')
  const all = () => (existsSync(pidFile) ? withDescendants(postmaster()) : [])
  return {
    ...server,
    port: Number(new URL(server.url).port),
    pid,
    freeze: () => signal(all(), 'SIGSTOP'),
    thaw: () => signal(all(), 'SIGCONT'),
    async kill() {
      const pids = all()
      signal(pids, 'SIGKILL')
      await until(() => pids.some(isRunning), false)
    },
  }
}
