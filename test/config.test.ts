// biome-ignore-all lint/suspicious/noTemplateCurlyInString: that is how the file spells what it takes from the environment.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { newFolder } from '../bench/servers/run-folder.ts'
import { parametersTable, routeSettingsTable, settingsTable } from '../config/documents/settings.ts'
import { readConfig } from '../proxy/config/load.ts'
import { anyOf, parameterTypes } from '../proxy/config/parameter-types.ts'
import type { Config } from '../proxy/config/schema.ts'
import { Refusal } from '../proxy/errors.ts'
import { compileRoute } from '../proxy/http/routes/route.ts'
import { routeTable } from '../proxy/http/routes/table.ts'

const folder = newFolder('config')

type Environment = Record<string, string>
const file = join(folder, 'onramp.yaml')
writeFileSync(join(folder, 'states.sql'), 'select * from states where year = :year;\n')

/** The configuration that `yaml` says. */
function read(yaml: string, environment: Environment = {}): Config {
  writeFileSync(file, yaml)
  return readConfig(file, environment)
}

/** The faults of `yaml`, one a line; none when it is taken. */
function faults(yaml: string, environment: Environment = {}): string[] {
  try {
    read(yaml, environment)
    return []
  } catch (error) {
    if (!(error instanceof Refusal)) throw error
    return error.message.split('\n')
  }
}

const routes = `
routes:
  one:
    path: /one
    sql: select 1
`
/** The smallest file, with `section` before its routes. */
const withSection = (section: string) => `${section}\n${routes}`
/** The smallest file, with `lines` in its route; lines of several levels are indented from there. */
const withRoute = (lines: string) => `${routes}${lines.replace(/^(?=.)/gm, '    ')}\n`
/** A route whose one parameter has these settings. */
const withParameter = (settings: string) => `
routes:
  one:
    path: /one
    parameters:
      p: { ${settings} }
    sql: select :p
`
const only = (config: Config) => config.routes[0] as Config['routes'][number]

describe('a file', () => {
  test('with nothing but a route is taken, with every default', () => {
    const { routes: _routes, ...settings } = read(routes)
    expect(settings).toEqual({
      listen: { host: '127.0.0.1', port: 8080 },
      admin: { host: '127.0.0.1', port: 9090 },
      log: { level: 'info', slow: 500 },
      traces: {},
      memory: { maxBytes: 256 * 1024 * 1024 },
      redis: { keyPrefix: 'onramp:', timeout: 100 },
      postgres: {
        url: 'embedded',
        connections: 10,
        statementTimeout: 2000,
        maxRows: 10_000,
        maxBytes: 8 * 1024 * 1024,
        privateTables: [],
        follow: 'auto',
      },
      request: { timeout: 3000, softTimeout: 150, maxBody: 16 * 1024, maxParameters: 100 },
      limits: {
        maxConnections: 10_000,
        maxRequests: 10_000,
        maxHeader: 16 * 1024,
        headerTimeout: 10_000,
        idleTimeout: 120_000,
        keepAliveTimeout: 65_000,
        drainTimeout: 25_000,
      },
      upstream: { maxRequests: 1000, connectTimeout: 2000, firstByteTimeout: 60_000, trustedProxies: [] },
      cors: { origins: [] },
      warm: [],
    })
    expect(only(read(routes))).toEqual({
      name: 'one',
      path: '/one',
      methods: ['GET'],
      parameters: {},
      sql: 'select 1',
      returns: 'rows',
      share: { reserve: 0, queue: 1000 },
      audit: 0,
      rows: {},
      tags: [],
      lifetime: { fresh: 60_000, stale: 600_000, staleIfError: 86_400_000, negative: 10_000 },
      cacheControl: 'max-age=0, must-revalidate',
    })
  })

  test('has reserves only up to the connections there are, also where those are the default', () => {
    const { connections } = read(routes).postgres
    const reserving = (reserve: number) => withRoute(`share: { reserve: ${reserve} }`)
    expect(faults(reserving(connections - 1))).toEqual([])
    const fault = expect.stringMatching(/postgres\.connections: \d+ must be more than the sum of all share\.reserve/)
    expect(faults(reserving(connections))).toEqual([fault])
    expect(faults(`postgres: { connections: 4 }\n${reserving(4)}`)).toEqual([fault])
    expect(faults(`postgres: { connections: 4 }\n${reserving(3)}`)).toEqual([])
  })

  test('says the share of audits as a percentage', () => {
    for (const [written, share] of [
      ['0.1%', 0.001],
      ['5%', 0.05],
      ['100%', 1],
    ] as const)
      expect(only(read(withRoute(`audit: ${written}`))).audit).toBe(share)
    for (const odd of ['0.1', '101%', '-1%', '1 %', '%'])
      expect(faults(withRoute(`audit: "${odd}"`))).toEqual([expect.stringContaining('is not a percentage')])
  })

  test('says where traces go without secrets in it', () => {
    expect(read(withSection('traces: { url: "http://collector:4318/otlp" }')).traces.url).toBe(
      'http://collector:4318/otlp',
    )
    for (const odd of ['collector:4318', 'http://user:secret@collector:4318', 'http://collector/?token=1'])
      expect(faults(withSection(`traces: { url: "${odd}" }`))).toEqual([expect.stringContaining('traces.url')])
  })

  test('that is not there, or is a folder, is refused by name', () => {
    for (const path of [join(folder, 'none.yaml'), folder]) {
      expect(() => readConfig(path, {})).toThrow(Refusal)
      expect(() => readConfig(path, {})).toThrow(path)
    }
  })

  test.each(['', '# nothing\n', '---\n', '[]', 'text', '1', 'null', '- routes'])('that holds %j is refused', (yaml) => {
    expect(faults(yaml)).not.toEqual([])
  })

  test.each(['routes: [', 'a: b: c', '"', '\tlisten:', 'a: 1\na: 2\n b', '%'])(
    'that is not YAML (%j) is refused with its line',
    (yaml) => {
      expect(faults(yaml).join()).toMatch(/^onramp\.yaml.*\b[12]\b.*not YAML/)
    },
  )

  test('that names a setting twice is refused with its line', () => {
    expect(faults(withSection('memory: { maxBytes: 1MiB }\nmemory: { maxBytes: 2MiB }')).join()).toMatch(
      /\b2\b.*not YAML/,
    )
  })

  test('whose alias has no anchor is refused with its line', () => {
    expect(faults(withRoute('lifetime: *prcies')).join('\n')).toMatch(/onramp\.yaml.*6.*prcies/)
  })

  test('may say a thing once and mean it twice', () => {
    const config = read(`
routes:
  one: { path: /one, sql: "select :y", parameters: { y: &y { type: integer, min: 1, max: 9 } }, lifetime: &l { fresh: 5s } }
  two: { path: /two, sql: "select :y", parameters: { y: *y }, lifetime: *l }
`)
    const [one, two] = config.routes
    expect(two?.parameters).toEqual(one?.parameters)
    expect(two?.lifetime.fresh).toBe(5000)
  })
})

