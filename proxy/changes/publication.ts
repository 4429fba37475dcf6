// The publication: what it lacks, what nobody can follow: pure.
import { type CatalogSnapshot, publication, type Relation } from './catalog.ts'

/** Whether its rows change in a way that a replication stream, or a trigger, can show. */
export const isFollowable = ({ kind, isPermanent, isSystem }: Relation): boolean =>
  (kind === 'r' || kind === 'p') && isPermanent && !isSystem

const isStored = ({ kind }: Relation): boolean => kind !== 'v'

/** What lacks of the publication: tables to add, a partition by the table it is a part of. */
export function unpublished(catalog: CatalogSnapshot): Relation[] {
  return catalog.found.filter(
    (relation) => isFollowable(relation) && !relation.isPublished && (relation.isTop || !relation.isPartition),
  )
}

/** Whether PostgreSQL goes on taking updates of it once it is published. */
export const isUpdatable = ({ kind, hasIdentity }: Relation): boolean => kind === 'p' || hasIdentity

/**
 * The statement that completes the publication, if anything lacks. With `isAll`, tables too that need a replica identity first
 * ({@link identitySql}); a partitioned one has to give one to its future partitions.
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
 * The statements that give tables a replica identity: those that have none, so that they can be published, and those where that of
 * a changed row does not tell its old value in a column that routes tell rows by.
 */
export function identitySql(catalog: CatalogSnapshot): string[] {
  const statements = catalog.found
    .filter(isFollowable)
    .flatMap(({ table, sql, kind, hasIdentity, identity, candidates }) => {
      const columns = catalog.tables.get(table)?.columns ?? []
      if (kind === 'p')
        return hasIdentity
          ? []
          : [`-- PostgreSQL will refuse to update partitions of ${sql} to come that have no replica identity.`]
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

/** What will not be noticed, a sentence each, where what can be noticed is not `isCovered`. */
export function unfollowed(catalog: CatalogSnapshot, isCovered: (relation: Relation) => boolean): string[] {
  const sentences = [...catalog.tables.keys()]
    .filter((table) => !catalog.shapes.has(table))
    .map((table) => `${table} is not there.`)
  for (const relation of catalog.found.filter(isStored)) {
    const { table, sql } = relation
    const is = why(relation)
    if (is !== undefined) sentences.push(`Changes of ${sql} are not noticed: ${is}.`)
    else if (!isCovered(relation)) sentences.push(`Changes of ${sql} (${table}) are not noticed yet.`)
  }
  return [...new Set(sentences)]
}

function why({ kind, isPermanent, isSystem }: Relation): string | undefined {
  if (isSystem) return 'it is a table of the system'
  if (kind === 'm') return 'it is a materialized view (a REFRESH is, unless it is CONCURRENTLY)'
  if (kind === 'f') return 'it is a foreign table'
  if (!isPermanent) return 'it is unlogged or temporary'
  return kind === 'r' || kind === 'p' ? undefined : 'it is no table'
}
