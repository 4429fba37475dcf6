import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Parameter, parameterTypes } from '../proxy/config/parameter-types.ts'
import type { RouteConfig } from '../proxy/config/schema.ts'
import { describeRoute } from '../proxy/http/routes/description.ts'
import { readQuery } from '../proxy/http/routes/input.ts'
import { compileRoute, type Route } from '../proxy/http/routes/route.ts'
import { changedRoutes } from '../proxy/http/routes/routing.ts'
import { routeTable } from '../proxy/http/routes/table.ts'

// Not fast-check's own unit of this: that takes a second to make.
const character = fc
  .oneof(fc.integer({ min: 0, max: 0x7f }), fc.integer({ min: 0, max: 0x10ffff }))
  .map((point) => String.fromCodePoint(point).toWellFormed())

type Declared = Record<string, Parameter>
const whole = { type: 'integer', min: 0, max: 120 } as const
const text = { type: 'string', minLength: 1, maxLength: 100, lowercase: false } as const
const fips = { ...text, pattern: '[0-9]{5}' } as const
const ages = { type: 'list', items: whole, minItems: 1, maxItems: 12, sorted: true, unique: false } as const
const ids = { type: 'list', items: text, minItems: 1, maxItems: 10, sorted: true, unique: true } as const

const search: RouteConfig = {
  share: { reserve: 0, queue: 100 },
  audit: 0,
  rows: {},
  name: 'plan-search',
  path: '/api/plans/search',
  methods: ['GET', 'POST'],
  parameters: {
    county: fips,
    ages,
    ids: { ...ids, default: null },
    metal: { type: 'enum', values: ['Silver', 'Gold'], default: null },
    limit: { type: 'integer', min: 1, max: 200, default: 10 },
  },
  sql: 'select :county, :ages, :ids, :metal, :limit',
  returns: 'rows',
  lifetime: { fresh: 60_000, stale: 600_000, staleIfError: 86_400_000, negative: 10_000 },
  cacheControl: 'max-age=0',
  tags: ['county:{county}', 'plan:{ids}'],
}
const route = compileRoute(search)

const ask = (query: string, of = route) => of.read(readQuery(query))
function params(query: string, of = route) {
  const read = ask(query, of)
  if ('faults' in read) throw new Error(JSON.stringify(read.faults))
  return read.params
}
const keyOf = (query: string, of = route) => of.key(params(query, of))
/** A route of its own, with the parameters under test. */
const routeWith = (parameters: Declared, tags: string[] = [], name = 'own') =>
  compileRoute({ ...search, name, parameters, tags })

