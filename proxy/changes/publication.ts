// The publication: missing tables, replica identities, and tables that cannot be followed: pure.
import { type CatalogSnapshot, publication, type Relation } from './catalog.ts'

/** The advice on a table that could be followed, and is not. */
export const advice = 'run onramp check --db --print-sql to get the missing SQL'

/** Whether a replication stream, or a trigger, can show the changes of its rows. */
export const isFollowable = ({ kind, isPermanent, isSystem }: Relation): boolean =>
  (kind === 'r' || kind === 'p') && isPermanent && !isSystem

const isStored = ({ kind }: Relation): boolean => kind !== 'v'

/** Tables that the publication lacks. A partition is covered by its partitioned table, unless it is followed itself. */
export function unpublished(catalog: CatalogSnapshot): Relation[] {
  return catalog.found.filter(
    (relation) => isFollowable(relation) && !relation.isPublished && (relation.isTop || !relation.isPartition),
  )
}

/** Whether PostgreSQL still accepts updates of it once it is published. */
export const isUpdatable = ({ kind, hasIdentity }: Relation): boolean => kind === 'p' || hasIdentity

/**
 * The statement that completes the publication, if tables are missing. With `isAll` it includes tables that need a
 * replica identity first ({@link identitySql}); a partitioned one has to give one to its future partitions.
 */
export function publicationSql(catalog: CatalogSnapshot, isThere: boolean, isAll: boolean): string[] {
  const lacking = catalog.found.filter((relation) => isFollowable(relation) && !relation.hasIdentity)
  const refused = new Set(isAll ? [] : lacking.map(({ table }) => table))
  const adding = new Set(
    unpublished(catalog)
      .filter(({ table }) => !refused.has(table))
      .map(({ sql }) => sql),
  )
  if (adding.size === 0) return []
  const tables = [...adding].join(', ')
  return [
    isThere
      ? `ALTER PUBLICATION ${publication} ADD TABLE ${tables}`
      : `CREATE PUBLICATION ${publication} FOR TABLE ${tables}`,
  ]
}

/**
 * The statements that give tables a replica identity. Tables without one need it to be published. Others need it where
 * theirs does not send the old value of a column by which routes identify rows.
 */
export function identitySql(catalog: CatalogSnapshot): string[] {
  const statements = catalog.found
    .filter(isFollowable)
    .flatMap(({ table, sql, kind, hasIdentity, identity, candidates }) => {
      const columns = catalog.tables.get(table)?.columns ?? []
      if (kind === 'p')
        return hasIdentity
          ? []
          : [`-- PostgreSQL will refuse updates of future partitions of ${sql} that have no replica identity.`]
      if (hasIdentity && columns.every((column) => identity.includes(column))) return []
      const usable = candidates.find((candidate) => columns.every((column) => candidate.columns.includes(column)))
      const how = usable === undefined ? 'FULL' : `USING INDEX ${lastPart(usable.index)}`
      return [`ALTER TABLE ${sql} REPLICA IDENTITY ${how}`]
    })
  return [...new Set(statements)]
}

/** The name of an index without its schema, which `REPLICA IDENTITY USING INDEX` does not take. */
function lastPart(name: string): string {
  return /("(?:[^"]|"")*"|[^".]+)$/.exec(name)?.[0] ?? name
}

/** Changes that will not be noticed, one sentence each. `isCovered`: whether changes of a relation are noticed. */
export function unfollowed(catalog: CatalogSnapshot, isCovered: (relation: Relation) => boolean): string[] {
  const sentences = [...catalog.tables.keys()]
    .filter((table) => !catalog.shapes.has(table))
    .map((table) => `Changes of ${table} are not noticed: it does not exist.`)
  for (const relation of catalog.found.filter(isStored)) {
    const { table, sql } = relation
    const is = why(relation)
    if (is !== undefined) sentences.push(`Changes of ${sql} are not noticed: ${is}.`)
    else if (!isCovered(relation)) sentences.push(`Changes of ${sql} (${table}) are not noticed yet: ${advice}.`)
  }
  return [...new Set(sentences)]
}

function why({ kind, isPermanent, isSystem }: Relation): string | undefined {
  if (isSystem) return 'it is a system table'
  if (kind === 'm') return 'it is a materialized view (only a REFRESH without CONCURRENTLY is noticed)'
  if (kind === 'f') return 'it is a foreign table'
  if (!isPermanent) return 'it is unlogged or temporary'
  return kind === 'r' || kind === 'p' ? undefined : 'it is not a table'
}
