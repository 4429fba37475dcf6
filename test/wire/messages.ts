// Requests and responses as bytes.

/** A request of HTTP/1.1 as bytes. Content gets its length. */
export function requestOf(method: string, target: string, fields: readonly string[] = [], content?: string): string {
  const length = content === undefined ? [] : [`Content-Length: ${Buffer.byteLength(content, 'latin1')}`]
  const names = fields.map((field) => field.slice(0, field.indexOf(':')).toLowerCase())
  const host = names.includes('host') ? [] : ['Host: web.example']
  return `${method} ${target} HTTP/1.1\r\n${[...host, ...fields, ...length].join('\r\n')}\r\n\r\n${content ?? ''}`
}

/** An answer of `content` with its length; `head` goes before, a status line and fields. */
export function responseOf(content: string, head = 'HTTP/1.1 200 OK\r\n'): string {
  return `${head}Content-Length: ${Buffer.byteLength(content, 'latin1')}\r\n\r\n${content}`
}

/** What a request gets that nothing is scripted for: content that no other request's answer has. */
export function ownAnswer(method: string, target: string): string {
  return `the answer to ${method} ${target}`
}