describe('parameters', () => {
  test('that are not given have their default; all are in the order of declaration', () => {
    const values = params('limit=10&ages=34,5&county=51059')
    expect(values).toEqual({ county: '51059', ages: [5, 34], ids: null, metal: null, limit: 10 })
    expect(Object.keys(values)).toEqual(['county', 'ages', 'ids', 'metal', 'limit'])
  })

  test('that do not fit are all reported, each by its name', () => {
    const read = ask('ages=5,x&limit=201&metal=Brass&ids=%ff')
    const names = 'faults' in read ? read.faults.map(({ parameter }) => parameter) : []
    expect(names).toEqual(['county', 'ages', 'ids', 'metal', 'limit'])
    expect(read).toMatchObject({ faults: [{ parameter: 'county', detail: 'is required' }, {}, {}, {}, {}] })
  })

  test.each(['county=51059&county=51059', 'county=51059&%63ounty=51001', 'county&county=51059'])(
    'a repeated one is rejected by name: %s',
    (query) => {
      expect(ask(`${query}&ages=5`)).toEqual({ faults: [{ parameter: 'county', detail: 'must be given only once' }] })
    },
  )

  test('that are undeclared and repeated are ignored', () => {
    expect(params('x=1&x=2&county=51059&ages=5')).toEqual(params('county=51059&ages=5'))
  })

  test('with an undecodable value are rejected if declared, ignored if not', () => {
    expect(ask('county=%ff&ages=5')).toMatchObject({ faults: [{ parameter: 'county' }] })
    expect(keyOf('x=%ff&%zz=1&%&county=51059&ages=5')).toBe(keyOf('county=51059&ages=5'))
  })

  test('with an empty value are given, not missing', () => {
    expect(ask('county=51059&ages=5&limit=')).toMatchObject({ faults: [{ parameter: 'limit' }] })
    expect(ask('county=&ages=5')).toMatchObject({ faults: [{ parameter: 'county' }] })
  })

  test('named in another case are other parameters', () => {
    expect(keyOf('LIMIT=99&county=51059&ages=5')).toBe(keyOf('county=51059&ages=5'))
  })

  test('with brackets, as some frameworks spell lists, are other parameters', () => {
    expect(ask('county=51059&ages[]=5')).toEqual({ faults: [{ parameter: 'ages', detail: 'is required' }] })
  })

  test('with the value of their default give the same key', () => {
    expect(keyOf('county=51059&ages=5&limit=10')).toBe(keyOf('county=51059&ages=5'))
  })

  test('in any order give the same key', () => {
    expect(keyOf('limit=7&ages=5&county=51059')).toBe(keyOf('county=51059&ages=5&limit=7'))
  })

  test('in any spelling of the same characters give the same key', () => {
    expect(keyOf('%63ounty=%35%31059&ages=34%2C5')).toBe(keyOf('county=51059&ages=34,5'))
  })

  test('that are lists of ages or ids give the same key in another order', () => {
    expect(keyOf('county=51059&ages=34,32,5&ids=B,A')).toBe(keyOf('county=51059&ages=5,34,32&ids=A,B,A'))
  })

  test('with a repeated age differ from those with one', () => {
    expect(keyOf('county=51059&ages=5,5')).not.toBe(keyOf('county=51059&ages=5'))
  })

  test('of every name reach the values and the key, even names that every object has', () => {
    const odd = routeWith(
      Object.fromEntries([
        ['constructor', text],
        ['__proto__', text],
      ]),
    )
    expect(Object.keys(params('constructor=a&__proto__=b', odd))).toEqual(['constructor', '__proto__'])
    expect(keyOf('constructor=a&__proto__=b', odd)).not.toBe(keyOf('constructor=a&__proto__=c', odd))
  })
})

test('property: no undeclared parameter, wherever and however it is written, changes the values or the key', () => {
  const declared = ['county=51059', 'ages=34,5', 'limit=20']
  const values = params(declared.join('&'))
  const name = fc.oneof(
    fc.string({ unit: character }).map((given) => encodeURIComponent(given.toWellFormed())),
    fc.constantFrom(
      '__proto__',
      'constructor',
      'COUNTY',
      'county%00',
      'county%20',
      '+county',
      'ages[]',
      '%ff',
      '%',
      '',
      '_',
      'sql',
      'route',
      'key',
    ),
  )
  const value = fc.oneof(
    fc.string({ unit: fc.constantFrom('a', '%', '%ff', '=', ',', ';', '+', '?', '/', '#', '\u00e9') }),
    fc.constant(undefined),
  )
  const undeclared = fc
    .tuple(name, value)
    .map(([left, right]) => (right === undefined ? left : `${left}=${right}`))
    .filter((pair) => !['county', 'ages', 'ids', 'metal', 'limit'].includes(readQuery(pair).keys().next().value ?? ''))
  const query = fc.array(fc.tuple(undeclared, fc.nat(declared.length)), { maxLength: 6 }).map((extras) => {
    const pairs = [...declared]
    for (const [extra, at] of extras) pairs.splice(at, 0, extra)
    return pairs.join('&')
  })
  fc.assert(
    fc.property(query, (given) => {
      expect(params(given)).toEqual(values)
      expect(Object.keys(params(given))).toEqual(Object.keys(values))
      expect(keyOf(given)).toBe(route.key(values))
      expect(route.tags(params(given))).toEqual(route.tags(values))
    }),
  )
})

