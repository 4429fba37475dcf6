// Pieces of requests, as bytes.
import type { ExpectedRequest } from './case.ts'

export const host = 'Host: a.example'
export const chunked = 'Transfer-Encoding: chunked'
/** The content `hello` in one chunk. */
export const hello = '5\r\nhello\r\n0\r\n\r\n'
/** Content that is a request for a reader that ends the content too early. */
export const smuggled = 'GET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n'

export const posted: ExpectedRequest = { method: 'POST', target: '/ID', content: 'hello' }
export const got: ExpectedRequest = { method: 'GET', target: '/ID', content: '' }

/** A head of exactly these lines. */
export function headOf(...lines: string[]): string {
  return [...lines, '', ''].join('\r\n')
}

/** A head of this request line, a Host, and these fields. */
export function start(line: string, ...fields: string[]): string {
  return headOf(line, host, ...fields)
}

export function get(...fields: string[]): string {
  return start('GET /ID HTTP/1.1', ...fields)
}

export function post(...fields: string[]): string {
  return start('POST /ID HTTP/1.1', ...fields)
}

/** A request for a WebSocket. */
export function websocket(target: string, ...fields: string[]): string {
  const key = ['Sec-WebSocket-Version: 13', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==']
  return start(`GET ${target} HTTP/1.1`, 'Connection: Upgrade', 'Upgrade: websocket', ...key, ...fields)
}

/** `request`, for another target than /ID. */
export function withTarget(target: string, request: string): string {
  return request.replace('/ID', target)
}
