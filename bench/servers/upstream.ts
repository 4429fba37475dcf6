import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

/* An upstream for the benchmark: it answers each request at once, with the number of bytes that its path names. */

const bodies = new Map<number, Buffer>()
const server = createServer((request, response) => {
  const size = Number(request.url?.slice(1)) || 1024
  const body = bodies.get(size) ?? Buffer.alloc(size, 'x')
  bodies.set(size, body)
  request.resume()
  response.writeHead(200, {
    'Content-Type': 'text/html',
    'Content-Length': body.length,
    'Set-Cookie': 'session=1; HttpOnly',
  })
  response.end(body)
})
server.listen(0, '127.0.0.1', () => {
  process.stdout.write(`http://127.0.0.1:${(server.address() as AddressInfo).port}\n`)
})
