// The schema of the configuration file: types, validation, defaults.
import { z } from 'zod'
import { httpSections } from './http-schema.ts'
import { cacheControl, lifetimeSettings as lifetime, routeSchema } from './route-schema.ts'
import { integer, size, wait } from './scalars.ts'

/**
 * The one description of the configuration. It validates the file, gives the types and the defaults, and is printed as
 * config/schema.json (for editors) and as the tables of config/README.md. HTTP, routes and types of parameters have files of their own.
 */

const secretUrl = (scheme: RegExp, example: string) =>
  z.string().regex(scheme, { error: `is not an address like ${example}` })

export const schema = z.strictObject({
  listen: httpSections.listen,
  admin: httpSections.admin,
  log: z
    .strictObject({
      level: z
        .enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'])
        .default('info')
        .describe('Least severe level that is logged. `debug` adds one line for each request.'),
      slow: wait
        .prefault('500ms')
        .describe('A request that takes longer is logged at `warn`. Lower it to see more of the slow ones.'),
    })
    .prefault({}),
  traces: z
    .strictObject({
      url: z
        .string()
        .regex(/^https?:\/\/[^/?#@]+(\/[^?#]*)?$/, { error: 'is not an address like http://127.0.0.1:4318' })
        .optional()
        .describe('OpenTelemetry receiver (OTLP over HTTP; `/v1/traces` is appended). Without it, nothing is traced.'),
    })
    .prefault({}),
  memory: z
    .strictObject({
      maxBytes: size({ allows: (bytes) => bytes >= 1024 ** 2, error: 'must be at least 1MiB' })
        .prefault('256MiB')
        .describe(
          'Size of the memory tier, keys and overhead included. When full, least recently used entries are evicted. One entry may take an eighth.',
        ),
    })
    .prefault({}),
  redis: z
    .strictObject({
      url: secretUrl(/^(rediss?|redis\+(cluster|sentinel)):\/\//, 'redis://host:6379')
        .optional()
        .describe(
          '`redis://`, `rediss://` (TLS), `redis+cluster://a:6379,b:6379` or `redis+sentinel://a:26379,b:26379/mymaster`. Without it, there is no Redis tier.',
        ),
      keyPrefix: z
        .string()
        .min(1)
        .max(100)
        .default('onramp:')
        .describe('Prefix of every key. Databases that share one Redis need different ones.'),
      timeout: wait
        .prefault('100ms')
        .describe(
          'Longest wait for Redis; then the request continues without it. A process that is late itself waits up to 1 s. Raise it for a distant Redis.',
        ),
    })
    .prefault({}),
  postgres: z
    .strictObject({
      url: z
        .union([z.literal('embedded'), secretUrl(/^postgres(ql)?:\/\//, 'postgres://user@host:5432/database')], {
          error: 'must be embedded, or an address like postgres://user@host:5432/database',
        })
        .default('embedded')
        .describe('Address of a PostgreSQL 14 or later. `embedded` starts the example database.'),
      connections: integer(1, 1000)
        .prefault(10)
        .describe(
          'Most connections for statements; further statements wait. Following changes takes up to two more. Lower it if many processes share the server.',
        ),
      statementTimeout: wait
        .prefault('2s')
        .describe(
          'The server cancels a statement that runs longer; the request then gets an older answer or 504. Must be less than `request.timeout`.',
        ),
      maxRows: integer(1, 10_000_000)
        .prefault(10_000)
        .describe('Most rows of one answer. A statement with more is stopped at the server, and the request gets 500.'),
      maxBytes: size({ allows: (bytes) => bytes <= 1024 ** 3, error: 'must be at most 1GiB' })
        .prefault('8MiB')
        .describe('Largest JSON of one answer. The server does not send a larger one, and the request gets 500.'),
      privateTables: z
        .array(z.string().min(1))
        .default([])
        .describe(
          'Tables and views that no route may read, not even through a view or a `BEGIN ATOMIC` function. The start fails for a route that does.',
        ),
      follow: z
        .enum(['auto', 'replication', 'notify', 'off'])
        .default('auto')
        .describe(
          'How changes are noticed. `auto` takes logical replication, else triggers, else nothing. If the settings of the server exclude `replication` or `notify`, the start fails.',
        ),
    })
    .prefault({}),
  request: z
    .strictObject({
      timeout: wait
        .prefault('3s')
        .describe(
          'Longest wait for an answer; then 504. Raise it, with `postgres.statementTimeout`, for slow statements.',
        ),
      softTimeout: wait
        .prefault('150ms')
        .describe(
          'Longest wait for PostgreSQL when an older answer may be served instead; then that is sent, and the fill continues. Raise it to serve fewer older answers.',
        ),
      maxBody: size().prefault('16KiB').describe('Largest body of a POST to a route; a larger one gets 413.'),
      maxParameters: integer(1, 10_000)
        .prefault(100)
        .describe('Most parameters in one request to a route, unknown ones included; more get 400.'),
    })
    .prefault({}),
  limits: httpSections.limits,
  upstream: httpSections.upstream,
  cors: httpSections.cors,
  defaults: z
    .strictObject({
      lifetime: z
        .strictObject({
          fresh: lifetime.fresh
            .prefault('1m')
            .describe(
              'How long an answer is served as it is. Up to a tenth is taken off at random, so that entries expire apart.',
            ),
          stale: lifetime.stale
            .prefault('10m')
            .describe('After `fresh`, how long an answer is still served while one refresh runs in the background.'),
          staleIfError: lifetime.staleIfError
            .prefault('1d')
            .describe(
              'After `fresh`, how long an answer may be served when PostgreSQL fails. `{ for: 1d, afterInvalidation: true }` includes answers known to have changed.',
            ),
          negative: lifetime.negative
            .prefault('10s')
            .describe('`fresh` of a 404 and of an empty list. These are never served stale.'),
          noCache: lifetime.noCache
            .optional()
            .describe(
              'Oldest answer that a request with `no-cache` accepts; an older one is read again. Without it, `no-cache` is ignored.',
            ),
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
    .describe(
      'Entries to load at the start: names of routes, or `{ route, params }`. `/ready` waits for them, at most 10 s.',
    ),
  routes: z.record(z.string(), routeSchema).describe('Routes by name: a path, its parameters and its statement.'),
})

/** Lifetimes of a route's entries, in milliseconds. `stale` and `staleIfError` count from the end of `fresh` (RFC 5861). */
export interface RouteLifetime {
  fresh: number
  stale: number
  staleIfError: number
  afterInvalidation?: boolean
  negative: number
  noCache?: number | undefined
}

export type ParsedFile = z.output<typeof schema>
type ParsedRoute = z.output<typeof routeSchema>

/** A route of the file, complete: defaults filled in, SQL read. */
export interface RouteConfig extends Omit<ParsedRoute, 'sql' | 'lifetime' | 'cacheControl'> {
  name: string
  sql: string
  lifetime: RouteLifetime
  cacheControl: string
}

export interface Config extends Omit<ParsedFile, 'routes' | 'defaults'> {
  routes: RouteConfig[]
}

/** Returns `read` with the defaults filled into every route, and the SQL of each. */
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