describe('every fault', () => {
  const broken = `listen:
  port: 70000
  hots: 0.0.0.0
admin:
  host: 0.0.0.0
log:
  level: inof
  slow: 5 minutes
memory:
  maxBytes: 64MB
postgres:
  connections: \${CONNECTIONS}
defaults:
  lifetime: { fresh: 1y }
routes:
  states:
    path: /api/states
    parameters:
      year: { type: integer, min: 2014, max: 2030 }
      unused: { type: string }
    sql: { file: states.sql }
    tags: ["year:{yaer}"]
  issuers:
    path: /api/:state/issuers
    parameters:
      state: { type: sting }
    sql: { file: missing.sql }
  again:
    path: /api/states
    sql: select :yera
    lifetime: { frehs: 10s }
  bad:
    path: api/x/
    sql: select 1
    returns: rwo
  Bad Name:
    path: /bad
    sql: select 1
`
  const expected: [number, string, string | undefined, string][] = [
    [2, 'listen.port', '70000', '65535'],
    [3, 'listen.hots', undefined, 'did you mean host?'],
    [5, 'admin.host', '"0.0.0.0"', 'token'],
    [7, 'log.level', '"inof"', 'did you mean info?'],
    [8, 'log.slow', '"5 minutes"', 'duration'],
    [10, 'memory.maxBytes', '"64MB"', 'size'],
    [14, 'defaults.lifetime.fresh', '"1y"', 'duration'],
    [20, 'routes.states.parameters.unused', undefined, ''],
    [22, 'routes.states.tags', '"year:{yaer}"', 'did you mean year?'],
    [26, 'routes.issuers.parameters.state', undefined, 'string'],
    [27, 'routes.issuers.sql', undefined, 'missing.sql'],
    [29, 'routes.again.path', '"/api/states"', 'states'],
    [30, 'routes.again.sql', undefined, 'yera'],
    [31, 'routes.again.lifetime.frehs', undefined, 'did you mean fresh?'],
    [33, 'routes.bad.path', '"api/x/"', 'path'],
    [35, 'routes.bad.returns', '"rwo"', 'did you mean row'],
  ]
  const told = faults(broken)

  // An unused parameter is a fault of the SQL as much as of its declaration: either line shows where to look.
  test.each(expected.filter(([, path]) => !path.endsWith('unused')))(
    'is told with its line %i, its path %s, its value %s',
    (line, path, value, word) => {
      const sentence = told.find((one) => one.includes(` ${path}`) && one.startsWith(`onramp.yaml:${line} `))
      expect(sentence, told.join('\n')).toBeDefined()
      expect(sentence).toContain(word)
      if (value !== undefined) expect(sentence).toContain(value)
    },
  )

  test('is told: a declared parameter the SQL never uses', () => {
    expect(told.join('\n')).toMatch(/onramp\.yaml:(20|21) routes\.states\.\S+: .*unused/)
  })

  test('is told: a route name that is none', () => {
    expect(told.join('\n')).toMatch(/onramp\.yaml:\d+ routes\.Bad Name: .*not a route name/)
  })

  test('is told also in a route whose name is none', () => {
    const two = faults('routes: { Bad Name: { path: /one, sql: select 1, returns: rwo } }').join('\n')
    expect(two).toContain('not a route name')
    expect(two).toContain('routes.Bad Name.returns')
  })

  test('is told: a variable that is not set, by its name and its line', () => {
    expect(told.find((one) => one.includes('CONNECTIONS'))).toMatch(/^onramp\.yaml:12 /)
  })

  test('is told at once with all others, in the order of the file, none twice', () => {
    expect(told.length).toBeGreaterThanOrEqual(expected.length)
    expect(new Set(told).size).toBe(told.length)
    const lines = told.map((one) => Number(/^onramp\.yaml:(\d+)/.exec(one)?.[1] ?? 0))
    expect(lines).toEqual(lines.toSorted((a, b) => a - b))
  })

  test('in a section is told with the line of its name, also where more follows below it', () => {
    expect(faults(`lisen:\n  port: 1\n${routes}`).join()).toContain('onramp.yaml:1 lisen:')
  })
})

