import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Redis } from 'ioredis'

/* node:http with one ioredis GET for each request: the least possible cost of a hit in Redis. Argument: the URL of Redis. */

const redis = new Redis(process.argv[2] as string, { enableAutoPipelining: true })
const server = createServer((request, response) => {
  redis.getBuffer(request.url as string).then(
    (body) => {
      response.writeHead(body === null ? 404 : 200, {
        'Content-Type': 'application/json',
        'Content-Length': String(body?.length ?? 0),
      })
      response.end(body ?? undefined)
    },
    () => response.writeHead(500).end(),
  )
})
server.keepAliveTimeout = 65_000
server.listen(0, '127.0.0.1', () => {
  process.stdout.write(`http://127.0.0.1:${(server.address() as AddressInfo).port}\n`)
})
