// Capabilities: how the database can be followed, and the SQL that a better mode needs.
import { messageOf, Refusal } from '../errors.ts'
import type { FollowedObjects } from '../tags.ts'
import { type CatalogSnapshot, publication, type Relation, readCatalog } from './catalog.ts'
import type { FollowMode } from './changes.ts'
import { advice, identitySql, isFollowable, isUpdatable, publicationSql, unfollowed } from './publication.ts'
import { type Client, connect, query } from './session.ts'
import { hasTriggers, triggerSql } from './triggers.ts'

/** How the server allows its changes to be followed, and the SQL that would allow more. */
export interface Capabilities {
  catalog: CatalogSnapshot
  mode: FollowMode
  /** The reason for the mode: the end of a sentence, without a full stop. */
  why: string
  /** Changes that will not be noticed, one sentence each. */
  warnings: string[]
  /** Statements that the wanted mode still needs, as psql takes them; empty when nothing is missing. */
  sql: string[]
}

interface ServerFacts {
  role: string
  isStandby: boolean
  walLevel: string
  mayReplicate: boolean
  isPublished: boolean
  /** Whether the publication, if there is one, publishes all operations on rows. */
  isWhole: boolean
  synchronous: string
  slots: number
}

/**
 * Finds how the database can be followed. Creates the publication, or adds tables to it, where the role may. It never
 * creates triggers: each statement of a writer pays for them, so a person must decide that.
 */
export async function findCapabilities(
  client: Client,
  wanted: FollowMode | 'auto',
  objects: FollowedObjects,
  mayMake = true,
): Promise<Capabilities> {
  const server = await serverFacts(client)
  let catalog = await readCatalog(client, objects)
  const obstacles = obstaclesOf(server)
  let refused: string | undefined
  const isWanted = wanted === 'auto' || wanted === 'replication'
  if (mayMake && isWanted && obstacles.length === 0) {
    const statements = publicationSql(catalog, server.isPublished, false)
    try {
      for (const statement of statements) await query(client, statement)
      if (statements.length > 0) server.isPublished = true
    } catch (error) {
      refused = messageOf(error)
    }
    // Another process may have changed the publication first: read what is there now.
    if (statements.length > 0) catalog = await readCatalog(client, objects)
  }
  return chooseMode(wanted, server, catalog, obstacles, refused)
}

/** Finds how the database at `url` could be followed, without changing it. */
export async function checkCapabilities(
  url: string,
  wanted: FollowMode | 'auto',
  objects: FollowedObjects,
): Promise<Capabilities> {
  let client: Client | undefined
  try {
    client = await connect(url)
    return await findCapabilities(client, wanted, objects, false)
  } catch (error) {
    throw new Refusal(`onramp cannot find out how the database can be followed: ${messageOf(error)}`, { cause: error })
  } finally {
    await client?.end()
  }
}

/** The missing SQL, as psql takes it. */
export function psqlOf({ mode, why, sql }: Capabilities): string {
  const now = `-- Followed now: ${mode === 'off' ? `not at all: ${why}` : why}.`
  return [
    now,
    ...(sql.length === 0 ? ['-- Nothing is missing.'] : sql.map((line) => (/^--.*$/.test(line) ? line : `${line};`))),
  ].join('\n')
}

/** Findings on one mode: why it is possible, or the obstacle, and the statements that make it possible or complete. */
interface ModeFindings {
  why: string
  obstacle: string | undefined
  sql: string[]
}