const refused: [string, string, RegExp][] = [
  ['no routes', 'listen: { port: 1 }', /routes.*missing/],
  ['no path', 'routes: { one: { sql: select 1 } }', /routes\.one\.path.*missing/],
  ['no sql', 'routes: { one: { path: /one } }', /routes\.one\.sql/],
  ['sql of another shape', 'routes: { one: { path: /one, sql: { fiel: x.sql } } }', /routes\.one\.sql.*file/],
  ['a section that is text', withSection('listen: 8080'), /listen.*mapping/],
  ['a number for a duration', withRoute('lifetime: { fresh: 60 }'), /lifetime\.fresh.*60/],
  ['a route parameter that is not declared', 'routes: { one: { path: "/:on", sql: select 1 } }', /path.*:on/],
  [
    'a parameter twice in a path',
    withRoute('parameters: { a: { type: string } }').replace('/one', '/:a/:a').replace('1', ':a'),
    /path.*twice/,
  ],
  ['a list in a path', withParameter('type: list, items: { type: string }').replace('/one', '/:p'), /path.*:p/],
  ['a default in a path', withParameter('type: integer, default: 1').replace('/one', '/:p'), /path.*:p/],
  [
    'paths that differ in the names of parameters only',
    `
routes:
  one: { path: "/a/:x", sql: "select :x", parameters: { x: { type: string } } }
  two: { path: "/a/:y", sql: "select :y", parameters: { y: { type: string } } }`,
    /routes\.two\.path.*one/,
  ],
  ['min above max', withParameter('type: integer, min: 2, max: 1'), /p: .*min/],
  ['a default below min', withParameter('type: integer, min: 2, max: 9, default: 1'), /p: .*default.*1/],
  ['a default of no value', withParameter('type: enum, values: [a], default: b'), /p: .*default.*"b"/],
  ['a default against its pattern', withParameter('type: string, pattern: "[0-9]+", default: x'), /p: .*default.*"x"/],
  ['a default above maxLength', withParameter('type: string, maxLength: 2, default: xxx'), /p: .*default.*"xxx"/],
  ['a default below minLength', withParameter('type: string, minLength: 2, default: x'), /p: .*default.*"x"/],
  [
    'a default that would be folded',
    withParameter('type: string, lowercase: true, default: Abc'),
    /p: .*default.*"Abc"/,
  ],
  ['minLength above maxLength', withParameter('type: string, minLength: 2, maxLength: 1'), /p: .*minLength/],
  [
    'minItems above maxItems',
    withParameter('type: list, items: { type: string }, minItems: 3, maxItems: 2'),
    /p: .*minItems/,
  ],
  ['a pattern that is none', withParameter('type: string, pattern: "[0-9"'), /p: .*pattern/],
  ['a pattern that closes what it did not open', withParameter('type: string, pattern: "a)|(?:b"'), /p: .*pattern/],
  ['no values', withParameter('type: enum, values: []'), /p\.values/],
  ['a list of lists', withParameter('type: list, items: { type: list, items: { type: string } }'), /p\.items/],
  ['items with a default', withParameter('type: list, items: { type: integer, default: 1 }'), /p.*default/],
  ['a setting of another type', withParameter('type: integer, pattern: x'), /p\.pattern/],
  ['a fresh of nothing', withRoute('lifetime: { fresh: 0s }'), /lifetime\.fresh.*at least/],
  ['a header in Cache-Control', withRoute('cacheControl: "no-cache\\r\\nSet-Cookie: a=b"'), /cacheControl/],
  ['a path with a query', 'routes: { one: { path: "/one?x=1", sql: select 1 } }', /routes\.one\.path/],
  ['a path with a trailing slash', 'routes: { one: { path: /one/, sql: select 1 } }', /routes\.one\.path/],
  ['no methods', withRoute('methods: []'), /methods/],
  ['a method it does not serve', withRoute('methods: [DELETE]'), /methods.*DELETE/],
  [
    'a parameter named like an internal of every object',
    `
routes:
  one: { path: /one, sql: "select :__proto__", parameters: { __proto__: { type: string } } }`,
    /__proto__/,
  ],
  ['a short token', withSection('admin: { token: abc }'), /admin\.token.*8/],
  ['an address of no Redis', withSection('redis: { url: "http://x" }'), /redis\.url.*redis:/],
  ['an address of no PostgreSQL', withSection('postgres: { url: "mysql://x" }'), /postgres\.url.*postgres:/],
  ['a timer too long', withSection('request: { timeout: 11m }'), /request\.timeout.*10m/],
  ['a timer of nothing', withSection('request: { timeout: 0s }'), /request\.timeout.*1ms/],
  [
    'a soft timeout as long as a statement may take',
    withSection('request: { softTimeout: 2s }'),
    /yaml:1 request\.softTimeout.*postgres\.statementTimeout.*2000ms/,
  ],
  [
    'a statement that may take as long as a request',
    withSection('postgres: { statementTimeout: 3s }'),
    /yaml:1 postgres\.statementTimeout.*request\.timeout.*3000ms/,
  ],
  [
    'a request that may take less than a statement',
    withSection('request: { timeout: 1999ms }'),
    /yaml:1 request\.timeout.*more than postgres\.statementTimeout.*2000ms/,
  ],
  [
    'a route to warm that there is not',
    `warm: [one, two]\n${routes}`,
    /yaml:1 warm.*the route two, which does not exist/,
  ],
  [
    'a parameter to warm that there is not',
    `warm: [{ route: one, params: { a: 1 } }]\n${routes}`,
    /yaml:1 warm.*names a, which is not a parameter of one/,
  ],
  ['a memory too small', withSection('memory: { maxBytes: 1023KiB }'), /memory\.maxBytes.*1MiB/],
]
test.each(refused)('%s is refused', (_what, yaml, sentence) => {
  expect(faults(yaml).join('\n')).toMatch(sentence)
})

