// The SQL that makes a route's SELECT return JSON, and the limits of its answer: pure.
import { Problem } from '../errors.ts'
import type { OriginAnswer, Query } from './origin.ts'

/** The maximum number of rows, and of bytes of JSON, in one answer. */
export interface AnswerLimits {
  maxRows: number
  maxBytes: number
}

/**
 * The one row that a statement returns. `text` is NULL if the JSON is too large. `rows` is at most one above the limit.
 * `bytes` is the size of the JSON.
 */
export type AnswerRow = [text: string | null, rows: number, bytes: number | null]

/** A route's SELECT, wrapped so that it returns one row: the JSON as text, and the number of rows in it. */
export function jsonSql(
  { statement, returns }: Query,
  placeholder: (name: string, index: number) => string = (_name, i) => `$${i + 1}`,
  limit = '',
): string {
  const json =
    returns === 'rows'
      ? `'[' || string_agg(row_to_json(onramp_row)::text, ',') || ']'`
      : `min(row_to_json(onramp_row)::text)`
  return `select ${json}, count(*)::int from (select * from (\n${statement.render(placeholder)}\n) onramp_statement ${limit}) onramp_row`
}

/**
 * A route's statement as it is sent; it returns an {@link AnswerRow}. The server stops at one row above the limit and
 * does not return a JSON text that is too large. So an oversized answer neither crosses the network nor takes memory
 * here.
 */
export function limitedSql(query: Query, { maxRows, maxBytes }: AnswerLimits): string {
  return `select case when octet_length(json) <= ${maxBytes} then json end, rows, octet_length(json)
from (${jsonSql(query, undefined, `limit ${maxRows + 1}`)}) onramp_answer (json, rows)`
}

/** The answer of `query`. Throws `origin-failed` if it exceeds the limits. */
export function answerOf(
  { returns }: Query,
  [text, rows, bytes]: AnswerRow,
  { maxRows, maxBytes }: AnswerLimits,
): OriginAnswer {
  if (rows > maxRows)
    throw new Problem('origin-failed', `The answer has more than ${maxRows} rows, the limit. Narrow the request.`)
  if (bytes !== null && bytes > maxBytes)
    throw new Problem('origin-failed', `The answer has ${bytes} bytes; the limit is ${maxBytes}. Narrow the request.`)
  if (returns === 'row' && rows > 1)
    throw new Problem('origin-failed', 'This route returns one row, but its statement found several.')
  return { json: text ?? (returns === 'rows' ? '[]' : ''), rows }
}
