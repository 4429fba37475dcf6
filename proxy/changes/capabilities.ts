// How the database can be followed, and what is missing for better.
import { messageOf, Refusal } from '../errors.ts'
import type { Sources } from '../tags.ts'
import { type CatalogSnapshot, publication, type Relation, readCatalog } from './catalog.ts'
import { hasTriggers, triggerSql } from './notify.ts'
import { identitySql, isFollowable, isUpdatable, publicationSql, unfollowed } from './publication.ts'
import { type Client, connect, query } from './session.ts'

export type FollowMode = 'replication' | 'notify' | 'off'

/** What the server allows of following, and what somebody must run so that it allows more. */
export interface Capabilities {
  seen: CatalogSnapshot
  mode: FollowMode
  /** One sentence. */
  why: string
  /** Changes that will not be noticed, a sentence each. */
  warnings: string[]
  /** What is missing for the wanted mode, for psql as it stands; empty when nothing is. */
  sql: string[]
}

interface ServerFacts {
  database: string
  role: string
  isStandby: boolean
  walLevel: string
  mayReplicate: boolean
  isPublished: boolean
  /** Whether the publication, if there is one, has all that can be done to a row. */
  isWhole: boolean
  synchronous: string
  slots: number
}

/**
 * Finds how the database can be followed. The publication is made, or tables added to it, where the role may; triggers are made
 * by nobody but a person, since each statement pays for them.
 */
export async function findCapabilities(
  client: Client,
  wanted: FollowMode | 'auto',
  sources: Sources,
  mayMake = true,
): Promise<Capabilities> {
  const server = await serverFacts(client)
  let seen = await readCatalog(client, sources)
  const against = standsAgainst(server)
  let refused: string | undefined
  const isWanted = wanted === 'auto' || wanted === 'replication'
  if (mayMake && isWanted && against.length === 0) {
    const statements = publicationSql(seen, server.isPublished, false)
    try {
      for (const statement of statements) await query(client, statement)
      if (statements.length > 0) server.isPublished = true
    } catch (error) {
      refused = messageOf(error)
    }
    // Another process may have been quicker; what counts is what is there.
    if (statements.length > 0) seen = await readCatalog(client, sources)
  }
  return choose(wanted, server, seen, against, refused)
}

/** Finds how the database at `url` could be followed, and changes nothing there. */
export async function checkCapabilities(
  url: string,
  wanted: FollowMode | 'auto',
  sources: Sources,
): Promise<Capabilities> {
  let client: Client | undefined
  try {
    client = await connect(url)
    return await findCapabilities(client, wanted, sources, false)
  } catch (error) {
    throw new Refusal(`The database cannot be asked how to follow it: ${messageOf(error)}`, { cause: error })
  } finally {
    await client?.end()
  }
}

/** What the database lacks, as psql takes it. */
export function psqlOf({ mode, why, sql }: Capabilities): string {
  const now = `-- Followed now: ${mode === 'off' ? `not at all: ${why}` : why}.`
  return [
    now,
    ...(sql.length === 0 ? ['-- Nothing is missing.'] : sql.map((line) => (/^--.*$/.test(line) ? line : `${line};`))),
  ].join('\n')
}