describe('durations and sizes', () => {
  const fresh = (text: string) => only(read(withRoute(`lifetime: { fresh: "${text}" }`))).lifetime.fresh
  test('are as people write them', () => {
    expect(['1ms', '250ms', '30s', '10m', '1h', '7d', '1.5s', '0.5m'].map(fresh)).toEqual([
      1, 250, 30_000, 600_000, 3_600_000, 604_800_000, 1500, 30_000,
    ])
    const bytes = (text: string) => read(withSection(`request: { maxBody: ${text} }`)).request.maxBody
    expect(['512B', '64KiB', '1.5MiB', '2GiB'].map(bytes)).toEqual([512, 65_536, 1_572_864, 2_147_483_648])
  })

  test.each([
    '10',
    '10 s',
    's',
    '-1s',
    '+1s',
    '1e3s',
    '.5s',
    '1.s',
    '1,5s',
    '10M',
    '10S',
    '1w',
    '1m30s',
    '10sec',
    ' 1s',
    '1s\\n',
    'Infinity',
    '٣s',
  ])('of %j are refused', (text) => {
    expect(faults(withRoute(`lifetime: { fresh: "${text}" }`))).toHaveLength(1)
  })

  test.each(['10', '64kb', '64KB', '64K', '1MB', '1 MiB', '-1MiB', '1TiB'])('sizes of %j are refused', (text) => {
    expect(faults(withSection(`request: { maxBody: "${text}" }`))).toHaveLength(1)
  })

  test('may be as long as a timer can be, and no longer', () => {
    expect(read(withSection('log: { slow: 10m }')).log.slow).toBe(600_000)
    expect(read(withSection('log: { slow: 1ms }')).log.slow).toBe(1)
    expect(faults(withSection('log: { slow: 600001ms }'))).toHaveLength(1)
  })
})

