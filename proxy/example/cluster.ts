// The PostgreSQL cluster of the example database: its files, and its server.
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { chown, mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { dirname, join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { codeOf, messageOf, Refusal } from '../errors.ts'
import { openConnection } from './marketplace.ts'
import { nobody, runTool, type Tools } from './tools.ts'

/** A data directory of PostgreSQL, and the programs that run a server on it. */
export interface Cluster {
  path: string
  tools: Tools
}

const preferredPort = 54_329
const startSeconds = 60
/** SQLSTATE cannot_connect_now. */
const startingUp = '57P03'

// Its changes are followed by logical replication, like those of any database.
const configuration = [
  `listen_addresses = '127.0.0.1'`,
  `unix_socket_directories = ''`,
  'shared_buffers = 256MB',
  'maintenance_work_mem = 128MB',
  'max_wal_size = 2GB',
  'wal_level = logical',
  `timezone = 'UTC'`,
]

// The roles that can only read, or change, the example log in without a password; all others need one.
const hostBasedAuthentication = `
host  all  onramp,dba  127.0.0.1/32  trust
host  all  all         127.0.0.1/32  scram-sha-256
`

const passwordFile = 'superuser-password'
const unfinished = 'unfinished-'

export function isMade({ path }: Cluster): boolean {
  return existsSync(join(path, 'PG_VERSION'))
}

/** Creates the files under a temporary name, and renames them when complete. Of several concurrent calls one wins. */
export async function makeCluster(cluster: Cluster): Promise<void> {
  const making = await mkdtemp(join(dirname(cluster.path), unfinished))
  try {
    const [files, password] = [join(making, 'postgres'), join(making, passwordFile)]
    await mkdir(files, { mode: 0o700 })
    if (cluster.tools.prefix.length > 0) await chown(files, nobody, nobody)
    await writeFile(password, `${randomBytes(24).toString('base64url')}\n`, { mode: 0o600 })
    const access = ['-U', 'postgres', '-A', 'scram-sha-256', `--pwfile=${password}`]
    const locale = ['-E', 'UTF8', '--locale-provider=builtin', '--locale=C.UTF-8']
    await runTool(cluster.tools, 'initdb', ['-D', files, ...access, ...locale])
    await rename(password, join(files, passwordFile))
    await writeFile(join(files, 'pg_hba.conf'), hostBasedAuthentication)
    await writeFile(join(files, 'postgresql.conf'), `include 'onramp.conf'\n`, { flag: 'a' })
    await rename(files, cluster.path)
  } catch (error) {
    if (!isMade(cluster)) throw error // else another process was first
  } finally {
    await rm(making, { recursive: true, force: true })
  }
}

/** Removes the remains of crashed starts from `folder`: creating the files never takes an hour. */
export async function removeUnfinished(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    const path = join(folder, name)
    if (name.startsWith(unfinished) && Date.now() - (await stat(path)).mtimeMs > 3_600_000) {
      await rm(path, { recursive: true, force: true })
    }
  }
}

export async function superuserPassword({ path }: Cluster): Promise<string> {
  return (await readFile(join(path, passwordFile), 'utf8')).trim()
}

/** The port of a server already running on these files: another onramp's, or one left over from a crash. */
export async function runningPort({ path, tools }: Cluster): Promise<number | undefined> {
  const pidFile = join(path, 'postmaster.pid')
  const [pid, , , port] = await readFile(pidFile, 'utf8').then(
    (text) => text.split('\n'),
    () => [],
  )
  if (pid === undefined) return undefined
  // The process id may belong to another process now; then PostgreSQL itself would refuse to start.
  const command = await readFile(`/proc/${pid.trim()}/cmdline`, 'utf8').catch(() => undefined)
  if (existsSync('/proc/self') && command?.includes('postgres') !== true) {
    await rm(pidFile, { force: true })
    return undefined
  }
  return runTool(tools, 'pg_ctl', ['status', '-D', path]).then(
    () => Number(port),
    () => undefined,
  )
}

/** Connects to a server that another process may have just started: it runs before it accepts connections. */
export async function connectWhenReady(cluster: Cluster, url: string): ReturnType<typeof openConnection> {
  for (const until = Date.now() + startSeconds * 1000; ; await pause(50)) {
    try {
      return await openConnection(url)
    } catch (error) {
      const isStarting = ['ECONNREFUSED', startingUp].includes(codeOf(error) ?? '')
      if (!isStarting || Date.now() > until || (await runningPort(cluster)) === undefined) throw error
    }
  }
}

/**
 * Starts the server in a session of its own, as pg_ctl does: so a Ctrl-C that stops onramp does not stop the server
 * before the drain. Resolves to its port: the previous one, else `wanted`, else any free one. `findPort` finds it, and
 * is called again if another process takes the port before the server does. `settings` are additional lines of
 * postgresql.conf.
 */
export async function startServer(
  cluster: Cluster,
  settings: readonly string[],
  wanted = preferredPort,
  findPort = freePort,
): Promise<number> {
  const { path, tools } = cluster
  const file = join(path, 'onramp.conf')
  const before = /^port = (\d+)$/m.exec(await readFile(file, 'utf8').catch(() => ''))?.[1]
  const log = join(path, 'server.log')
  for (let tries = 1; ; tries += 1) {
    const port = await findPort(before === undefined ? wanted : Number(before))
    await writeFile(file, [`port = ${port}`, ...configuration, ...settings, ''].join('\n'))
    try {
      await runTool(tools, 'pg_ctl', ['start', '-D', path, '-l', log, '-w', '-t', `${startSeconds}`])
      return port
    } catch (error) {
      // Another process started it at this moment: the advisory lock decides who owns it.
      const running = await runningPort(cluster)
      if (running !== undefined) return running
      const said = await readFile(log, 'utf8').then(reasonIn, () => messageOf(error))
      if (said.includes(portTakenMeanwhile) && tries < 3) continue
      throw new Refusal(`The embedded database does not start: ${said} (see ${log})`, { cause: error })
    }
  }
}

const portTakenMeanwhile = 'could not create any TCP/IP sockets'

/** The reason the server ended, from the last lines of its log; a line that only reports the shutdown is skipped. */
function reasonIn(log: string): string {
  const lines = log.trim().split('\n').slice(-2)
  return lines.find((line) => line.includes('FATAL:')) ?? lines.at(-1) ?? ''
}

export async function stopServer(cluster: Cluster): Promise<void> {
  const args = ['stop', '-D', cluster.path, '-m', 'fast', '-w']
  await runTool(cluster.tools, 'pg_ctl', args).catch(async (error) => {
    const isGone = (await runningPort(cluster)) === undefined
    if (!isGone) throw new Refusal(`The embedded database did not stop: ${messageOf(error)}`, { cause: error })
  })
}

/** The wanted port, so that a note of it stays valid, or any free one. */
async function freePort(wanted: number): Promise<number> {
  return (await portTaken(wanted)) ?? (await portTaken(0)) ?? wanted // the server will report that it is in use
}

/** Listens briefly on `port` (0 for any). Resolves to the actual port, or to nothing if it is not free. */
function portTaken(port: number): Promise<number | undefined> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(undefined))
    server.listen(port, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' ? address?.port : undefined))
    })
  })
}
