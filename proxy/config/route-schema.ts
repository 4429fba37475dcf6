// The schema of one route, and of the lifetimes that it shares with the defaults.
import { z } from 'zod'
import { parameter } from './parameter-types.ts'
import { valueAt } from './raw.ts'
import { day, duration, flag, integer, isBareNumber, percentage } from './scalars.ts'

/** The names that a route, and a parameter, may have. */
export const routeName = /^[a-z][a-z0-9-]{0,63}$/
export const parameterName = /^[a-z][a-z0-9_]{0,62}$/

/** Ten years are as good as for ever, and their milliseconds are still exact. */
const longest = { allows: (ms: number) => ms <= 3650 * day, error: 'must be at most 3650d' }
const age = duration(longest)

/** Each lifetime, without its default. */
export const lifetimeSettings = {
  fresh: duration(longest, { allows: (ms) => ms >= 1, error: 'must be at least 1ms' }),
  stale: age,
  staleIfError: z.union([age, z.strictObject({ for: age, afterInvalidation: flag })], {
    error: ({ input }) =>
      unitMissing(input) ??
      unitMissing(valueAt(input, ['for']), 'for ') ??
      'is not a duration: write 1d, or { for: 1d, afterInvalidation: true }',
  }),
  negative: age,
  noCache: age,
}

/** The fault of a number without a unit, as {@link age} says it; undefined for any other value. */
function unitMissing(value: unknown, name = ''): string | undefined {
  const [fault] = isBareNumber(value) ? (age.safeParse(value).error?.issues ?? []) : []
  return fault && `${name}${fault.message}`
}

export const cacheControl = z
  .string()
  .regex(/^[a-z][a-z0-9=", -]*$/i, { error: 'is not a Cache-Control field value: write for example max-age=60' })
  .describe(
    '`Cache-Control` of the answers, for browsers and caches in front. A purge cannot reach those, so keep `max-age` short.',
  )

export const routeSchema = z.strictObject({
  path: z
    .string()
    .regex(/^(\/(:[a-z][a-z0-9_]*|[A-Za-z0-9._~-]+))+$/, { error: 'is not a path like /api/plans/:plan_id' })
    .describe('URL path of literal segments and `:parameters`, like `/api/plans/:plan_id`. Each route needs its own.'),
  methods: z
    .array(z.enum(['GET', 'POST']))
    .min(1)
    .default(['GET'])
    .describe('`GET` (HEAD included), `POST`, or both. A POST sends the parameters as a JSON body.'),
  parameters: z
    .record(z.string(), parameter)
    .default({})
    .describe('Name, type and limits of each parameter. Undeclared names reach neither the cache key nor the SQL.'),
  sql: z
    .union([z.string().min(1), z.strictObject({ file: z.string().min(1) })], {
      error: 'must be a SELECT, or { file: path }, relative to this file',
    })
    .describe('One SELECT with `:name` parameters, or `{ file: path }`, relative to the configuration file.'),
  returns: z
    .enum(['rows', 'row'])
    .default('rows')
    .describe('`rows` returns a JSON array. `row` returns one JSON object, or 404 when there is none.'),
  lifetime: z
    .strictObject(lifetimeSettings)
    .partial()
    .default({})
    .describe('Lifetimes of this route that differ from `defaults.lifetime`, by the same names.'),
  cacheControl: cacheControl
    .optional()
    .describe("`Cache-Control` of this route's answers. Without it, `defaults.cacheControl` applies."),
  share: z
    .strictObject({
      limit: integer(1, 1000)
        .optional()
        .describe(
          'Most statements of this route at once; further ones wait. By default 60 % of `postgres.connections`. Raise it if the log has `queue-full`.',
        ),
      reserve: integer(0, 1000)
        .prefault(0)
        .describe('Connections of `postgres.connections` that are kept free for this route.'),
      queue: integer(0, 100_000)
        .prefault(1000)
        .describe('Most statements that wait for a connection; further ones get 503.'),
    })
    .prefault({}),
  audit: percentage
    .prefault('0%')
    .describe(
      'Share of hits whose statement runs again to compare answers, while connections are idle. Raise it if you suspect unnoticed changes.',
    ),
  tags: z
    .array(z.string().min(1).max(200))
    .default([])
    .describe('Names that a purge can use, beside route and tables. `county:{county}` takes the value of a parameter.'),
  rows: z
    .record(z.string(), z.record(z.string(), z.string()))
    .default({})
    .describe(
      '`{ plans: { plan_id: id } }`: only rows of `plans` whose `plan_id` equals `:id` invalidate an entry. Use it only if the statement reads no others.',
    ),
})
