import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { newFolder } from '../bench/servers/run-folder.ts'
import { readConfig } from '../proxy/config/load.ts'
import { prepare } from '../proxy/http/routes/prepare.ts'
import { RouteReads } from '../proxy/http/routes/reads.ts'
import { compileRoute, type Route } from '../proxy/http/routes/route.ts'
import { Routing } from '../proxy/http/routes/routing.ts'
import { routeTable } from '../proxy/http/routes/table.ts'
import type { Inspection, Origin } from '../proxy/origin/origin.ts'
import { recorder } from './support.ts'

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

test('a read made before a view was redefined has the tags of the tables at the time its statement is sent', () => {
  const { read, lookAgain } = setup()
  expect(read.tags()).toEqual(['route:county', 'table:before'])
  lookAgain({ tables: ['after'], functions: ['f()'] })
  expect(read.tags()).toEqual(['route:county', 'table:after', 'function:f()'])
})

test('a read of a route that was closed meanwhile is refused, both before its statement and after it', async () => {
  const { read, lookAgain } = setup()
  const underWay = read.load(() => {})
  lookAgain({ closed: 'It is private.' })
  await expect(underWay).rejects.toThrow('It is private.')
  await expect(read.load(() => {})).rejects.toThrow('It is private.')
})

test('a read listed in warm before a view was redefined has the tags of the current tables', async () => {
  const file = join(newFolder('reads'), 'onramp.yaml')
  writeFileSync(
    file,
    'postgres: { url: "postgres://u@h/d" }\nroutes: { view: { path: /view, sql: "select text from seen" } }\nwarm: [view]\n',
  )
  const config = readConfig(file, {})
  let tables = ['before']
  const inspect = async (): Promise<Inspection> => ({
    faults: [],
    warnings: [],
    routes: new Map([['view', { parameterTypes: {}, tables, functions: [] }]]),
    exposing: new Set(),
    isOfMoment: false,
  })
  const origin = {
    query: async () => ({ json: '[]', rows: 0 }),
    admit: () => {},
    inspect,
    warm: async () => {},
    connections: { total: 0, idle: 0, waiting: 0 },
    close: async () => {},
  }
  const routing = new Routing({
    config,
    prepared: await prepare(config, origin),
    origin,
    logFollower: { publish: async () => ({ pos: 1, id: 'one' }) },
    observe: recorder().observe,
  })
  const [read] = routing.listedReads
  expect(read?.tags()).toEqual(['route:view', 'table:before'])
  tables = ['after']
  await routing.inspectAgain()
  expect([read, ...routing.listedReads].map((one) => one?.tags())).toEqual(Array(2).fill(['route:view', 'table:after']))
})