describe('a number without its unit', () => {
  const durations = [
    'log.slow',
    'redis.timeout',
    'request.softTimeout',
    'limits.drainTimeout',
    'upstream.connectTimeout',
  ]
  const lifetimes = ['fresh', 'stale', 'staleIfError', 'negative', 'noCache']
  /** The faults of a file with this value, as YAML, at `path`. */
  const faultsAt = (path: string, value: string, environment: Environment = {}) =>
    faults(
      withSection(`${path.replaceAll('.', ': { ')}: ${value}${' }'.repeat(path.split('.').length - 1)}`),
      environment,
    )

  test.each([...durations, ...lifetimes.map((name) => `defaults.lifetime.${name}`)])(
    'is refused for %s with the spelling in seconds',
    (path) => {
      for (const [value, spelled] of [
        ['10', '10s'],
        ['"10"', '10s'],
        ['10.5', '10.5s'],
        ['"0.5"', '0.5s'],
        ['10.0', '10s'],
      ] as const)
        expect(faultsAt(path, value).join('\n')).toMatch(
          new RegExp(`^onramp\\.yaml:1 ${path}: "?[\\d.]+"? is not a duration: write ${spelled}$`),
        )
    },
  )

  test.each(lifetimes)('is refused for %s of a route as well', (name) => {
    expect(faults(withRoute(`lifetime: { ${name}: 10 }`))).toEqual([
      `onramp.yaml:6 routes.one.lifetime.${name}: 10 is not a duration: write 10s`,
    ])
  })

  test('is refused where it comes from the environment, by the name of the variable', () => {
    expect(faultsAt('log.slow', '"${SLOW}"', { SLOW: '10' })).toEqual([
      'onramp.yaml:1 log.slow: "10" is not a duration: write 10s (it comes from SLOW)',
    ])
  })

  test('is refused in the longer form of staleIfError', () => {
    expect(faultsAt('defaults.lifetime.staleIfError', '{ for: 10, afterInvalidation: true }').join()).toMatch(
      /for is not a duration: write 10s$/,
    )
  })

  test('is never spelled in a way that the setting refuses', () => {
    // 3000 s are more than a timer holds; no time at all is none for `fresh`, but is for `stale`.
    expect(faultsAt('log.slow', '3000').join()).toMatch(/write 3000ms$/)
    expect(faultsAt('log.slow', '0').join()).toMatch(/is not a duration: write 250ms, 30s, 10m, 1h or 7d$/)
    expect(faultsAt('defaults.lifetime.fresh', '0').join()).toMatch(
      /is not a duration: write 250ms, 30s, 10m, 1h or 7d$/,
    )
    expect(faultsAt('defaults.lifetime.stale', '0').join()).toMatch(/is not a duration: write 0s$/)
    expect(faultsAt('memory.maxBytes', '256').join()).toMatch(/is not a size: write 256MiB$/)
    expect(faultsAt('memory.maxBytes', '268435456').join()).toMatch(/is not a size: write 268435456B$/)
    for (const [path, spelled] of [
      ['log.slow', '3000ms'],
      ['defaults.lifetime.stale', '0s'],
      ['memory.maxBytes', '256MiB'],
    ] as const)
      expect(faultsAt(path, spelled)).toEqual([])
  })

  test.each(['-10', '"-10"', '1e30', '.inf', '.nan', '[10]', 'true', '"10 "', '"10,5"'])(
    'is not found in %s: the sentence shows how a duration is written',
    (value) => {
      expect(faultsAt('log.slow', value).join('\n')).toMatch(/is not a duration: write 250ms, 30s, 10m, 1h or 7d$/)
    },
  )

  test('is refused for a size and a percentage too', () => {
    expect(faultsAt('request.maxBody', '16384').join()).toMatch(/is not a size: write 16384B$/)
    expect(faultsAt('request.maxBody', '"16384"').join()).toMatch(/is not a size: write 16384B$/)
    expect(faultsAt('request.maxBody', '-1').join()).toMatch(/is not a size: write 512B, 64KiB, 256MiB or 2GiB$/)
    expect(faults(withRoute('audit: 5')).join()).toMatch(/is not a percentage: write 0.1%, 5% or 100%$/)
  })
})

describe('the types of parameters', () => {
  const listed = (message: string | undefined) => message?.replace('is not one of the types ', '').split(', ')
  const toldOf = (settings: string) =>
    listed(/is not one of the types .*$/.exec(faults(withParameter(settings)).join('\n'))?.[0])

  test('are all named where a type is none of them', () => {
    expect(toldOf('type: sting')).toEqual(Object.keys(parameterTypes))
    expect(toldOf('min: 1')).toEqual(Object.keys(parameterTypes))
  })

  test('are named without lists where an item has none of them: a list of lists is refused', () => {
    const scalars = Object.keys(parameterTypes).filter((name) => name !== 'list')
    expect(toldOf('type: list, items: { type: list, items: { type: string } }')).toEqual(scalars)
  })

  test('are named with one that is added to their table', () => {
    const date = { settings: z.strictObject({ type: z.literal('date') }) }
    const read = anyOf([...Object.values(parameterTypes), date])
    expect(read.safeParse({ type: 'date' }).success).toBe(true)
    expect(listed(read.safeParse({ type: 'sting' }).error?.issues[0]?.message)).toEqual([
      ...Object.keys(parameterTypes),
      'date',
    ])
  })

  test('have the name they are declared by', () => {
    for (const [name, { settings }] of Object.entries(parameterTypes))
      expect([...settings.shape.type.values]).toEqual([name])
  })
})