describe('tags', () => {
  const tagsOf = (parameters: Declared, templates: string[], values: Parameters<typeof route.tags>[0]) =>
    routeWith(parameters, templates).tags(values)

  test('are the route, and its templates filled in', () => {
    expect(route.tags(params('county=51059&ages=5&ids=A'))).toEqual(['route:plan-search', 'county:51059', 'plan:A'])
  })

  test('of a list are one for each item', () => {
    expect(route.tags(params('county=51059&ages=5&ids=B,A'))).toEqual([
      'route:plan-search',
      'county:51059',
      'plan:A',
      'plan:B',
    ])
  })

  test('of a parameter that is not given are omitted', () => {
    expect(route.tags(params('county=51059&ages=5'))).toEqual(['route:plan-search', 'county:51059'])
  })

  test('of two parameters are every pair', () => {
    expect(tagsOf({ a: ids, b: ages }, ['{a}/{b}'], { a: ['x', 'y'], b: [1, 2] }).slice(1)).toEqual([
      'x/1',
      'x/2',
      'y/1',
      'y/2',
    ])
  })

  test('contain 0 and the empty string as values', () => {
    expect(tagsOf({ a: whole, b: text }, ['a:{a}', 'b:{b}'], { a: 0, b: '' }).slice(1)).toEqual(['a:0', 'b:'])
  })

  test('without a parameter are the same for every entry', () => {
    expect(tagsOf({}, ['prices'], {})).toEqual(['route:own', 'prices'])
  })

  test('name the tables that the database reported', () => {
    expect({ ...route, tables: ['plans', 'rates'] }.tags(params('county=51059&ages=5'))).toEqual([
      'route:plan-search',
      'table:plans',
      'table:rates',
      'county:51059',
    ])
  })

  test.each(['$&', '$$', '$1', '$`', "$'", '$<a>', '\\1'])('hold the value %s as it is', (value) => {
    expect(tagsOf({ a: text }, ['a:{a}:z'], { a: value })).toEqual(['route:own', `a:${value}:z`])
  })

  test('contain a value that looks like a placeholder unchanged', () => {
    expect(tagsOf({ a: text, b: text }, ['{a}:{b}'], { a: '{b}', b: 'x' })).toEqual(['route:own', '{b}:x'])
  })
})

describe('the version of a route', () => {
  const versionOf = (changed: Partial<RouteConfig>) => compileRoute({ ...search, ...changed }).query.version

  const changes: [string, Partial<RouteConfig>][] = [
    ['its SQL', { sql: `${search.sql} order by 1` }],
    ['a parameter of its SQL', { sql: 'select :county, :ages, :ids, :metal, :limit, :limit' }],
    ['what it returns', { returns: 'row' }],
    ['its tags', { tags: ['county:{county}'] }],
    ['the order of its tags', { tags: search.tags.toReversed() }],
    ['a bound', { parameters: { ...search.parameters, limit: { type: 'integer', min: 1, max: 100, default: 10 } } }],
    ['a default', { parameters: { ...search.parameters, limit: { type: 'integer', min: 1, max: 200, default: 11 } } }],
    ['a pattern', { parameters: { ...search.parameters, county: { ...fips, pattern: '[0-9]{4,5}' } } }],
    ['a type', { parameters: { ...search.parameters, county: { ...whole, max: 99_999 } } }],
    ['whether order matters', { parameters: { ...search.parameters, ages: { ...ages, sorted: false } } }],
  ]
  test.each(changes)('changes with %s', (_what, changed) => {
    expect(versionOf(changed)).not.toBe(versionOf({}))
  })

  const stays: [string, Partial<RouteConfig>][] = [
    ['its lifetimes', { lifetime: { fresh: 1, stale: 2, staleIfError: 3, negative: 4 } }],
    ['what clients may keep', { cacheControl: 'no-cache' }],
    ['its methods', { methods: ['GET'] }],
    ['its path', { path: '/api/v2/plans/search' }],
    ['a trailing semicolon', { sql: `${search.sql};\n` }],
  ]
  test.each(stays)('does not change with %s', (_what, changed) => {
    expect(versionOf(changed)).toBe(versionOf({}))
  })

  test('is in every key', () => {
    expect(keyOf('county=51059&ages=5')).toContain(route.query.version)
    const other = compileRoute({ ...search, sql: `${search.sql}, 1` })
    expect(keyOf('county=51059&ages=5', other)).not.toBe(keyOf('county=51059&ages=5'))
  })

  test('distinguishes a parameter from a string that looks like one', () => {
    expect(versionOf({ sql: "select ':county', :county" })).not.toBe(versionOf({ sql: "select :county, ':county'" }))
  })
})

