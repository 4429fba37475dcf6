import { describe, expect, test } from 'vitest'
import { followedObjects } from '../proxy/http/routes/prepare.ts'
import { purgedTags } from '../proxy/http/routes/purged-tags.ts'
import { compileRoute } from '../proxy/http/routes/route.ts'
import { routeTable } from '../proxy/http/routes/table.ts'
import type { PlanNode } from '../proxy/origin/plan.ts'
import { conjuncts, isBound } from '../proxy/origin/row-rules.ts'

describe('a condition is cut at the ANDs outside of parentheses, strings and names', () => {
  test.each([
    ['(a = $1)', ['a = $1']],
    ['((a = $1) AND (b = $2))', ['a = $1', 'b = $2']],
    ['((a = $1) AND ((b = $2) OR (c = $3)))', ['a = $1', '(b = $2) OR (c = $3)']],
    ['((a = $1) OR (b = $2))', ['(a = $1) OR (b = $2)']],
    [`((a = ' AND (') AND (" AND " = $1))`, [`a = ' AND ('`, '" AND " = $1']],
    ['((a = $1) AND (b = $2)) OR (c)', ['((a = $1) AND (b = $2)) OR (c)']],
    ['(((a)::text = $1) AND (b > 1))', ['(a)::text = $1', 'b > 1']],
  ])('%s', (condition, parts) => expect(conjuncts(condition)).toEqual(parts))
})

describe('a condition that binds every row to the parameter', () => {
  const node = (more: PlanNode): PlanNode => ({ 'Relation Name': 'plans', Schema: 'public', Alias: 'p', ...more })
  const texts = { column: 'id', parameter: 'id', holds: 'texts' } as const
  const whole = { ...texts, holds: 'integers' } as const
  test.each([
    ['by an index', { 'Index Cond': '((p.id = $2) AND (p.year = $1))' }],
    ['by a filter', { Filter: '(($2 = p.id) AND (p.x > 1))' }],
    ['by a bitmap', { 'Recheck Cond': '(p.id = $2)' }],
    ['of varchar', { Filter: '((p.id)::text = $2)' }],
    ['of varchar by a list', { Filter: '((p.id)::text = ANY (($2)::text[]))' }],
    ['by a list', { 'Index Cond': '(p.id = ANY ($2))' }],
    ['under a name in quotes', { Alias: 'P."x', Filter: '("P.""x".id = $2)' }],
  ])('%s', (_how, more) => expect(isBound(node(more), texts, 2)).toBe(true))
  test.each([
    ['not at all', {}],
    ['or something else', { Filter: '((p.id = $2) OR ($2 IS NULL))' }],
    ['of another parameter', { Filter: '(p.id = $1)' }],
    ['of a parameter whose number begins with it', { Filter: '(p.id = $21)' }],
    ['of another column', { Filter: '(p.ids = $2)' }],
    ['of another table', { Filter: '(q.id = $2)' }],
    ['of a function of the parameter', { Filter: '(p.id = lower($2))' }],
    ['of a function of the column', { Filter: '(lower(p.id) = $2)' }],
    ['cut to a length', { Filter: '((p.id)::text = (($2)::character varying(3))::text)' }],
    ['cast to a number', { Filter: '(p.id = ($2)::integer)' }],
    ['in another order', { Filter: '(p.id >= $2)' }],
    ['negated', { Filter: '(NOT (p.id = $2))' }],
    ['of all items', { Filter: '(p.id = ALL ($2))' }],
  ])('twin: %s, does not bind', (_how, more) => expect(isBound(node(more), texts, 2)).toBe(false))
  test('for integers of any size', () => {
    expect(isBound(node({ Filter: '(p.id = ($2)::bigint)' }), whole, 2)).toBe(true)
    expect(isBound(node({ Filter: '(p.id = ($2)::text)' }), whole, 2)).toBe(false)
  })
})

const route = {
  ...compileRoute({
    name: 'plan',
    path: '/plan',
    methods: ['GET'],
    parameters: {
      id: { type: 'integer', min: 0, max: 9, default: null },
      ids: {
        type: 'list',
        items: { type: 'string', minLength: 1, maxLength: 9, lowercase: false, default: undefined },
        minItems: 1,
        maxItems: 9,
        sorted: false,
        unique: false,
        default: undefined,
      },
    },
    sql: 'select :id, :ids',
    returns: 'rows',
    lifetime: { fresh: 1, stale: 1, staleIfError: 1, negative: 1 },
    cacheControl: 'no-cache',
    share: { reserve: 0, queue: 1 },
    tags: [],
    audit: 0,
    rows: { plans: { plan_id: 'id' }, benefits: { plan_id: 'ids' } },
  }),
  tables: ['plans', 'benefits', 'issuers'],
}

describe('an entry of a route with row rules', () => {
  test("has row tags instead of the table's, one for each item of a list", () => {
    expect(route.tags({ id: 7, ids: ['a', 'ü='] })).toEqual([
      'route:plan',
      'rows:plans',
      'row:plans.plan_id=7',
      'rows:benefits',
      'row:benefits.plan_id=a',
      'row:benefits.plan_id=ü=',
      'table:issuers',
    ])
  })
  test("has the table's tag if the parameter is not given: then any row may matter", () => {
    expect(route.tags({ id: null, ids: ['a'] })).toContain('table:plans')
    expect(route.tags({ id: null, ids: ['a'] })).not.toContain('rows:plans')
  })
  test('is invalidated by a purge of the table', () => {
    const table = routeTable([route])
    expect(followedObjects(table).tables).toEqual([
      { table: 'plans', columns: ['plan_id'] },
      { table: 'benefits', columns: ['plan_id'] },
      { table: 'issuers', columns: [] },
    ])
    expect(purgedTags(table, { tags: ['table:plans', 'table:issuers'], soft: false })).toEqual([
      'table:plans',
      'rows:plans',
      'table:issuers',
    ])
  })
  test('has another key once its row rules change: entries with the old tags would not be invalidated', () => {
    const other = compileRoute({
      ...({
        name: 'plan',
        path: '/plan',
        methods: ['GET'],
        sql: 'select :id',
        returns: 'rows',
        cacheControl: '',
      } as const),
      parameters: { id: { type: 'integer', min: 0, max: 9, default: null } },
      lifetime: { fresh: 1, stale: 1, staleIfError: 1, negative: 1 },
      share: { reserve: 0, queue: 1 },
      tags: [],
      audit: 0,
      rows: {},
    })
    const told = compileRoute({
      ...({
        name: 'plan',
        path: '/plan',
        methods: ['GET'],
        sql: 'select :id',
        returns: 'rows',
        cacheControl: '',
      } as const),
      parameters: { id: { type: 'integer', min: 0, max: 9, default: null } },
      lifetime: { fresh: 1, stale: 1, staleIfError: 1, negative: 1 },
      share: { reserve: 0, queue: 1 },
      tags: [],
      audit: 0,
      rows: { plans: { plan_id: 'id' } },
    })
    expect(told.key({ id: 1 })).not.toBe(other.key({ id: 1 }))
  })
})
