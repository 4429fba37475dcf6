// Requests and responses as bytes.

/** An HTTP/1.1 request as bytes. Content gets a Content-Length. */
export function requestOf(method: string, target: string, fields: readonly string[] = [], content?: string): string {
  const length = content === undefined ? [] : [`Content-Length: ${Buffer.byteLength(content, 'latin1')}`]
  const names = fields.map((field) => field.slice(0, field.indexOf(':')).toLowerCase())
  const host = names.includes('host') ? [] : ['Host: web.example']
  return `${method} ${target} HTTP/1.1\r\n${[...host, ...fields, ...length].join('\r\n')}\r\n\r\n${content ?? ''}`
}

/** An answer with `content` and its length, behind `head`: a status line and fields. */
export function responseOf(content: string, head = 'HTTP/1.1 200 OK\r\n'): string {
  return `${head}Content-Length: ${Buffer.byteLength(content, 'latin1')}\r\n\r\n${content}`
}

/** The answer to an unscripted request: its content is unique to the request. */
export function ownAnswer(method: string, target: string): string {
  return `the answer to ${method} ${target}`
}