test('GET includes HEAD; POST is allowed if configured', () => {
  expect(route.methods.toSorted()).toEqual(['GET', 'HEAD', 'POST'])
  expect(compileRoute({ ...search, methods: ['GET'] }).methods).toEqual(['GET', 'HEAD'])
  expect(compileRoute({ ...search, methods: ['POST'] }).methods).toEqual(['POST'])
})

describe('a path', () => {
  const paths = {
    states: '/api/states',
    issuers: '/api/states/:state/issuers',
    'by-zip': '/api/counties/by/zip/:zip',
    county: '/api/counties/:fips',
    benchmark: '/api/counties/:fips/benchmark',
    search: '/api/plans/search',
    plan: '/api/plans/:plan_id',
    rates: '/api/plans/:id/rates/:age',
  }
  const named = Object.entries(paths).map(([name, path]) => {
    const parameters = Object.fromEntries([...path.matchAll(/:(\w+)/g)].map(([, parameter]) => [parameter, text]))
    return compileRoute({ ...search, name, path, parameters, tags: [] })
  })
  const table = routeTable(named)
  const find = (path: string) => {
    const found = table.find(path)
    return found && [found.route.name, Object.fromEntries(found.given)]
  }

  test('finds its route, with the values of its parameters', () => {
    expect(find('/api/states')).toEqual(['states', {}])
    expect(find('/api/counties/51059')).toEqual(['county', { fips: ['51059'] }])
    expect(find('/api/plans/A1/rates/40')).toEqual(['rates', { id: ['A1'], age: ['40'] }])
  })

  test('of literal segments is preferred to one with parameters', () => {
    expect(find('/api/plans/search')).toEqual(['search', {}])
    expect(find('/api/counties/by/zip/22003')).toEqual(['by-zip', { zip: ['22003'] }])
  })

  test('that begins like a literal one may still match one with parameters', () => {
    expect(find('/api/counties/by')).toEqual(['county', { fips: ['by'] }])
    expect(find('/api/counties/by/benchmark')).toEqual(['benchmark', { fips: ['by'] }])
    expect(find('/api/plans/search/rates/40')).toEqual(['rates', { id: ['search'], age: ['40'] }])
  })

  test('that leaves a literal branch late has the values of its final branch', () => {
    const both = ['/a/b/:x/c', '/a/:y/:z/d'].map((path) => {
      const parameters = Object.fromEntries([...path.matchAll(/:(\w)/g)].map(([, parameter]) => [parameter, text]))
      return compileRoute({ ...search, name: path, path, parameters, tags: [] })
    })
    expect(Object.fromEntries(routeTable(both).find('/a/b/1/d')?.given ?? [])).toEqual({ y: ['b'], z: ['1'] })
  })

  test('is decoded once, in place of a parameter', () => {
    expect(find('/api/counties/a+b%20c%2541')).toEqual(['county', { fips: ['a+b c%41'] }])
  })

  test.each([
    '',
    '/',
    '*',
    '/api',
    '/api/',
    '/api/states/',
    '//api/states',
    '/api//states',
    '/api/states//issuers',
    '/./api/states',
    '/api/./states',
    '/api/../api/states',
    '/api/x/../states',
    '/API/states',
    '/api/%73tates',
    '/%61pi/states',
    '/api%2fstates',
    '/api/states%2f',
    '/api/states;x',
    '/api/states;x=1',
    '/api/states.css',
    '/api/states/.css',
    '/api/states/x.css',
    '/api/states%00',
    '/api/states%20',
    '/api/states\\',
    '/api\\states',
    '/api/states#x',
    '/api/counties/',
    '/api/counties//',
    '/api/counties/51059/',
    '/api/counties/51059/.css',
    '/api/counties/51059/benchmark/',
    '/api/counties/51059/benchmark/x.css',
    '/api/counties/51059%2fbenchmark',
    '/api/counties/a%2Fb',
    '/api/counties/.',
    '/api/counties/..',
    '/api/counties/%2e',
    '/api/counties/%2E%2e',
    '/api/counties/../benchmark',
    '/api/counties/%35%31059',
    '/api/counties/51059;x',
    '/api/counties/51059%7E',
    '/api/counties/51059%5c',
    '/api/counties/a%5Cb',
    '/api/counties/%2D',
    '/api/counties/%5f',
    '/api/plans/search/',
    '/api/plans/x/../search',
    'api/states',
  ])('spelled %j is no route', (path) => {
    expect(find(path)).toBeUndefined()
  })

  // Node's HTTP parser accepts a target that begins with an asterisk.
  test.each(['*/api/states', 'x/api/states', 'http:/api/states', 'http://host/api/states'])(
    'without a leading slash matches no route: %s',
    (path) => {
      expect(find(path)).toBeUndefined()
    },
  )

  test('that spells a literal segment another way never becomes that literal', () => {
    expect(find('/api/plans/%73earch')).toBeUndefined()
    expect(find('/api/plans/search;x')).toBeUndefined()
    expect(find('/%61pi/plans/search')).toBeUndefined()
  })

  test('with an undecodable parameter finds the route, which rejects it by name', () => {
    const found = table.find('/api/counties/%ff')
    expect(found?.route.name).toBe('county')
    expect(found?.route.read(found.given)).toEqual({
      faults: [{ parameter: 'fips', detail: 'is not valid percent-encoded UTF-8' }],
    })
  })

  test('with a suffix that some servers ignore never reads an entry of the plain path', () => {
    const county = compileRoute({
      ...search,
      name: 'county',
      path: '/api/counties/:fips',
      parameters: { fips },
      tags: [],
    })
    const plain = routeTable([county])
    for (const suffix of [';x', ';jsessionid=1', '%7e'])
      expect(plain.find(`/api/counties/51059${suffix}`)).toBeUndefined()
    for (const suffix of ['.css', '%00', '%20', '%0a', ':', '~', '%3b', '%23']) {
      const found = plain.find(`/api/counties/51059${suffix}`)
      expect(found?.route.read(found.given)).toMatchObject({ faults: [{ parameter: 'fips' }] })
    }
  })

  test('does not match names that every object has', () => {
    for (const name of ['constructor', '__proto__', 'toString']) expect(find(`/${name}`)).toBeUndefined()
    expect(find('/api/counties/__proto__')).toEqual(['county', { fips: ['__proto__'] }])
  })

  test('of very many segments matches no route', () => {
    expect(find('/api/counties'.repeat(5000))).toBeUndefined()
    expect(find('/'.repeat(16_000))).toBeUndefined()
  })

  test("property: a matched path is its route's path with its own values in it", () => {
    const segment = fc.oneof(
      fc.constantFrom(
        'api',
        'states',
        'counties',
        'by',
        'zip',
        'plans',
        'search',
        'benchmark',
        'rates',
        '',
        '.',
        '..',
        '%2f',
        'x',
      ),
      fc.string({ unit: character }).map((s) => encodeURIComponent(s.toWellFormed())),
    )
    fc.assert(
      fc.property(fc.array(segment, { maxLength: 6 }), (segments) => {
        const path = `/${segments.join('/')}`
        const found = table.find(path)
        if (found === undefined) return
        const decoded = path.split('/').map((part) => decodeURIComponent(part))
        const expected = found.route.path
          .split('/')
          .map((part) => (part.startsWith(':') ? found.given.get(part.slice(1))?.[0] : part))
        expect(decoded).toEqual(expected)
        expect(decoded.slice(1)).not.toContain('')
      }),
      { numRuns: 300 },
    )
  })

  test('finds its route by name too', () => {
    expect(table.byName.get('county')?.path).toBe('/api/counties/:fips')
    expect(table.routes.map(({ name }) => name)).toEqual(Object.keys(paths))
  })
})

