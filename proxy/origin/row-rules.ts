// Checks of a route's row rules: whether its statement reads only the rows that they name.
import type { PoolClient } from 'pg'
import { suggest } from '../suggest.ts'
import type { Query, RowRule } from './origin.ts'
import type { PlanNode } from './plan.ts'

/**
 * Checks the row rules of a route: the table must have the column, its type must match the parameter, and the plan
 * should show that the statement reads no other rows. The last check only warns, because a condition that is true for
 * every row need not appear in the plan.
 *
 * A row is identified by the text of its value, an entry by the text of its parameter. So only types are allowed whose
 * equal values have equal texts: not char(n), numeric, uuid or timestamps, and no collation under which different texts
 * are equal.
 */
export async function inspectRows(
  client: PoolClient,
  query: Query,
  tables: readonly string[],
  plan: readonly PlanNode[],
): Promise<{ faults: string[]; warnings: string[] }> {
  const [faults, warnings]: [string[], string[]] = [[], []]
  for (const [table, rule] of Object.entries(query.rows)) {
    if (!tables.includes(table)) {
      faults.push(`rows names ${table}, which its statement does not read${suggest(table, [...tables])}`)
      continue
    }
    faults.push(...(await columnFaults(client, table, rule)))
    const isPart = await partsOf(client, table)
    const number = query.statement.names.indexOf(rule.parameter) + 1
    if (plan.some((node) => isPart(node) && !isBound(node, rule, number)))
      warnings.push(
        `rows says that only rows of ${table} with ${rule.column} = :${rule.parameter} matter, but the plan does not show it: changes of other rows would be missed.`,
      )
  }
  return { faults, warnings }
}

const types = { texts: ['text', 'character varying'], integers: ['smallint', 'integer', 'bigint'] }

async function columnFaults(client: PoolClient, table: string, { column, holds }: RowRule): Promise<string[]> {
  const { rows } = await client.query<{ type: string; isExact: boolean }>(
    `select format_type(atttypid, null) as type, coalesce(collisdeterministic, true) as "isExact"
       from pg_attribute left join pg_collation c on c.oid = attcollation
       where attrelid = to_regclass($1) and attname = $2 and attnum > 0 and not attisdropped`,
    [table, column],
  )
  const [found] = rows
  if (found === undefined) return [`rows names the column ${column}, which ${table} does not have.`]
  const { type, isExact } = found
  if (isExact && types[holds].includes(type)) return []
  return [
    `rows cannot identify rows of ${table} by ${column}: its type is ${type}${isExact ? '' : ' with a nondeterministic collation'}, but the parameter holds ${holds}.`,
  ]
}

/** Resolves to a function that tells whether a node reads `table`, or a partition or child of it. */
async function partsOf(client: PoolClient, table: string): Promise<(node: PlanNode) => boolean> {
  const { rows } = await client.query<{ schema: string; name: string }>(
    `with recursive part (oid) as (
       select to_regclass($1)::oid union select inhrelid from pg_inherits join part on inhparent = oid)
     select nspname as schema, relname as name from part join pg_class using (oid) join pg_namespace n on n.oid = relnamespace`,
    [table],
  )
  return (node) => rows.some(({ schema, name }) => schema === node.Schema && name === node['Relation Name'])
}

/**
 * Whether the plan shows that the rule's column equals parameter `number`, or one of its items, in every row this node
 * reads.
 */
export function isBound(node: PlanNode, { column, holds }: RowRule, number: number): boolean {
  const casts = holds === 'texts' ? 'text|character varying' : 'smallint|integer|bigint'
  const name = (text: string) => `(?:${escaped(text)}|"${escaped(text.replaceAll('"', '""'))}")`
  const columnText = `${name(node.Alias ?? '')}\\.${name(column)}`
  const field = `(?:${columnText}|\\(${columnText}\\)::(?:${casts}))`
  const value = (cast: string) => `(?:\\$${number}|\\(\\$${number}\\)::${cast})`
  const equality = new RegExp(
    `^(?:${field} = ${value(`(?:${casts})`)}|${value(`(?:${casts})`)} = ${field}|${field} = ANY \\(${value(`(?:${casts})\\[\\]`)}\\))$`,
  )
  const conditions = [node['Index Cond'], node['Recheck Cond'], node.Filter]
  return conditions.some(
    (condition) => condition !== undefined && conjuncts(condition).some((one) => equality.test(one)),
  )
}

const escaped = (text: string) => text.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')

/** The AND-ed parts of a condition, without the parentheses around each. */
export function conjuncts(condition: string): string[] {
  const inner = unwrapped(condition)
  const parts = splitAnd(inner)
  return parts.length === 1 ? [inner] : parts.flatMap(conjuncts)
}

/** `text` without parentheses around the whole. */
function unwrapped(text: string): string {
  if (!text.startsWith('(')) return text
  return closing(text) === text.length - 1 ? unwrapped(text.slice(1, -1)) : text
}

/** The index at which the parenthesis at the start of `text` closes. */
function closing(text: string): number {
  let depth = 0
  for (const { 0: piece, index } of text.matchAll(tokens)) {
    if (piece === '(') depth += 1
    if (piece === ')' && --depth === 0) return index
  }
  return -1
}

function splitAnd(text: string): string[] {
  const parts: string[] = []
  let [depth, from] = [0, 0]
  for (const { 0: piece, index } of text.matchAll(tokens)) {
    if (piece === '(') depth += 1
    else if (piece === ')') depth -= 1
    else if (piece === ' AND ' && depth === 0) {
      parts.push(text.slice(from, index))
      from = index + piece.length
    }
  }
  return [...parts, text.slice(from)]
}

/** Tokens: strings and quoted names as units, so that their contents are ignored; parentheses; AND. */
const tokens = /'(?:[^']|'')*'|"(?:[^"]|"")*"|[()]| AND /g
