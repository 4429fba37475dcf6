// Description of a route, as shown at /routes.
import { tableTag } from '../../tags.ts'
import type { Route } from './route.ts'

/** Everything that the configuration and the database say about a route. Durations in milliseconds. */
export function describeRoute({ config, methods, query, tables, functions }: Route) {
  const { statement, version, rows } = query
  const sql = statement.render((parameter) => `:${parameter}`)
  /** The tags that a person can purge: its tables, and its own tags up to their first parameter. */
  const purgeTags = [...tables.map(tableTag), ...config.tags.map((template) => template.replace(/\{.*/s, ''))]
  return { ...config, methods, purgeTags, tables, functions, rows, version, sql }
}
