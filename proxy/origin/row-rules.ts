// Whether a route reads no other rows than it says.
import type { PoolClient } from 'pg'
import { suggest } from '../suggest.ts'
import type { Query, RowRule } from './origin.ts'
import type { PlanNode } from './plan.ts'

/**
 * Checks what a route says of rows: that the table has the column, that its text is the parameter's, and, as far as the plan
 * shows, that the statement reads no other rows of it. That last is only warned of: what is true for every row need not be in the plan.
 *
 * A row is told by the text of its value, an entry by that of its parameter. So only types are taken of which equal values are
 * equal texts: not char(n), numeric, uuid, timestamps, nor a collation that takes different texts for equal.
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
        `rows says that of ${table} only rows matter whose ${rule.column} is :${rule.parameter}, but the plan reads it otherwise; changes of other rows would be missed.`,
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
  if (found === undefined) return [`rows names ${column}, which ${table} does not have.`]
  const { type, isExact } = found
  if (isExact && types[holds].includes(type)) return []
  return [
    `rows cannot tell rows of ${table} by ${column}: it is ${type}${isExact ? '' : ' that takes different texts for equal'}, the parameter holds ${holds}.`,
  ]
}

/** Resolves to whether a node reads `table`, or a partition or child of it. */
async function partsOf(client: PoolClient, table: string): Promise<(node: PlanNode) => boolean> {
  const { rows } = await client.query<{ schema: string; name: string }>(
    `with recursive part (oid) as (
       select to_regclass($1)::oid union select inhrelid from pg_inherits join part on inhparent = oid)
     select nspname as schema, relname as name from part join pg_class using (oid) join pg_namespace n on n.oid = relnamespace`,
    [table],
  )
  return (node) => rows.some(({ schema, name }) => schema === node.Schema && name === node['Relation Name'])
}

/** Whether every row this node reads has the value of parameter `number` in the rule's column, or one of its items. */
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

/** The parts of a condition that must all hold, without the parentheses around each. */
export function conjuncts(condition: string): string[] {
  const inner = unwrapped(condition)
  const parts = splitAnd(inner)
  return parts.length === 1 ? [inner] : parts.flatMap(conjuncts)
}

/** Without the parentheses around all of it. */
function unwrapped(text: string): string {
  if (!text.startsWith('(')) return text
  return closing(text) === text.length - 1 ? unwrapped(text.slice(1, -1)) : text
}

/** Where the parenthesis closes that `text` begins with. */
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

/** Strings and quoted names as wholes, so that nothing in them counts; parentheses; AND. */
const tokens = /'(?:[^']|'')*'|"(?:[^"]|"")*"|[()]| AND /g
