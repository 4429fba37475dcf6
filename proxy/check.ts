// The check command: validates a configuration against its database.
import { type Capabilities, checkCapabilities, psqlOf } from './changes/capabilities.ts'
import type { Clock } from './clock.ts'
import type { Config } from './config/schema.ts'
import { followedObjects, type Prepared, prepare } from './http/routes/prepare.ts'
import { PostgresOrigin } from './origin/postgres.ts'

/** The result of a check without the database. */
export function verdictOf({ routes }: Config, file: string): string {
  return `${file}: ${routes.length} route${routes.length === 1 ? '' : 's'}, no faults.`
}

/** The SQL, for psql, that gives the database what following its changes requires. */
export async function missingSql(config: Config, url: string, clock: Clock): Promise<string> {
  const { capabilities } = await lookAt(config, url, clock)
  return psqlOf(capabilities)
}

/**
 * A report on each route, and on how changes are followed, from the database at `url`. Throws a Refusal that lists
 * everything the database rejects.
 */
export async function databaseReport(config: Config, url: string, clock: Clock): Promise<string> {
  const { prepared, capabilities } = await lookAt(config, url, clock)
  const warnings = [...prepared.inspection.warnings, ...capabilities.warnings]
  const { mode, why } = capabilities
  return [
    ...routeLines(prepared),
    ...warnings.map((warning) => `warning: ${warning}`),
    `The database is ${mode === 'off' ? `not followed: ${why}` : `followed ${why}`}.`,
  ].join('\n')
}

async function lookAt(
  config: Config,
  url: string,
  clock: Clock,
): Promise<{ prepared: Prepared; capabilities: Capabilities }> {
  const settings = { ...config.postgres, url, connections: 1, statementTimeoutMs: 10_000 }
  const origin = new PostgresOrigin(settings, clock, () => {})
  try {
    const prepared = await prepare(config, origin)
    return {
      prepared,
      capabilities: await checkCapabilities(url, config.postgres.follow, followedObjects(prepared.table)),
    }
  } finally {
    await origin.close()
  }
}

function routeLines({ table, inspection }: Prepared): string[] {
  return table.routes.flatMap(({ name, query }) => {
    const { parameterTypes = {}, tables = [], functions = [] } = inspection.routes.get(name) ?? {}
    const typed = query.statement.names.map((parameter) => `:${parameter} ${parameterTypes[parameter]}`)
    return [
      `  ${name}`,
      `    parameters  ${typed.join(', ') || 'none'}`,
      `    reads       ${tables.join(', ') || 'no table'}`,
      ...(functions.length > 0 ? [`    calls       ${functions.join(', ')}`] : []),
    ]
  })
}
