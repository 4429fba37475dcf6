// A route's SELECT, made to answer JSON, and what it may answer: pure.
import { Problem } from '../errors.ts'
import type { OriginAnswer, Query } from './origin.ts'

/** The most rows, and bytes of JSON, one answer may have. */
export interface AnswerLimits {
  maxRows: number
  maxBytes: number
}

/** What one statement answers: the JSON unless it is too large, rows up to one more than may be, bytes of the JSON. */
export type AnswerRow = [text: string | null, rows: number, bytes: number | null]

/** A route's SELECT, made to answer one row: the JSON as text, and how many rows are in it. */
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
 * A route's statement as it is sent; it answers an {@link AnswerRow}. The server stops at one row more than may be, and keeps
 * what is too large to itself: neither crosses the network, nor is it ever held here.
 */
export function limitedSql(query: Query, { maxRows, maxBytes }: AnswerLimits): string {
  return `select case when octet_length(json) <= ${maxBytes} then json end, rows, octet_length(json)
from (${jsonSql(query, undefined, `limit ${maxRows + 1}`)}) onramp_answer (json, rows)`
}

/** What `query` answered. Throws `origin-failed` where that is more than it may be. */
export function answerOf(
  { returns }: Query,
  [text, rows, bytes]: AnswerRow,
  { maxRows, maxBytes }: AnswerLimits,
): OriginAnswer {
  if (rows > maxRows) throw new Problem('origin-failed', `The answer has more than ${maxRows} rows.`)
  if (bytes !== null && bytes > maxBytes)
    throw new Problem('origin-failed', `The answer has ${bytes} bytes; ${maxBytes} are the most.`)
  if (returns === 'row' && rows > 1)
    throw new Problem('origin-failed', 'The statement of this route found more than one row.')
  return { json: text ?? (returns === 'rows' ? '[]' : ''), rows }
}
