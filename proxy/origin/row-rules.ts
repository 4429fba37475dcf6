// Whether a route reads no other rows than it says.
import type { PoolClient } from 'pg'
import { suggest } from '../suggest.ts'
import type { Query, RowRule } from './origin.ts'

/** A plan's node, as EXPLAIN (VERBOSE, FORMAT JSON) has it. */
export interface PlanNode {
  'Relation Name'?: string
  Schema?: string
  Alias?: string
  'Index Cond'?: string
  'Recheck Cond'?: string
  Filter?: string
  Plans?: PlanNode[]
}

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
  explained: unknown,
): Promise<{ faults: string[]; warnings: string[] }> {
  const [faults, warnings]: [string[], string[]] = [[], []]
  for (const [table, rule] of Object.entries(query.rows)) {
    if (!tables.includes(table)) {
      faults.push(`rows names ${table}, which its statement does not read${suggest(table, [...tables])}`)
      continue
    }
    const { rows: columns } = await client.query<{ type: string; isExact: boolean }>(
      `select format_type(atttypid, null) as type, coalesce(collisdeterministic, true) as "isExact"
         from pg_attribute left join pg_collation c on c.oid = attcollation
         where attrelid = to_regclass($1) and attname = $2 and attnum > 0 and not attisdropped`,
      [table, rule.column],
    )
    const [column] = columns
    if (column === undefined) faults.push(`rows names ${rule.column}, which ${table} does not have.`)
    else if (!column.isExact || !types[rule.holds].includes(column.type))
      faults.push(
        `rows cannot tell rows of ${table} by ${rule.column}: it is ${column.type}${column.isExact ? '' : ' that takes different texts for equal'}, the parameter holds ${rule.holds}.`,
      )
    const { rows: parts } = await client.query<{ schema: string; name: string }>(
      `with recursive part (oid) as (
         select to_regclass($1)::oid union select inhrelid from pg_inherits join part on inhparent = oid)
       select nspname as schema, relname as name from part join pg_class using (oid) join pg_namespace n on n.oid = relnamespace`,
      [table],
    )
    const isPart = (node: PlanNode) =>
      parts.some(({ schema, name }) => schema === node.Schema && name === node['Relation Name'])
    const number = query.statement.names.indexOf(rule.parameter) + 1
    const unbound = nodesOf(planOf(explained)).filter((node) => isPart(node) && !isBound(node, rule, number))
    if (unbound.length > 0)
      warnings.push(
        `rows says that of ${table} only rows matter whose ${rule.column} is :${rule.parameter}, but the plan reads it otherwise; changes of other rows would be missed.`,
      )
  }
  return { faults, warnings }
}

const types = { texts: ['text', 'character varying'], integers: ['smallint', 'integer', 'bigint'] }

function planOf(explained: unknown): PlanNode {
  return (explained as [{ Plan: PlanNode }] | undefined)?.[0]?.Plan ?? {}
}

function nodesOf(node: PlanNode): PlanNode[] {
  return [node, ...(node.Plans ?? []).flatMap(nodesOf)]
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