test('a route description has the tags for purges: tables, and the constant beginnings of its templates', () => {
  const route = compileRoute({ ...search, tags: ['county:{county}', 'plan:{ids}', 'season'] })
  const described = describeRoute({ ...route, tables: ['plans', 'public."Rates"'] })
  expect(described.purgeTags).toEqual(['table:plans', 'table:public."Rates"', 'county:', 'plan:', 'season'])
})

describe('a route description', () => {
  test('has all facts of its configuration and of the database, and nothing else', () => {
    const tables = ['plans']
    expect(JSON.parse(JSON.stringify(describeRoute({ ...route, tables })))).toEqual({
      name: 'plan-search',
      path: '/api/plans/search',
      methods: ['GET', 'HEAD', 'POST'],
      parameters: JSON.parse(JSON.stringify(search.parameters)),
      returns: 'rows',
      lifetime: { fresh: 60_000, stale: 600_000, staleIfError: 86_400_000, negative: 10_000 },
      cacheControl: 'max-age=0',
      share: { reserve: 0, queue: 100 },
      audit: 0,
      tags: ['county:{county}', 'plan:{ids}'],
      purgeTags: ['table:plans', 'county:', 'plan:'],
      tables,
      functions: [],
      rows: {},
      version: route.query.version,
      sql: 'select :county, :ages, :ids, :metal, :limit',
    })
  })

  test('has its rows as rules, and its SQL without the final semicolon', () => {
    const told = compileRoute({ ...search, rows: { plans: { plan_id: 'ids' } }, sql: `${search.sql};\n` })
    expect(describeRoute(told)).toMatchObject({
      rows: { plans: { column: 'plan_id', parameter: 'ids', holds: 'texts' } },
      sql: search.sql,
    })
  })

  test('has rules with the type of their parameter, or of its items', () => {
    const parameters = { ...search.parameters, metals: { ...ids, items: search.parameters.metal } } as Declared
    const rows = { a: { x: 'county' }, b: { x: 'ages' }, c: { x: 'limit' }, d: { x: 'metals' } }
    const told = compileRoute({ ...search, parameters, rows })
    expect(Object.values(told.query.rows).map(({ holds }) => holds)).toEqual(['texts', 'integers', 'integers', 'texts'])
    expect(Object.entries(parameterTypes).map(([type, { holds }]) => [type, holds])).toContainEqual([
      'integer',
      'integers',
    ])
  })

  test('includes an option that is added to the schema, and differs when that changes', () => {
    const withOption = (priority: number) => {
      const config = { ...search, priority }
      return compileRoute(config)
    }
    expect(describeRoute(withOption(1))).toHaveProperty('priority', 1)
    const tableOf = (priority: number) => routeTable([withOption(priority)])
    expect(changedRoutes(tableOf(1), tableOf(2))).toEqual(['plan-search'])
    expect(changedRoutes(tableOf(1), tableOf(1))).toEqual([])
  })
})

