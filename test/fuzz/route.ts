// A route with a parameter of each type.
import type { Parameter } from '../../proxy/config/parameter-types.ts'
import type { RouteConfig } from '../../proxy/config/schema.ts'
import { compileRoute } from '../../proxy/http/routes/route.ts'

export const text = { type: 'string', minLength: 0, maxLength: 100, lowercase: false } as const
const whole = { type: 'integer', min: -100, max: 200 } as const
const parameters: Record<string, Parameter> = {
  q: { ...text, default: null },
  ids: { type: 'list', items: text, minItems: 1, maxItems: 10, sorted: false, unique: false, default: null },
  ages: { type: 'list', items: whole, minItems: 1, maxItems: 20, sorted: true, unique: true, default: null },
  metal: { type: 'enum', values: ['Silver', 'Extra & more'], default: null },
  limit: { ...whole, default: 10 },
}
export const declared = Object.keys(parameters)
export const config: RouteConfig = {
  name: 'search',
  path: '/api/search',
  methods: ['GET', 'POST'],
  parameters,
  sql: 'select :q, :ids, :ages, :metal, :limit',
  returns: 'rows',
  lifetime: { fresh: 60_000, stale: 600_000, staleIfError: 86_400_000, negative: 10_000 },
  cacheControl: 'no-cache',
  tags: [],
  share: { reserve: 0, queue: 100 },
  audit: 0,
  rows: {},
}
export const route = compileRoute(config)
