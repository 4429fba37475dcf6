// The one schema: types, validation, defaults.
import { z } from 'zod'
import { parameter } from './parameter-types.ts'
import { valueAt } from './raw.ts'
import { day, duration, flag, integer, isBareNumber, percentage, size, wait } from './scalars.ts'

/**
 * The one description of the configuration: it validates the file, gives the types and the defaults, and is printed as
 * config/schema.json (for editors) and as the settings table of README.md. The types of parameters have a file of their own.
 */

const port = integer(0, 65_535)
const host = z
  .string()
  .min(1)
  .regex(/^(?!unix:)|^unix:\/./, { error: 'is not a host, nor unix: and the path of a socket' })
const secretUrl = (scheme: RegExp, example: string) =>
  z.string().regex(scheme, { error: `is not an address like ${example}` })

/** How long something is kept: ten years are as good as for ever, and their milliseconds still exact. */
const longest = { allows: (ms: number) => ms <= 3650 * day, error: 'must be at most 3650d' }
const age = duration(longest)
const lifetime = {
  fresh: duration(longest, { allows: (ms) => ms >= 1, error: 'must be at least 1ms' }),
  stale: age,
  staleIfError: z.union([age, z.strictObject({ for: age, afterInvalidation: flag })], {
    error: ({ input }) =>
      unitMissing(input) ??
      unitMissing(valueAt(input, ['for']), 'for ') ??
      'is not a duration like 1d, nor { for: 1d, afterInvalidation: true }',
  }),
  negative: age,
  noCache: age,
}

/** What an age says of a number without a unit; nothing of what else a setting may be. */
function unitMissing(value: unknown, name = ''): string | undefined {
  const [fault] = isBareNumber(value) ? (age.safeParse(value).error?.issues ?? []) : []
  return fault && `${name}${fault.message}`
}

