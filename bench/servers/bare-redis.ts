import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Redis } from 'ioredis'

/* node:http and one GET of ioredis for each request: what a hit in Redis could cost at best. Its argument is the address of Redis. */

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
