import { readFileSync } from 'node:fs'
import { fastify } from 'fastify'
import pg from 'pg'
import { bindings } from './statement.ts'

/* The web tier without a cache: a handler that asks PostgreSQL, as small as it can be. Its arguments: address, file of SQL, connections. */

const [, , databaseUrl, file, connections] = process.argv as unknown as [string, string, string, string, string]
const { text, values } = bindings(readFileSync(file, 'utf8'))
const pool = new pg.Pool({ connectionString: databaseUrl, max: Number(connections) })

const server = fastify()
server.get<{ Querystring: Record<string, string> }>('/api/plans/search', async ({ query }) => {
  const { rows } = await pool.query({ name: 'search', text, values: values(query) })
  return rows
})
process.stdout.write(`${await server.listen({ host: '127.0.0.1', port: 0 })}\n`)
