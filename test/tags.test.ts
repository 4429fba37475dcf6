import { expect, test } from 'vitest'
import {
  everything,
  expandTags,
  functionTag,
  objectTags,
  parseTag,
  routeTag,
  rowsTag,
  rowTag,
  type Tag,
  tableTag,
  tagInWords,
  tagSql,
} from '../proxy/tags.ts'
import { folders, sourcesIn } from './structure/source.ts'

const spellings: [string, string, Tag][] = [
  [tableTag('plans'), 'table:plans', { kind: 'table', table: 'plans' }],
  [tableTag('"odd:one".t'), 'table:"odd:one".t', { kind: 'table', table: '"odd:one".t' }],
  [rowsTag('app.plans'), 'rows:app.plans', { kind: 'rows', table: 'app.plans' }],
  [routeTag('plan-search'), 'route:plan-search', { kind: 'route', route: 'plan-search' }],
  [functionTag('f(integer)'), 'function:f(integer)', { kind: 'function', name: 'f(integer)' }],
  [everything, '*', { kind: 'everything' }],
  [
    rowTag('plans', 'plan_id', 'A1'),
    'row:plans.plan_id=A1',
    { kind: 'row', table: 'plans', column: 'plan_id', value: 'A1' },
  ],
  [
    rowTag('app.plans', 'year', 2014),
    'row:app.plans.year=2014',
    { kind: 'row', table: 'app.plans', column: 'year', value: '2014' },
  ],
  [
    rowTag('"a.b"."c""d"', 'id', 'x=y\nz'),
    'row:"a.b"."c""d".id=x=y\nz',
    { kind: 'row', table: '"a.b"."c""d"', column: 'id', value: 'x=y\nz' },
  ],
]

test.each(spellings)('the tag %j is spelled and parsed', (tag, text, parsed) => {
  expect(tag).toBe(text)
  expect(parseTag(tag)).toEqual(parsed)
})

test.each(['county:51059', 'row:', 'row:plans', 'row:plans=1', 'tables:plans', 'table', '', ':', '**'])(
  "%j is parsed as a custom tag, from a route's template",
  (tag) => expect(parseTag(tag)).toEqual({ kind: 'custom', tag }),
)

test('the tag * is shown as the word everything, every other tag as it is', () => {
  expect([everything, 'table:plans', 'county:51059'].map(tagInWords)).toEqual([
    'everything',
    'table:plans',
    'county:51059',
  ])
})

const plans = { table: 'plans', columns: ['plan_id'] }
const states = { table: 'states', columns: [] }

test('the tag of a table covers its rows too, if the table is followed row by row', () => {
  const followed = new Map([plans, states].map((table) => [table.table, table]))
  expect(expandTags(['table:plans', 'table:states', 'table:other', 'route:a'], followed)).toEqual([
    'table:plans',
    'rows:plans',
    'table:states',
    'table:other',
    'route:a',
  ])
  expect(objectTags({ tables: [plans, states], functions: ['f()'] })).toEqual([
    'table:plans',
    'rows:plans',
    'table:states',
    'function:f()',
  ])
})

test('SQL spells tags in the same way', () => {
  const evaluated = (sql: string) => sql.replace(/'([^']*)'/g, '$1').replaceAll(' || ', '')
  expect(evaluated(tagSql.table("'plans'"))).toBe(tableTag('plans'))
  expect(evaluated(tagSql.rows("'plans'"))).toBe(rowsTag('plans'))
  expect(evaluated(`${tagSql.rowBeforeValue("'plans'", "'plan_id'")} || 'A1'`)).toBe(rowTag('plans', 'plan_id', 'A1'))
})

test('no other file spells tags', () => {
  const spelling = /['"`](table|rows?|route|function):/
  const elsewhere = folders
    .filter((folder) => folder !== 'test')
    .flatMap(sourcesIn)
    .filter(({ path, text }) => path !== 'proxy/tags.ts' && spelling.test(text))
  expect(elsewhere.map(({ path }) => path)).toEqual([])
})
