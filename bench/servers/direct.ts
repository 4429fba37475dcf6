import { readFileSync } from 'node:fs'
import { fastify } from 'fastify'
import pg from 'pg'
import { bindings } from './statement.ts'

/*
 * A minimal handler without a cache: one statement for each request. This is "direct", or "without onramp". Arguments: database URL, SQL
 * file, number of database connections, path.
 */

const [, , databaseUrl, file, connections, path = '/api/plans/search'] = process.argv as unknown as string[]
const { text, values } = bindings(readFileSync(file as string, 'utf8'))
const pool = new pg.Pool({ connectionString: databaseUrl as string, max: Number(connections) })

const server = fastify()
server.get<{ Querystring: Record<string, string>; Params: Record<string, string> }>(path, async ({ query, params }) => {
  const { rows } = await pool.query({ name: 'read', text, values: values({ ...query, ...params }) })
  return rows
})
process.stdout.write(`${await server.listen({ host: '127.0.0.1', port: 0, backlog: 65_535 })}\n`)