/** Decides between what is possible. Pure. */
export function choose(
  wanted: FollowMode | 'auto',
  server: ServerFacts,
  seen: CatalogSnapshot,
  against: readonly Obstacle[],
  refused: string | undefined,
): Capabilities {
  const followable = seen.found.filter(isFollowable)
  const published = followable.filter((relation) => isCovered(relation))
  const triggered = followable.filter((relation) => hasTriggers(seen, relation))
  const notReplication =
    against[0]?.sentence ??
    (published.length === 0 && followable.length > 0
      ? `the publication ${publication} has none of the tables${refused === undefined ? '' : ` (${refused})`}`
      : undefined)
  const notNotify = server.isStandby
    ? 'the server is a standby'
    : triggered.length === 0 && followable.length > 0
      ? 'the tables have no triggers of onramp'
      : undefined
  const advice = 'onramp check --db --print-sql says what to run'
  const replicationSql = [
    ...against.flatMap(({ sql }) => sql),
    ...identitySql(seen),
    ...publicationSql(seen, server.isPublished, true),
  ]
  const some = (have: Relation[]) =>
    have.length < followable.length ? `${have.length} of ${followable.length} tables; ${advice}` : 'all tables'
  const means = (mode: FollowMode, why: string, sql: string[]): Capabilities => ({
    seen,
    mode,
    why,
    warnings: warningsOf(seen, mode),
    sql,
  })
  if (wanted === 'off') return means('off', 'postgres.follow is off', [])
  if (wanted !== 'notify' && notReplication === undefined)
    return means(
      'replication',
      `by logical replication: the server allows it, and the publication ${publication} has ${some(published)}`,
      replicationSql,
    )
  if (wanted !== 'replication' && notNotify === undefined) {
    const instead = wanted === 'auto' ? `, not by replication: ${notReplication}` : ''
    const sql = [...triggerSql(seen), ...(wanted === 'auto' ? replicationSql : [])]
    return means('notify', `by notifications of triggers on ${some(triggered)}${instead}`, sql)
  }
  const reasons = {
    replication: notReplication,
    notify: notNotify,
    auto: `${notReplication}; ${notNotify}`,
  }[wanted]
  return means('off', `${reasons}: ${advice}`, wanted === 'notify' ? triggerSql(seen) : replicationSql)
}

/** What changes will not be noticed while the database is followed in this mode, a sentence each. */
export function warningsOf(seen: CatalogSnapshot, mode: FollowMode): string[] {
  if (mode === 'off') return []
  return unfollowed(seen, mode === 'replication' ? isCovered : (relation) => hasTriggers(seen, relation))
}

const isCovered = (relation: Relation): boolean => relation.isPublished && isUpdatable(relation)

interface Obstacle {
  sentence: string
  sql: string[]
}

/** What the server has against logical replication, and what a person can do about it. */
function standsAgainst({
  isStandby,
  walLevel,
  mayReplicate,
  role,
  isWhole,
  synchronous,
  slots,
}: ServerFacts): Obstacle[] {
  const found: Obstacle[] = []
  const restart = (sql: string) => `-- Takes effect when the server is restarted.\n${sql}`
  const when = (holds: boolean, sentence: string, ...sql: string[]) => holds && found.push({ sentence, sql })
  when(isStandby, 'the server is a standby')
  when(walLevel !== 'logical', `wal_level is ${walLevel}`, restart('ALTER SYSTEM SET wal_level = logical'))
  when(
    slots === 0,
    'max_replication_slots or max_wal_senders is 0',
    ...['max_replication_slots', 'max_wal_senders'].map((name) => restart(`ALTER SYSTEM SET ${name} = 10`)),
  )
  when(!mayReplicate, `the role ${role} lacks REPLICATION`, `ALTER ROLE ${role} REPLICATION`)
  when(
    !isWhole,
    `the publication ${publication} leaves something out`,
    `ALTER PUBLICATION ${publication} SET (publish = 'insert, update, delete, truncate')`,
  )
  // Commits would count this connection as the standby they wait for.
  when(synchronous.includes('*'), 'synchronous_standby_names has *, and would count onramp as a standby')
  return found
}

async function serverFacts(client: Client): Promise<ServerFacts> {
  const [server] = await query<ServerFacts & Record<string, unknown>>(
    client,
    `select quote_ident(current_database()) as database, quote_ident(session_user) as role, pg_is_in_recovery() as "isStandby",
       current_setting('wal_level') as "walLevel", coalesce(rolreplication or rolsuper, false)
         or exists (select from pg_roles given where given.rolname = 'rds_replication' and pg_has_role(given.oid, 'member')) as "mayReplicate",
       exists (select from pg_publication where pubname = $1) as "isPublished",
       coalesce((select pubinsert and pubupdate and pubdelete and pubtruncate from pg_publication where pubname = $1), true)
         as "isWhole",
       current_setting('synchronous_standby_names') as synchronous,
       least(current_setting('max_replication_slots')::int, current_setting('max_wal_senders')::int) as slots
     from (select) one left join pg_roles on rolname = session_user`,
    [publication],
  )
  return server as ServerFacts
}
