// Loads the marketplace tables and data into the example database.
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import pg from 'pg'

export interface Loading {
  /** The folder of schema.sql and seed.sql. */
  marketplaceDir: string
  /** Called with a short name for each step that takes time. */
  progress(step: string): void
}

/** The name of the marketplace database. */
export const marketplaceDatabase = 'marketplace'

/** The owner of the tables, and their reader. */
const roles = ['dba', 'onramp']
const grants = 'grant select on all tables in schema public to onramp; revoke all on applications from onramp'
/** The right by which onramp follows the database. */
const replication = 'alter role onramp replication'

/**
 * Loads the marketplace, unless the existing database was made by the same SQL.
 *
 * `superuser` is connected to any database of the server. `urlOf` returns a superuser's address of another database.
 * Loading uses a temporary database name until it is complete, so that no reader ever sees half of it.
 */
export async function load(
  superuser: pg.Client,
  urlOf: (name: string) => string,
  { marketplaceDir, progress }: Loading,
): Promise<void> {
  const read = (name: string) => readFile(join(marketplaceDir, name), 'utf8')
  const [schema, seed] = [await read('schema.sql'), await read('seed.sql')]
  const identity = `onramp ${createHash('sha256').update(`${schema}\0${seed}\0${grants}\0${replication}`).digest('hex').slice(0, 16)}`
  const { rows } = await superuser.query<{ identity: string }>(
    `select shobj_description(oid, 'pg_database') as identity from pg_database where datname = $1`,
    [marketplaceDatabase],
  )
  if (rows[0]?.identity === identity) return

  const unfinished = `${marketplaceDatabase}_unfinished`
  await superuser.query(`drop database if exists ${unfinished} with (force)`)
  for (const role of roles)
    await superuser.query(`do $$ begin create role ${role} login; exception when duplicate_object then null; end $$`)
  await superuser.query(replication)
  await superuser.query(`create database ${unfinished} owner dba`)
  const client = await openConnection(urlOf(unfinished))
  try {
    // A crash can lose nothing of value: an incomplete database is made again.
    await client.query('set synchronous_commit = off')
    await client.query('set role dba')
    progress('schema')
    await client.query(schema)
    for (const [step, sql] of stepsOf(seed)) {
      progress(step)
      await client.query(sql)
    }
    await client.query(grants)
    progress('vacuum')
    await client.query('vacuum (analyze)')
  } finally {
    await client.end()
  }
  await superuser.query(`comment on database ${unfinished} is '${identity}'`)
  await superuser.query(`drop database if exists ${marketplaceDatabase} with (force)`)
  await superuser.query(`alter database ${unfinished} rename to ${marketplaceDatabase}`)
}

/** The seed, split at its `-- step: ...` lines. */
export function stepsOf(seed: string): [step: string, sql: string][] {
  const [preparations = '', ...pieces] = seed.split(/^-- step: (.*)$/m)
  const steps: [string, string][] = []
  if (preparations.trim() !== '') steps.push(['preparations', preparations])
  for (let i = 0; i < pieces.length; i += 2) {
    const [step = '', sql = ''] = pieces.slice(i, i + 2)
    steps.push([step, sql])
  }
  return steps
}

/** A connection whose loss is reported by the query that runs into it. */
export async function openConnection(url: string): Promise<pg.Client> {
  const client = new pg.Client({
    connectionString: url,
    connectionTimeoutMillis: 10_000,
    application_name: 'onramp embedded',
  })
  client.on('error', () => {}) // without a listener it would end the process
  await client.connect()
  return client
}
