import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

/*
 * A bare node:http server: the least possible cost of a hit. Argument: a file of recorded answers, with the header fields and the body
 * (base64) of each path.
 */

interface Kept {
  path: string
  headers: Record<string, string>
  body: string
}

const kept = JSON.parse(readFileSync(process.argv[2] as string, 'utf8')) as Kept[]
const answers = new Map(kept.map(({ path, headers, body }) => [path, { headers, body: Buffer.from(body, 'base64') }]))
const server = createServer((request, response) => {
  const answer = answers.get(request.url as string)
  if (answer === undefined) {
    response.writeHead(404).end()
    return
  }
  response.writeHead(200, answer.headers)
  response.end(answer.body)
})
server.keepAliveTimeout = 65_000
server.listen(0, '127.0.0.1', () => {
  process.stdout.write(`http://127.0.0.1:${(server.address() as AddressInfo).port}\n`)
})