describe('routes that changed', () => {
  const changed = (options: Partial<RouteConfig>, seen: Partial<Route> = {}) =>
    changedRoutes(routeTable([route]), routeTable([{ ...compileRoute({ ...search, ...options }), ...seen }]))

  test.each<[string, Partial<RouteConfig>, Partial<Route>?]>([
    ['path', { path: '/api/plans' }],
    ['methods', { methods: ['GET'] }],
    ['SQL', { sql: `${search.sql}, 1` }],
    ['lifetime', { lifetime: { ...search.lifetime, noCache: 1 } }],
    ['Cache-Control', { cacheControl: 'no-cache' }],
    ['share', { share: { reserve: 1, queue: 100 } }],
    ['audit', { audit: 0.1 }],
    ['tags', { tags: [] }],
    ['rows', { rows: { plans: { plan_id: 'ids' } } }],
    ['tables', {}, { tables: ['plans'] }],
    ['functions', {}, { functions: ['f(integer)'] }],
    ['being closed', {}, { closed: 'private' }],
  ])('are recognized by their %s', (_what, options, seen) => {
    expect(changed(options, seen)).toEqual(['plan-search'])
  })

  test('do not include those whose SQL differs in its end only', () => {
    expect(changed({ sql: `${search.sql};\n` })).toEqual([])
  })

  test('include new and removed ones', () => {
    const none = routeTable([])
    expect(changedRoutes(none, routeTable([route]))).toEqual(['plan-search'])
    expect(changedRoutes(routeTable([route]), none)).toEqual(['plan-search'])
  })
})
