// Every spelling of a tag, and its parser: pure.
/*
 * An entry carries the tags of what it was made from; an invalidation names tags.
 *
 *   table:plans               any change of a table or view
 *   rows:plans                a change of a table that cannot be told row by row; carried by entries that have row tags of it
 *   row:plans.plan_id=A1      a change of the rows with this value in this column
 *   route:plan-search         every answer of a route
 *   function:f(integer)       the definition of a function
 *   *                         everything: every entry carries it without saying so
 *   county:51059              anything else: a tag of a route's template, named by whoever purges
 */

/** A followed table, and the columns by which some route tells its rows apart: of a changed row their values become tags. */
export interface FollowedTable {
  /** As PostgreSQL spells a `regclass`: quoted where needed, with its schema where that is not in the search path. */
  table: string
  columns: readonly string[]
}

/** What answers are made of: tables and views, and functions by their names with the types of their arguments. */
export interface FollowedObjects {
  tables: readonly FollowedTable[]
  functions: readonly string[]
}

/** The tag that every entry carries without saying so. */
export const everything = '*'

export const tableTag = (table: string): string => `table:${table}`
export const rowsTag = (table: string): string => `rows:${table}`
export const rowTag = (table: string, column: string, value: string | number | boolean): string =>
  `row:${table}.${column}=${value}`
export const routeTag = (route: string): string => `route:${route}`
export const functionTag = (name: string): string => `function:${name}`

/** The tags for a change of a followed table that cannot be told row by row. */
export function tableTags({ table, columns }: FollowedTable): string[] {
  return columns.length === 0 ? [tableTag(table)] : [tableTag(table), rowsTag(table)]
}

/** The tags for a change of anything that `objects` names. */
export function objectTags({ tables, functions }: FollowedObjects): string[] {
  return [...tables.flatMap(tableTags), ...functions.map(functionTag)]
}

/** `tags` as a person means them: whoever names a table means all of it, rows that are told apart too. */
export function expandTags(tags: readonly string[], followed: ReadonlyMap<string, FollowedTable>): string[] {
  return tags.flatMap((tag) => {
    const parsed = parseTag(tag)
    const table = parsed.kind === 'table' ? followed.get(parsed.table) : undefined
    return table === undefined ? [tag] : tableTags(table)
  })
}

/** The same spellings as SQL expressions, out of SQL expressions: for `changes/triggers.ts`. */
export const tagSql = {
  table: (table: string): string => `'${tableTag('')}' || ${table}`,
  rows: (table: string): string => `'${rowsTag('')}' || ${table}`,
  /** A row tag up to its value. */
  rowBeforeValue: (table: string, column: string): string => `'row:' || ${table} || '.' || ${column} || '='`,
}

export type Tag =
  | { kind: 'everything' }
  | { kind: 'table'; table: string }
  | { kind: 'rows'; table: string }
  | { kind: 'row'; table: string; column: string; value: string }
  | { kind: 'route'; route: string }
  | { kind: 'function'; name: string }
  | { kind: 'custom'; tag: string }

const part = '(?:"(?:[^"]|"")*"|[^".=]+)'
const rowPattern = new RegExp(`^row:(${part}(?:\\.${part})?)\\.([^=]*)=([\\s\\S]*)$`)

/**
 * Reads a tag. The names in a row tag are told apart as well as they can be: a column with a dot in its name, of a table
 * without a schema, looks like the column of a table with one. Nothing is decided by that.
 */
export function parseTag(tag: string): Tag {
  if (tag === everything) return { kind: 'everything' }
  const colon = tag.indexOf(':')
  const rest = tag.slice(colon + 1)
  switch (tag.slice(0, colon + 1)) {
    case 'table:':
      return { kind: 'table', table: rest }
    case 'rows:':
      return { kind: 'rows', table: rest }
    case 'route:':
      return { kind: 'route', route: rest }
    case 'function:':
      return { kind: 'function', name: rest }
    case 'row:': {
      const [, table, column, value] = rowPattern.exec(tag) ?? []
      if (table === undefined || column === undefined || value === undefined) return { kind: 'custom', tag }
      return { kind: 'row', table, column, value }
    }
    default:
      return { kind: 'custom', tag }
  }
}

/** A tag as people read it in a log line or on the dashboard. */
export function tagInWords(tag: string): string {
  return parseTag(tag).kind === 'everything' ? 'everything' : tag
}
