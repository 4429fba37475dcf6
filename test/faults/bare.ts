import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Redis } from 'ioredis'
import pg from 'pg'

/*
 * The same routes in a cache without any protection: Redis, else PostgreSQL, with the default settings of both clients. It has no
 * deadline, no circuit breaker and no stale-if-error. `node bare.ts REDIS_PORT POSTGRES_PORT`.
 */

const [redisPort, postgresPort] = process.argv.slice(2).map(Number) as [number, number]
const redis = new Redis(redisPort, '127.0.0.1', { retryStrategy: () => null })
redis.on('error', () => {}) // each command rejects with the same error
const pool = new pg.Pool({ connectionString: `postgres://onramp@127.0.0.1:${postgresPort}/marketplace` })
let statements = 0

async function answer(route: string, id: string): Promise<string> {
  const key = `${route}@bare?id=${id}`
  const held = await redis.get(key)
  if (held !== null) return held
  statements += 1
  const table = route === 'other' ? 'others' : 'items'
  const sql = `select $1::int as id, text from ${table} where id = $1::int % 1000 and is_well()`
  const text = JSON.stringify((await pool.query(sql, [id])).rows[0])
  await redis.set(key, text, 'PX', route === 'stale' || route === 'old' ? 200 : 3_600_000)
  return text
}

const server = createServer((request, response) => {
  const [, route = '', id = ''] = (request.url ?? '').split('/')
  if (route === 'ready') {
    const state = { degradationLevel: 'healthy', redis: { connected: redis.status === 'ready' } }
    return void response.end(JSON.stringify(state))
  }
  if (route === 'metrics')
    return void response.end(`onramp_origin_queries_total{route="all",outcome="ok"} ${statements}\n`)
  answer(route, id).then(
    (text) => response.end(text),
    () => response.writeHead(500).end(),
  )
})
server.listen(0, '127.0.0.1', () =>
  process.stdout.write(`http://127.0.0.1:${(server.address() as AddressInfo).port}\n`),
)
// Node would exit too, but would print a stack trace first.
process.on('uncaughtException', () => process.exit(1))
