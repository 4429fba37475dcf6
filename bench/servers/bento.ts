import { readFileSync } from 'node:fs'
import { BentoCache, bentostore } from 'bentocache'
import { memoryDriver } from 'bentocache/drivers/memory'
import { fastify } from 'fastify'
import pg from 'pg'
import { bindings } from './statement.ts'

/* The alternative inside a Node program: bentocache in the handler, as its documentation shows. Arguments: database URL, SQL file. */

const [, , databaseUrl, file] = process.argv as unknown as [string, string, string, string]
const { text, values } = bindings(readFileSync(file, 'utf8'))
const pool = new pg.Pool({ connectionString: databaseUrl, max: 10 })
const store = bentostore().useL1Layer(memoryDriver({ maxSize: '256mb' }))
const cache = new BentoCache({ default: 'memory', stores: { memory: store } })

const server = fastify()
server.get<{ Querystring: Record<string, string> }>('/api/plans/search', ({ query }) =>
  cache.getOrSet({
    key: `search:${query.county}:${query.ages}`,
    ttl: '10m',
    factory: async () => (await pool.query({ name: 'read', text, values: values(query) })).rows,
  }),
)
process.stdout.write(`${await server.listen({ host: '127.0.0.1', port: 0 })}\n`)
