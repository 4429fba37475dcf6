import { publication, type Relation, type Seen } from './catalog.ts'

/** Whether its rows change in a way that a replication stream, or a trigger, can show. */
export const isFollowable = ({ kind, isPermanent, isSystem }: Relation): boolean =>
  (kind === 'r' || kind === 'p') && isPermanent && !isSystem

const isStored = ({ kind }: Relation): boolean => kind !== 'v'

/** What lacks of the publication: tables to add, a partition by the table it is a part of. */
export function unpublished(seen: Seen): Relation[] {
  return seen.found.filter(
    (relation) => isFollowable(relation) && !relation.isPublished && (relation.isTop || !relation.isPartition),
  )
}

/** Of {@link unpublished}, what can be added without anything else: PostgreSQL would refuse to update the others once they are in. */
export function addable(seen: Seen): Relation[] {
  const without = new Set(seen.found.filter((one) => isFollowable(one) && !one.hasIdentity).map(({ table }) => table))
  return unpublished(seen).filter(({ table }) => !without.has(table))
}

/** The statements that complete the publication. With `all`, tables get the replica identity that they lack, before. */
export function publicationSql(seen: Seen, isThere: boolean, all: boolean): string[] {
  const names = (relations: Relation[]) => [...new Set(relations.map(({ sql }) => sql))]
  const adding = names(all ? unpublished(seen) : addable(seen))
  const identities = all
    ? names(seen.found.filter((one) => isFollowable(one) && !one.hasIdentity)).map(
        (sql) => `ALTER TABLE ${sql} REPLICA IDENTITY FULL`,
      )
    : []
  if (adding.length === 0) return identities
  return [
    ...identities,
    isThere
      ? `ALTER PUBLICATION ${publication} ADD TABLE ${adding.join(', ')}`
      : `CREATE PUBLICATION ${publication} FOR TABLE ${adding.join(', ')}`,
  ]
}

/** Statements that let a changed row be told apart by the columns routes tell rows by, where that is lost now. */
export function identitySql(seen: Seen): string[] {
  return seen.found.filter(isFollowable).flatMap(({ table, sql, identity, candidates, kind }) => {
    const columns = seen.tables.get(table)?.columns ?? []
    if (kind === 'p' || columns.every((column) => identity.includes(column))) return []
    const usable = candidates.find((candidate) => columns.every((column) => candidate.columns.includes(column)))
    const how = usable === undefined ? 'FULL' : `USING INDEX ${lastPart(usable.index)}`
    return [`ALTER TABLE ${sql} REPLICA IDENTITY ${how}`]
  })
}

/** The name of an index without its schema, which `REPLICA IDENTITY USING INDEX` does not take. */
function lastPart(name: string): string {
  return /("(?:[^"]|"")*"|[^".]+)$/.exec(name)?.[0] ?? name
}

/** What will not be noticed, a sentence each. `isPublished`: by replication, else by triggers. */
export function unfollowed(seen: Seen, isCovered: (relation: Relation) => boolean): string[] {
  const sentences = [...seen.tables.keys()]
    .filter((table) => !seen.shapes.has(table))
    .map((table) => `${table} is not there.`)
  for (const relation of seen.found.filter(isStored)) {
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
