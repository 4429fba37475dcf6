import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type Dispatcher, Pool } from 'undici'

/*
 * A minimal proxy of node:http and undici, for comparison. It has no limits, adds no header fields, removes only those that undici refuses,
 * and handles no failures. `stream` is undici's fastest documented interface for programs, `dispatch` its interface for libraries.
 */

const [, , upstream, way] = process.argv as [string, string, string, 'stream' | 'dispatch']
const pool = new Pool(upstream, { pipelining: 1 })
const refused = new Set(['connection', 'keep-alive', 'transfer-encoding', 'upgrade', 'expect'])

const carry = {
  stream(options: Dispatcher.RequestOptions, response: ServerResponse): void {
    pool
      .stream({ ...options, responseHeaders: 'raw' } as Dispatcher.RequestOptions, ({ statusCode, headers }) => {
        response.writeHead(statusCode, kept(headers as unknown as string[]))
        return response
      })
      .catch(() => response.destroy())
  },
  dispatch(options: Dispatcher.DispatchOptions, response: ServerResponse): void {
    pool.dispatch(options, {
      onRequestStart() {},
      onResponseStart(controller, status) {
        const raw = (controller.rawHeaders as Buffer[]).map((bytes) => bytes.toString('latin1'))
        response.writeHead(status, kept(raw))
      },
      onResponseData(controller, chunk) {
        if (response.write(chunk)) return
        controller.pause()
        response.once('drain', () => controller.resume())
      },
      onResponseEnd: () => response.end(),
      onResponseError: () => response.destroy(),
    })
  },
}

function kept(raw: readonly string[]): string[] {
  const fields: string[] = []
  for (let i = 0; i < raw.length; i += 2) {
    if (!refused.has((raw[i] as string).toLowerCase())) fields.push(raw[i] as string, raw[i + 1] as string)
  }
  return fields
}

const server = createServer(({ method = 'GET', url = '/', rawHeaders }: IncomingMessage, response) => {
  carry[way]({ method: method as Dispatcher.HttpMethod, path: url, headers: kept(rawHeaders), body: null }, response)
})
server.listen(0, '127.0.0.1', () => {
  process.stdout.write(`http://127.0.0.1:${(server.address() as AddressInfo).port}\n`)
})