const cacheControl = z
  .string()
  .regex(/^[a-z][a-z0-9=", -]*$/i, { error: 'is not a Cache-Control field value' })
  .describe('What clients may keep: the Cache-Control of every answer. An invalidation cannot reach a client')

/** What a route, and what a parameter, may be called. */
export const routeName = /^[a-z][a-z0-9-]{0,63}$/
export const parameterName = /^[a-z][a-z0-9_]{0,62}$/

const route = z.strictObject({
  path: z
    .string()
    .regex(/^(\/(:[a-z][a-z0-9_]*|[A-Za-z0-9._~-]+))+$/, { error: 'is not a path like /api/plans/:plan_id' })
    .describe('Literal segments and :parameters'),
  methods: z
    .array(z.enum(['GET', 'POST']))
    .min(1)
    .default(['GET'])
    .describe('GET answers HEAD too; POST takes the same names in a JSON body'),
  parameters: z
    .record(z.string(), parameter)
    .default({})
    .describe('Declared, typed, bound. What is not declared reaches neither key nor SQL'),
  sql: z
    .union([z.string().min(1), z.strictObject({ file: z.string().min(1) })], {
      error: 'must be a SELECT, or { file: path } beside this file',
    })
    .describe('One SELECT with :name parameters, or the file it is in'),
  returns: z.enum(['rows', 'row']).default('rows').describe('A JSON array, or one object (404 when there is none)'),
  lifetime: z.strictObject(lifetime).partial().default({}).describe('What differs from defaults.lifetime'),
  cacheControl: cacheControl.optional(),
  share: z
    .strictObject({
      limit: integer(1, 1000).optional(),
      reserve: integer(0, 1000).prefault(0),
      queue: integer(0, 100_000).prefault(1000),
    })
    .prefault({})
    .describe(
      'Of postgres.connections: `limit`, the most of its statements at once (default 60 %); `reserve`, kept free for it; `queue`, the most that wait',
    ),
  audit: percentage
    .prefault('0%')
    .describe('Of its hits, how many have their statement run again, when the database has time, and compared'),
  tags: z
    .array(z.string().min(1).max(200))
    .default([])
    .describe('What a purge can name; {parameter} stands for its value'),
  rows: z
    .record(z.string(), z.record(z.string(), z.string()))
    .default({})
    .describe(
      '`{ plans: { plan_id: id } }`: of this table only rows whose column equals the parameter matter, and changes of others do not touch an entry',
    ),
})

export const schema = z.strictObject({
  listen: z
    .strictObject({
      host: host.default('127.0.0.1').describe('Address clients are served on, or unix:/run/onramp.sock'),
      port: port.prefault(8080).describe('0 is any free one'),
      reusePort: flag
        .optional()
        .describe('`true`: several processes serve this port, and the system spreads connections over them'),
      tls: z
        .strictObject({ cert: z.string().min(1), key: z.string().min(1) })
        .optional()
        .describe('{ cert, key }: PEM files beside this one; read anew when they change'),
    })
    .prefault({}),
  admin: z
    .strictObject({
      host: host
        .default('127.0.0.1')
        .describe('Address of probes, metrics and purges; beyond loopback a token is required'),
      port: port.prefault(9090).describe('0 is any free one'),
      token: z
        .string()
        .min(8, { error: 'must have at least 8 characters' })
        .optional()
        .describe('Every POST then needs it as Authorization: Bearer'),
    })
    .prefault({}),
  log: z
    .strictObject({
      level: z
        .enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'])
        .default('info')
        .describe('`debug` has one line a request'),
      slow: wait.prefault('500ms').describe('A request that takes longer is logged at warn'),
    })
    .prefault({}),
  traces: z
    .strictObject({
      url: z
        .string()
        .regex(/^https?:\/\/[^/?#@]+(\/[^?#]*)?$/, { error: 'is not an address like http://127.0.0.1:4318' })
        .optional()
        .describe('An OpenTelemetry receiver (OTLP over HTTP; /v1/traces is added). Without it nothing is traced'),
    })
    .prefault({}),
  memory: z
    .strictObject({
      maxBytes: size({ allows: (bytes) => bytes >= 1024 ** 2, error: 'must be at least 1MiB' })
        .prefault('256MiB')
        .describe('Bound of the memory tier, keys and overhead counted; one entry may take an eighth'),
    })
    .prefault({}),
  redis: z
    .strictObject({
      url: secretUrl(/^(rediss?|redis\+(cluster|sentinel)):\/\//, 'redis://host:6379')
        .optional()
        .describe(
          'Without it there is no Redis tier. Also redis+cluster://a:6379,b:6379 and redis+sentinel://a:26379,b:26379/mymaster',
        ),
      keyPrefix: z
        .string()
        .min(1)
        .max(100)
        .default('onramp:')
        .describe('Begins every key; two databases behind one Redis need two'),
      timeout: wait
        .prefault('100ms')
        .describe('The most a request waits for Redis, while this process is not late itself'),
    })
    .prefault({}),
  postgres: z
    .strictObject({
      url: z
        .union([z.literal('embedded'), secretUrl(/^postgres(ql)?:\/\//, 'postgres://user@host:5432/database')], {
          error: 'must be embedded, or an address like postgres://user@host:5432/database',
        })
        .default('embedded')
        .describe('`embedded` is the example database'),
      connections: integer(1, 1000).prefault(10).describe('The most connections of this process'),
      statementTimeout: wait.prefault('2s').describe('The server gives up on a statement after this'),
      maxRows: integer(1, 10_000_000)
        .prefault(10_000)
        .describe('Of one answer; a statement with more is stopped there'),
      maxBytes: size({ allows: (bytes) => bytes <= 1024 ** 3, error: 'must be at most 1GiB' })
        .prefault('8MiB')
        .describe('Of the JSON of one answer; a larger one is not sent'),
      privateTables: z
        .array(z.string().min(1))
        .default([])
        .describe('Tables and views no route may read, through a view neither'),
      follow: z
        .enum(['auto', 'replication', 'notify', 'off'])
        .default('auto')
        .describe(
          'How its changes are followed; `auto` is what the server allows: logical replication, triggers, or not at all',
        ),
    })
    .prefault({}),
  request: z
    .strictObject({
      timeout: wait.prefault('3s').describe('The most a request waits for its answer'),
      softTimeout: wait
        .prefault('150ms')
        .describe('The most it waits where there is something to serve if the database fails; the fill goes on'),
      maxBody: size().prefault('16KiB').describe('Of a POST to a route'),
      maxParameters: integer(1, 10_000).prefault(100).describe('Of a query or a body for a route, unknown ones too'),
    })
    .prefault({}),
  limits: z
    .strictObject({
      maxConnections: integer(1, 1_000_000).prefault(10_000).describe('Further ones are closed at once'),
      maxRequests: integer(0, 1_000_000).prefault(10_000).describe('Of one connection, then it ends; 0 is no limit'),
      maxHeader: size({
        allows: (bytes) => bytes >= 1024 && bytes <= 1024 ** 2,
        error: 'must lie between 1KiB and 1MiB',
      })
        .prefault('16KiB')
        .describe('Of a request, and of an answer of the web tier: the target and all fields'),
      headerTimeout: wait.prefault('10s').describe('The most a header section takes to come, or a POST to a route'),
      idleTimeout: wait
        .prefault('2m')
        .describe(
          'The most that nothing moves while a request is under way, or a tunnel; twice that for a client that does not read',
        ),
      keepAliveTimeout: wait.prefault('65s').describe('The most a connection waits for its next request'),
      drainTimeout: wait.prefault('25s').describe('After a signal to stop: the most that requests under way may take'),
    })
    .prefault({}),
  upstream: z
    .strictObject({
      url: z
        .string()
        .regex(/^https?:\/\/[^/?#@]+\/?$|^unix:\/./, {
          error: 'is not an address like http://127.0.0.1:3000 or unix:/run/web.sock, without a path',
        })
        .optional()
        .describe('The web tier: it gets every request that no route answers. Without it those are a 404'),
      maxRequests: integer(1, 100_000).prefault(1000).describe('The most under way at once; further ones are a 503'),
      connectTimeout: wait.prefault('2s').describe('The most it takes to connect'),
      firstByteTimeout: wait.prefault('60s').describe('The most it takes to begin an answer'),
      trustedProxies: z
        .array(z.string().min(1))
        .default([])
        .describe('Addresses, or networks like 10.0.0.0/8, whose X-Forwarded-* and Forwarded are kept and added to'),
    })
    .prefault({}),
  cors: z
    .strictObject({
      origins: z
        .array(
          z.string().regex(/^\*$|^https?:\/\/[^/]+$/, { error: 'is not an origin like https://example.org, nor *' }),
        )
        .default([])
        .describe(
          'Origins whose pages may read the routes from a browser; `*` is any. The web tier says so for itself',
        ),
    })
    .prefault({}),
  defaults: z
    .strictObject({
      lifetime: z
        .strictObject({
          fresh: lifetime.fresh.prefault('1m').describe('Served as it is; the last tenth is jittered away'),
          stale: lifetime.stale.prefault('10m').describe('After that, served while one refresh runs behind'),
          staleIfError: lifetime.staleIfError
            .prefault('1d')
            .describe(
              'After fresh, served if the database fails; { for, afterInvalidation: true }: also what is known to have changed',
            ),
          negative: lifetime.negative.prefault('10s').describe('`fresh` of a 404 and of an empty list'),
          noCache: lifetime.noCache
            .optional()
            .describe('How old an answer may be for a request that says no-cache; without it that is ignored'),
        })
        .prefault({}),
      cacheControl: cacheControl.default('max-age=0, must-revalidate'),
    })
    .prefault({}),
  warm: z
    .array(
      z.union([
        z.string(),
        z.strictObject({ route: z.string(), params: z.record(z.string(), z.unknown()).default({}) }),
      ]),
    )
    .default([])
    .describe('What is read at the start, before `/ready` says yes: names of routes, or `{ route, params }`'),
  routes: z.record(z.string(), route),
})

/** How long an entry of a route lives, in milliseconds; `stale` and `staleIfError` count from the end of `fresh` (RFC 5861). */
export interface RouteLifetime {
  fresh: number
  stale: number
  staleIfError: number
  afterInvalidation?: boolean
  negative: number
  noCache?: number | undefined
}

export type ParsedFile = z.output<typeof schema>
type ParsedRoute = z.output<typeof route>

/** A route with nothing left to look up: defaults filled in, SQL read. */
export interface RouteConfig extends Omit<ParsedRoute, 'sql' | 'lifetime' | 'cacheControl'> {
  name: string
  sql: string
  lifetime: RouteLifetime
  cacheControl: string
}

export interface Config extends Omit<ParsedFile, 'routes' | 'defaults'> {
  routes: RouteConfig[]
}

/** `read` with the defaults in every route, and the SQL of each. */
export function complete(read: ParsedFile, sqlOf: ReadonlyMap<string, string>): Config {
  const { routes, defaults, ...rest } = read
  return {
    ...rest,
    routes: Object.entries(routes).map(([name, route]) => {
      const sql = sqlOf.get(name)
      if (sql === undefined) throw new Error(`The SQL of route ${name} was not read.`)
      return {
        name,
        ...route,
        sql,
        lifetime: lifetimeOf(route.lifetime, defaults.lifetime),
        cacheControl: route.cacheControl ?? defaults.cacheControl,
      }
    }),
  }
}

function lifetimeOf(own: ParsedRoute['lifetime'], defaults: ParsedFile['defaults']['lifetime']): RouteLifetime {
  const staleIfError = own.staleIfError ?? defaults.staleIfError
  const { for: forMs, ...options } = typeof staleIfError === 'number' ? { for: staleIfError } : staleIfError
  return {
    fresh: own.fresh ?? defaults.fresh,
    stale: own.stale ?? defaults.stale,
    staleIfError: forMs,
    ...options,
    negative: own.negative ?? defaults.negative,
    noCache: own.noCache ?? defaults.noCache,
  }
}
