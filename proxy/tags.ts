// Cache tags: how they are spelled, and their parser: pure.
/*
 * An entry carries tags of its route, and of the tables, rows and functions it was read from. An invalidation names tags.
 *
 *   table:plans               any change of a table or view
 *   rows:plans                a change of a table without known rows; carried by entries that have row tags of that table
 *   row:plans.plan_id=A1      a change of the rows with this value in this column
 *   route:plan-search         every answer of a route
 *   function:f(integer)       the definition of a function
 *   *                         everything: every entry carries it implicitly
 *   county:51059              anything else: a tag from a route's template, for purges
 */

/**
 * A followed table, and the columns by which some route distinguishes its rows. The values of a changed row in these
 * columns become tags.
 */
export interface FollowedTable {
  /** As PostgreSQL spells a `regclass`: quoted where needed, with its schema if that is not in the search path. */
  table: string
  columns: readonly string[]
}

/** The objects that answers depend on: tables and views, and functions by name with their argument types. */
export interface FollowedObjects {
  tables: readonly FollowedTable[]
  functions: readonly string[]
}

/** The tag that every entry carries implicitly. */
export const everything = '*'

export const tableTag = (table: string): string => `table:${table}`
export const rowsTag = (table: string): string => `rows:${table}`
export const rowTag = (table: string, column: string, value: string | number | boolean): string =>
  `row:${table}.${column}=${value}`
export const routeTag = (route: string): string => `route:${route}`
export const functionTag = (name: string): string => `function:${name}`

/** The tags for a change of a followed table when the changed rows are unknown. */
export function tableTags({ table, columns }: FollowedTable): string[] {
  return columns.length === 0 ? [tableTag(table)] : [tableTag(table), rowsTag(table)]
}

/** The tags for a change of any object in `objects`. */
export function objectTags({ tables, functions }: FollowedObjects): string[] {
  return [...tables.flatMap(tableTags), ...functions.map(functionTag)]
}

/** `tags` as a person means them: a table tag includes the rows of that table that have tags of their own. */
export function expandTags(tags: readonly string[], followed: ReadonlyMap<string, FollowedTable>): string[] {
  return tags.flatMap((tag) => {
    const parsed = parseTag(tag)
    const table = parsed.kind === 'table' ? followed.get(parsed.table) : undefined
    return table === undefined ? [tag] : tableTags(table)
  })
}

/** The same spellings as SQL expressions, built from SQL expressions: for `changes/triggers.ts`. */
export const tagSql = {
  table: (table: string): string => `'${tableTag('')}' || ${table}`,
  rows: (table: string): string => `'${rowsTag('')}' || ${table}`,
  /** A row tag without its value. */
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
 * Parses a tag. The names in a row tag can be ambiguous: a column with a dot in its name, of a table without a schema,
 * looks like a column of a table with a schema. No decision depends on it.
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

/** A tag as shown in a log line or on the dashboard. */
export function tagInWords(tag: string): string {
  return parseTag(tag).kind === 'everything' ? 'everything' : tag
}