test('every setting says what it is for: in sentences, and in fewer than 30 words', () => {
  const rows = [settingsTable(), routeSettingsTable(), parametersTable()].flatMap((table) => table.split('\n').slice(2))
  expect(rows.length).toBeGreaterThan(60)
  for (const row of rows) {
    const meaning = row.split(' | ').at(-1)?.replace(/ \|$/, '') ?? ''
    expect(meaning, row).toMatch(/^[A-Z`].*\.$/)
    expect(meaning.split(' ').length, row).toBeLessThan(30)
  }
})

test('ports may be 0 to 65535', () => {
  expect([0, 65_535].map((port) => read(withSection(`listen: { port: ${port} }`)).listen.port)).toEqual([0, 65_535])
  for (const port of ['-1', '65536', '80.5', '"80x"', '0x50z', 'true', '[]', '" 80"'])
    expect(faults(withSection(`listen: { port: ${port} }`)), port).toHaveLength(1)
})

describe('lifetimes', () => {
  test('are those of the defaults, field by field, where a route does not say its own', () => {
    const config = read(`
defaults:
  lifetime: { fresh: 2m, negative: 5s }
  cacheControl: no-cache
routes:
  own: { path: /own, sql: select 1, lifetime: { fresh: 1s, staleIfError: 0s }, cacheControl: max-age=5 }
  none: { path: /none, sql: select 1 }
`)
    expect(config.routes.map(({ lifetime }) => lifetime)).toEqual([
      { fresh: 1000, stale: 600_000, staleIfError: 0, negative: 5000 },
      { fresh: 120_000, stale: 600_000, staleIfError: 86_400_000, negative: 5000 },
    ])
    expect(config.routes.map(({ cacheControl }) => cacheControl)).toEqual(['max-age=5', 'no-cache'])
  })
})

describe('an admin address that others can reach', () => {
  test('needs a token', () => {
    for (const host of ['0.0.0.0', '"::"', '10.0.0.1', 'example.com'])
      expect(faults(withSection(`admin: { host: ${host} }`)).join()).toMatch(/admin\.host.*token/)
  })

  test('needs one that is not empty', () => {
    const section = withSection('admin: { host: 0.0.0.0, token: "${T:-}" }')
    expect(faults(section).join()).toMatch(/admin\.host.*token/)
    expect(faults(section, { T: '' }).join()).toMatch(/admin\.host.*token/)
    expect(read(section, { T: 'long enough' }).admin).toEqual({ host: '0.0.0.0', port: 9090, token: 'long enough' })
  })

  test('is no loopback address', () => {
    for (const host of ['127.0.0.1', '"::1"', 'localhost'])
      expect(read(withSection(`admin: { host: ${host} }`)).admin.token).toBeUndefined()
  })
})

describe('the upstream', () => {
  test.each([
    'http://127.0.0.1:3000',
    'http://web.internal',
    'https://web.internal:8443/',
    '"http://[::1]:3000"',
    'unix:/run/web.sock',
  ])('may be at %s', (url) => {
    expect(read(withSection(`upstream: { url: ${url} }`)).upstream.url).toBe(url.replaceAll('"', ''))
  })

  test.each([
    'http://host/path',
    'http://host/?q',
    'ftp://host',
    'host:3000',
    'http://',
    'http://a:99999',
    'unix:run/web.sock',
  ])('cannot be at %s', (url) => {
    expect(faults(withSection(`upstream: { url: "${url}" }`)).join()).toMatch(/upstream\.url: .*address/)
  })

  test('with a certificate has a name that the certificate is for', () => {
    for (const host of ['127.0.0.1', '[::1]'])
      expect(faults(withSection(`upstream: { url: "https://${host}:8443" }`)).join()).toMatch(
        /needs the name in its certificate/,
      )
  })

  test('trusts peers that are addresses or networks', () => {
    const told = faults(withSection('upstream: { trustedProxies: [10.0.0.0/8, localhost, "10.0.0.0/40"] }'))
    expect(told.join('\n')).toMatch(
      /localhost is neither an IP address nor a network.*\n.*10\.0\.0\.0\/40 is neither an IP address nor a network/,
    )
    expect(read(withSection('upstream: { trustedProxies: ["::1", 10.0.0.0/8] }')).upstream.trustedProxies).toHaveLength(
      2,
    )
  })
})

describe('a certificate', () => {
  test('is looked for beside the file, and what is none is refused at once', () => {
    expect(faults(withSection('listen: { tls: { cert: none.pem, key: none.pem } }')).join()).toMatch(
      /listen\.tls.*none\.pem/,
    )
    expect(faults(withSection('listen: { tls: { cert: states.sql, key: states.sql } }')).join()).toMatch(
      /must name a PEM certificate and its private key/,
    )
    expect(faults(withSection('listen: { tls: { cert: states.sql } }')).join()).toMatch(/key: is missing/)
  })
})

test('pages of other origins are named by origin, not by page', () => {
  for (const origin of ['example.org', 'https://example.org/', 'https://example.org/a', '**', ''])
    expect(faults(withSection(`cors: { origins: ["${origin}"] }`)).join()).toMatch(/cors\.origins.*origin/)
  expect(read(withSection('cors: { origins: ["*"] }')).cors.origins).toEqual(['*'])
})

describe('the environment', () => {
  // In braces YAML itself would want it quoted.
  const withHost = (written: string) => withSection(`listen:\n  host: ${written}`)
  const host = (written: string, environment: Environment = {}) => read(withHost(written), environment).listen.host

  test('is taken, quoted and unquoted, alone and inside a text', () => {
    for (const written of ['${H}', '"${H}"', "'${H}'", '${H:-x}', '"${H:-x}"'])
      expect(host(written, { H: '10.0.0.1' })).toBe('10.0.0.1')
    expect(host('a-${H}-${I:-c}', { H: 'b' })).toBe('a-b-c')
  })

  test('that lacks a variable, or has it empty, gives its default', () => {
    for (const written of ['${H:-0.0.0.0}', '"${H:-0.0.0.0}"']) {
      expect(host(written)).toBe('0.0.0.0')
      expect(host(written, { H: '' })).toBe('0.0.0.0')
    }
  })

  test('that leaves a setting empty leaves it at its own default', () => {
    for (const written of ['${H:-}', '"${H:-}"', "'${H:-}'"]) expect(host(written)).toBe('127.0.0.1')
    expect(host('"${H}"', { H: '' })).toBe('127.0.0.1')
  })

  test('that leaves an anchored setting empty is no crash', () => {
    const yaml = withSection('redis: { keyPrefix: &k "${K:-}" }\nlisten: { host: *k }')
    expect(() => faults(yaml)).not.toThrow()
  })

  test('that lacks a variable without a default is a fault by its name', () => {
    expect(faults(withSection('listen: { host: "${NO_SUCH}" }')).join()).toContain('NO_SUCH')
  })

  test('has numbers in it, and no others than numbers', () => {
    const port = withSection('listen:\n  port: ${P:-1}')
    expect(read(port, { P: '8081' }).listen.port).toBe(8081)
    for (const P of ['x', '80 81', '1e3', '0x50', '70000', '-1', ' 80', '80.0'])
      expect(faults(port, { P })).toHaveLength(1)
  })

  test('is named where what comes from it is a fault', () => {
    const port = withSection('listen:\n  port: ${P:-1}')
    expect(faults(port, { P: 'x' }).join()).toMatch(/listen\.port: "x" is not a whole number \(it comes from P\)$/)
    const url = withSection('redis:\n  url: ${R:-}')
    expect(faults(url, { R: 'secret@host' }).join()).toMatch(
      /redis\.url: is not an address like \S+ \(it comes from R\)$/,
    )
    expect(faults(withSection('listen:\n  port: ${P:-x}')).join()).not.toContain('comes from')
  })

  test('has booleans in it: every scalar may come from there', () => {
    const yaml = withParameter('type: string, lowercase: "${FOLD:-true}"')
    expect(only(read(yaml)).parameters.p).toMatchObject({ lowercase: true })
    expect(only(read(yaml, { FOLD: 'false' })).parameters.p).toMatchObject({ lowercase: false })
  })

  test.each([
    'a\nadmin: { host: 0.0.0.0 }',
    'x }',
    'x, port: 1',
    '[a, b]',
    '{ a: b }',
    '*anchor',
    '&a b',
    '!!js/function x',
    '# no comment',
    '"quoted"',
    "it's",
    '- x',
    '${OTHER}',
    '${OTHER:-x}',
    '$& $1 $$',
    'true',
    'null',
    '~',
    '8080',
  ])('is a value, never more than that: %j', (H) => {
    for (const written of ['${H}', '"${H}"', "'${H:-x}'"]) {
      const config = read(withHost(written), { H, OTHER: 'other' })
      expect(config.listen).toEqual({ host: H, port: 8080 })
      expect(config.admin.host).toBe('127.0.0.1')
    }
  })

  test('is not asked for names that objects have anyway', () => {
    expect(faults(withSection('listen: { host: "${constructor}" }')).join()).toContain('constructor')
  })
})

describe('a secret', () => {
  const secret = 'hunter2-hunter2'
  const shapes: [string, string][] = [
    ['a token that is too short', 'admin: { token: hunter2 }'],
    ['a token that is a list', `admin: { token: [${secret}] }`],
    ['a Redis address', `redis: { url: "http://:${secret}@host" }`],
    ['a PostgreSQL address', `postgres: { url: "mysql://app:${secret}@host/db" }`],
    ['a PostgreSQL address that is a mapping', `postgres: { url: { host: ${secret} } }`],
    ['an address where its section should be', `redis: "redis://:${secret}@host"`],
    ['another address where its section should be', `postgres: "postgres://app:${secret}@host/db"`],
    ['a list of addresses where their section should be', `postgres: ["postgres://app:${secret}@host/db"]`],
    ['a token where its section should be', `admin: ${secret}`],
    ['an address of the upstream with a password', `upstream: { url: "http://app:${secret}@host" }`],
    ['an address of the receiver of traces', `traces: { url: "collector://app:${secret}@host" }`],
    ['an address of that where its section should be', `traces: "http://app:${secret}@host"`],
    ['a misspelt token', `admin: { tokne: ${secret} }`],
    ['a misspelt address', `postgres: { ulr: "postgres://app:${secret}@host/db" }`],
    ['a misspelt section', `postgers: { url: "postgres://app:${secret}@host/db" }`],
    ['an address in the wrong place', `database_url: "postgres://app:${secret}@host/db"`],
  ]
  test.each(shapes)('is not quoted in a fault: %s', (_what, section) => {
    const told = faults(withSection(section))
    expect(told).not.toEqual([])
    expect(told.join('\n')).not.toContain('hunter2')
  })

  test('in a file that is not YAML is not quoted either', () => {
    for (const url of [
      `${'${R:-'}redis://:${secret}@host}`,
      `"redis://:${secret}@host" x`,
      `[redis://:${secret}@host`,
      `{ "${secret}`,
    ])
      expect(faults(withSection(`redis: { url: ${url} }`)).join('\n')).not.toContain('hunter2')
  })

  test('out of the environment is not quoted either', () => {
    const told = faults(withSection('redis: { url: "${R}" }\npostgres: { url: "${D}" }\nadmin: { token: "${T}" }'), {
      R: `http://${secret}`,
      D: `http://${secret}`,
      T: 'hunter2',
    })
    expect(told).toHaveLength(3)
    expect(told.join('\n')).not.toContain('hunter2')
  })

  test('out of the environment, for a whole section, is not quoted either', () => {
    expect(faults(withSection('postgres: "${D}"'), { D: `postgres://app:${secret}@host/db` }).join()).not.toContain(
      'hunter2',
    )
  })
})