/** Chooses among the possible modes. Pure. */
function chooseMode(
  wanted: FollowMode | 'auto',
  server: ServerFacts,
  catalog: CatalogSnapshot,
  obstacles: readonly Obstacle[],
  refused: string | undefined,
): Capabilities {
  const chosen = (mode: FollowMode, why: string, sql: string[]): Capabilities => ({
    catalog,
    mode,
    why,
    warnings: warningsOf(catalog, mode),
    sql,
  })
  if (wanted === 'off') return chosen('off', 'postgres.follow is off', [])
  const replication = replicationFindings(server, catalog, obstacles, refused)
  const notify = notifyFindings(server, catalog)
  if (wanted !== 'notify' && replication.obstacle === undefined)
    return chosen('replication', replication.why, replication.sql)
  if (wanted !== 'replication' && notify.obstacle === undefined) {
    const instead = wanted === 'auto' ? `; replication is not possible: ${replication.obstacle}` : ''
    const sql = [...notify.sql, ...(wanted === 'auto' ? replication.sql : [])]
    return chosen('notify', `${notify.why}${instead}`, sql)
  }
  const reasons = {
    replication: replication.obstacle,
    notify: notify.obstacle,
    auto: `${replication.obstacle}; ${notify.obstacle}`,
  }[wanted]
  return chosen('off', `${reasons}; ${advice}`, wanted === 'notify' ? notify.sql : replication.sql)
}

function replicationFindings(
  server: ServerFacts,
  catalog: CatalogSnapshot,
  obstacles: readonly Obstacle[],
  refused: string | undefined,
): ModeFindings {
  const followable = catalog.found.filter(isFollowable)
  const published = followable.filter((relation) => isCovered(relation))
  const noTable =
    published.length === 0 && followable.length > 0
      ? `the publication ${publication} contains none of the tables${refused === undefined ? '' : ` (${refused})`}`
      : undefined
  return {
    why: `by logical replication: the server allows it, and the publication ${publication} contains ${countOf(published, followable)}`,
    obstacle: obstacles[0]?.sentence ?? noTable,
    sql: [
      ...obstacles.flatMap(({ sql }) => sql),
      ...identitySql(catalog),
      ...publicationSql(catalog, server.isPublished, true),
    ],
  }
}

function notifyFindings(server: ServerFacts, catalog: CatalogSnapshot): ModeFindings {
  const followable = catalog.found.filter(isFollowable)
  const triggered = followable.filter((relation) => hasTriggers(catalog, relation))
  const noTrigger = triggered.length === 0 && followable.length > 0 ? 'the tables have no onramp triggers' : undefined
  return {
    why: `by notifications from triggers on ${countOf(triggered, followable)}`,
    obstacle: server.isStandby ? 'the server is a standby' : noTrigger,
    sql: triggerSql(catalog),
  }
}

const countOf = (some: readonly Relation[], all: readonly Relation[]): string =>
  some.length < all.length ? `${some.length} of ${all.length} tables; ${advice}` : 'all tables'

/** Changes that will not be noticed in this mode, one sentence each. */
export function warningsOf(catalog: CatalogSnapshot, mode: FollowMode): string[] {
  if (mode === 'off') return []
  return unfollowed(catalog, mode === 'replication' ? isCovered : (relation) => hasTriggers(catalog, relation))
}

const isCovered = (relation: Relation): boolean => relation.isPublished && isUpdatable(relation)

interface Obstacle {
  sentence: string
  sql: string[]
}

/** Obstacles of the server to logical replication, each with the SQL that a person can run. */
function obstaclesOf({
  isStandby,
  walLevel,
  mayReplicate,
  role,
  isWhole,
  synchronous,
  slots,
}: ServerFacts): Obstacle[] {
  const found: Obstacle[] = []
  const restart = (sql: string) => `-- Takes effect after a restart of the server.\n${sql}`
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
    `the publication ${publication} does not publish all operations`,
    `ALTER PUBLICATION ${publication} SET (publish = 'insert, update, delete, truncate')`,
  )
  // Commits would wait for this connection as for a standby.
  when(
    synchronous.includes('*'),
    'synchronous_standby_names contains *, so commits would wait for onramp as for a standby',
  )
  return found
}

async function serverFacts(client: Client): Promise<ServerFacts> {
  const [server] = await query<ServerFacts>(
    client,
    `select quote_ident(session_user) as role, pg_is_in_recovery() as "isStandby",
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
  if (server === undefined) throw new Error('the server returned no row about its settings')
  return server
}
