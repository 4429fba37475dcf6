import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Pool } from 'undici'

/*
 * The least that carries a request: node:http and undici, and nothing between them. No limits, no fields taken out but those undici
 * refuses, no failure handled. What onramp adds is measured beside it.
 */

const pool = new Pool(process.argv[2] as string, { pipelining: 1 })
const refused = new Set(['connection', 'keep-alive', 'transfer-encoding', 'upgrade', 'expect'])

const server = createServer((request, response) => {
  const { method = 'GET', url = '/', rawHeaders } = request
  const headers: string[] = []
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] as string
    if (!refused.has(name.toLowerCase())) headers.push(name, rawHeaders[i + 1] as string)
  }
  const body = method === 'GET' || method === 'HEAD' ? null : request
  pool.dispatch(
    { method, path: url, headers, body },
    {
      onRequestStart() {},
      onResponseStart(controller, status) {
        const raw = (controller.rawHeaders as Buffer[]).map((bytes) => bytes.toString('latin1'))
        const kept: string[] = []
        for (let i = 0; i < raw.length; i += 2)
          if (!refused.has((raw[i] as string).toLowerCase())) kept.push(raw[i] as string, raw[i + 1] as string)
        response.writeHead(status, kept)
      },
      onResponseData(controller, chunk) {
        if (response.write(chunk)) return
        controller.pause()
        response.once('drain', () => controller.resume())
      },
      onResponseEnd: () => response.end(),
      onResponseError: () => response.destroy(),
    },
  )
})
process.on('SIGINT', () => process.exit(0))
server.listen(0, '127.0.0.1', () => {
  process.stdout.write(`http://127.0.0.1:${(server.address() as AddressInfo).port}\n`)
})