describe('config/onramp.yaml', () => {
  const shipped = (environment: Environment = {}) => readConfig('config/onramp.yaml', environment)
  const plain = shipped()
  const table = routeTable(plain.routes.map(compileRoute))

  test('is taken with nothing set: loopback, memory only, the embedded database', () => {
    const config = plain
    expect(config.listen).toEqual({ host: '127.0.0.1', port: 8080 })
    expect(config.admin).toEqual({ host: '127.0.0.1', port: 9090 })
    expect(config.redis.url).toBeUndefined()
    expect(config.postgres.url).toBe('embedded')
    expect(config.log.level).toBe('info')
  })

  test('is the same with every variable empty', () => {
    const names = [
      'PORT',
      'ADMIN_PORT',
      'HOST',
      'DATABASE_URL',
      'REDIS_URL',
      'UPSTREAM_URL',
      'ADMIN_TOKEN',
      'LOG_LEVEL',
    ]
    expect(shipped(Object.fromEntries(names.map((name) => [name, ''])))).toEqual(plain)
  })

  test.each<[string, string, (config: Config) => unknown, unknown]>([
    ['PORT', '1234', ({ listen }) => listen.port, 1234],
    ['ADMIN_PORT', '1235', ({ admin }) => admin.port, 1235],
    ['HOST', '0.0.0.0', ({ listen }) => listen.host, '0.0.0.0'],
    ['DATABASE_URL', 'postgres://app:p@db/market', ({ postgres }) => postgres.url, 'postgres://app:p@db/market'],
    ['REDIS_URL', 'rediss://:p@cache:6380/1', ({ redis }) => redis.url, 'rediss://:p@cache:6380/1'],
    ['ADMIN_TOKEN', 'a-long-token', ({ admin }) => admin.token, 'a-long-token'],
    ['LOG_LEVEL', 'debug', ({ log }) => log.level, 'debug'],
  ])('takes %s, and nothing else changes with it', (name, value, setting, expected) => {
    const changed = shipped({ [name]: value })
    expect(setting(changed)).toEqual(expected)
    expect(setting(plain)).not.toEqual(expected)
    const same = (Object.keys(changed) as (keyof Config)[]).filter(
      (section) => JSON.stringify(changed[section]) === JSON.stringify(plain[section]),
    )
    expect(same).toHaveLength(Object.keys(changed).length - 1)
  })

  test('leaves the admin listener on loopback when HOST is not', () => {
    expect(shipped({ HOST: '0.0.0.0' }).admin.host).toBe('127.0.0.1')
  })

  test('has the routes of the contract, no more and no fewer', () => {
    expect(Object.fromEntries(plain.routes.map(({ name, path, methods }) => [name, [path, ...methods]]))).toEqual({
      states: ['/api/states', 'GET'],
      'metal-levels': ['/api/reference/metal-levels', 'GET'],
      'poverty-guidelines': ['/api/reference/poverty-guidelines', 'GET'],
      'counties-by-zip': ['/api/counties/by/zip/:zip', 'GET'],
      county: ['/api/counties/:fips', 'GET'],
      issuers: ['/api/states/:state/issuers', 'GET'],
      'plan-search': ['/api/plans/search', 'GET', 'POST'],
      plan: ['/api/plans/:plan_id', 'GET'],
      'plan-compare': ['/api/plans/compare', 'GET'],
      'county-benchmark': ['/api/counties/:fips/benchmark', 'GET'],
      'county-stats': ['/api/counties/:fips/stats', 'GET'],
      'state-lowest': ['/api/states/:state/lowest', 'GET'],
      'national-benchmark': ['/api/benchmarks', 'GET'],
      'plan-names': ['/api/plans/names', 'GET'],
    })
  })

  const A = '12345VA0000001'
  const B = '12345VA0000002'
  test.each([
    ['states', '/api/states', ''],
    ['metal-levels', '/api/reference/metal-levels', ''],
    ['poverty-guidelines', '/api/reference/poverty-guidelines', ''],
    ['counties-by-zip', '/api/counties/by/zip/22003', ''],
    ['county', '/api/counties/51059', ''],
    ['issuers', '/api/states/VA/issuers', ''],
    ['plan-search', '/api/plans/search', 'county=51059&ages=34,32,5&metal=Silver&sort=premium&limit=10&offset=0'],
    ['plan', `/api/plans/${A}`, ''],
    ['plan-compare', '/api/plans/compare', `ids=${B},${A}&county=51059&ages=34`],
    ['county-benchmark', '/api/counties/51059/benchmark', 'age=40'],
    ['county-stats', '/api/counties/51059/stats', 'age=40'],
    ['state-lowest', '/api/states/VA/lowest', 'age=40'],
    ['national-benchmark', '/api/benchmarks', 'age=40'],
    ['plan-names', '/api/plans/names', 'q=silver'],
  ])('answers the example of %s, for 2014 where the year is not said', (name, path, query) => {
    const found = table.find(path)
    const given = new Map([
      ...(found?.given ?? []),
      ...[...new URLSearchParams(query)].map(([key, value]): [string, unknown[]] => [key, [value]]),
    ])
    const taken = found?.route.read(given)
    expect(found?.route.name).toBe(name)
    expect(taken).toHaveProperty('params')
    if (found?.route.config.parameters.year !== undefined) expect(taken).toHaveProperty('params.year', 2014)
  })

  test('has its SQL in files beside it', () => {
    for (const { name, sql } of plain.routes)
      expect(sql).toBe(readFileSync(`config/marketplace/queries/${name}.sql`, 'utf8'))
  })
})
