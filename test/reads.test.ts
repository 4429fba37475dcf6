import { expect, test } from 'vitest'
import { RouteReads } from '../proxy/http/routes/reads.ts'
import { compileRoute, type Route } from '../proxy/http/routes/route.ts'
import { routeTable } from '../proxy/http/routes/table.ts'
import type { Origin } from '../proxy/origin/origin.ts'

const route = compileRoute({
  name: 'county',
  path: '/api/counties/:fips',
  methods: ['GET'],
  parameters: { fips: { type: 'string', minLength: 1, maxLength: 5, lowercase: false } },
  sql: 'select :fips',
  returns: 'rows',
  lifetime: { fresh: 1000, stale: 0, staleIfError: 0, negative: 1000 },
  cacheControl: 'max-age=0',
  share: { reserve: 0, queue: 10 },
  audit: 0,
  tags: [],
  rows: {},
})

function setup() {
  let table = routeTable([{ ...route, tables: ['before'] }])
  const query: Origin['query'] = async () => ({ json: '[]', rows: 0 })
  const reads = new RouteReads(() => table, { query, admit: () => {} })
  const found = table.byName.get('county') as Route
  return {
    read: reads.of(found, { fips: '51059' }),
    lookAgain: (seen: Partial<Route>) => {
      table = routeTable([{ ...route, ...seen }])
    },
  }
}

test('a read made before a view was redefined, as a warm-up is, has the tags of what its route reads when its statement is sent', () => {
  const { read, lookAgain } = setup()
  expect(read.tags()).toEqual(['route:county', 'table:before'])
  lookAgain({ tables: ['after'], functions: ['f()'] })
  expect(read.tags()).toEqual(['route:county', 'table:after', 'function:f()'])
})

test('a read of a route that is closed by now is refused, before its statement and after it', async () => {
  const { read, lookAgain } = setup()
  const underWay = read.load(() => {})
  lookAgain({ closed: 'It is private.' })
  await expect(underWay).rejects.toThrow('It is private.')
  await expect(read.load(() => {})).rejects.toThrow('It is private.')
})
