// The schema as JSON Schema, for editors and for the tables of config/README.md.
import { z } from 'zod'
import { schema } from './schema.ts'

/** The configuration as JSON Schema. Every scalar may also be a `${NAME:-default}`. */
export function jsonSchema(): Record<string, unknown> {
  const fromEnvironment = { type: 'string', pattern: '\\$\\{[A-Z_][A-Z0-9_]*(:-[^}]*)?\\}' }
  return {
    ...z.toJSONSchema(schema, {
      io: 'input',
      override({ jsonSchema: at }) {
        const { description, default: preset, ...kind } = at
        const scalar =
          kind.type === 'integer' || kind.type === 'boolean' || kind.enum !== undefined || kind.pattern !== undefined
        if (!scalar || kind.const !== undefined) return
        for (const key of Object.keys(at)) delete at[key]
        Object.assign(
          at,
          { anyOf: [kind, fromEnvironment] },
          description && { description },
          preset !== undefined && { default: preset },
        )
      },
    }),
  }
}
