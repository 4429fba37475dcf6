// A route as people look at it, at /routes.
import { tableTag } from '../../tags.ts'
import type { Route } from './route.ts'

/** A route as people look at it: everything its configuration and the database say of it. Durations in milliseconds. */
export function describeRoute({
  name,
  path,
  methods,
  parameters,
  query,
  lifetime,
  cacheControl,
  audit,
  tagTemplates,
  tables,
  functions,
  rows,
}: Route) {
  const { returns, version, share } = query
  const sql = query.statement.render((parameter) => `:${parameter}`)
  return {
    name,
    path,
    methods,
    parameters,
    returns,
    lifetime,
    cacheControl,
    share,
    audit,
    tags: tagTemplates,
    /** What a person can purge of it: its tables, and its own tags up to their first parameter. */
    purgeTags: [...tables.map(tableTag), ...tagTemplates.map((template) => template.replace(/\{.*/s, ''))],
    tables,
    functions,
    rows,
    version,
    sql,
  }
}
