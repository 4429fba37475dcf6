// WebSockets, from the upstream's 101 on.
import { type IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { downstreamFields } from './fields.ts'
import { noteCarried } from './gc.ts'

/** Whether `request` asks for a WebSocket in a way that can be tunnelled: other protocols, or one with content, never are. */
export function asksForWebSocket({ method, headers, httpVersion }: IncomingMessage): boolean {
  return (
    method === 'GET' &&
    httpVersion === '1.1' &&
    /^websocket$/i.test(headers.upgrade ?? '') &&
    headers['transfer-encoding'] === undefined &&
    (headers['content-length'] ?? '0') === '0'
  )
}

/**
 * A response on a connection that Node's server has given up because it asked for an upgrade. It is the last one on it: what
 * follows may be meant for the other protocol, or be another request.
 */
export function lastResponse(request: IncomingMessage, socket: Duplex): ServerResponse {
  const response = new ServerResponse(request)
  response.shouldKeepAlive = false
  response.assignSocket(socket as Socket)
  response.on('finish', () => {
    response.detachSocket(socket as Socket)
    socket.end()
    socket.resume() // whatever still comes: a socket that is not read never ends
  })
  return response
}

/**
 * Joins a client and the web tier, from the web tier's 101 on and not a byte before, until either side ends or nothing
 * moves for `idleMs`. `early`: what each has already sent of the new protocol. Says whether it did.
 */
export function join(
  client: Duplex,
  answer: IncomingMessage,
  server: Duplex,
  early: { client: Buffer; server: Buffer },
  idleMs: number,
): boolean {
  const fields = downstreamFields({ status: 101, rawHeaders: answer.rawHeaders }, false)
  if (fields === undefined || !/^websocket$/i.test(answer.headers.upgrade ?? '')) return false
  const lines = ['HTTP/1.1 101 Switching Protocols', 'Connection: Upgrade', 'Upgrade: websocket']
  for (let i = 0; i < fields.length; i += 2) lines.push(`${fields[i]}: ${fields[i + 1]}`)
  client.write(`${lines.join('\r\n')}\r\n\r\n`, 'latin1')
  client.write(early.server)
  server.write(early.client)
  const cut = () => {
    client.destroy()
    server.destroy()
  }
  for (const [side, other] of [
    [client, server],
    [server, client],
  ] as [Socket, Socket][]) {
    side.setTimeout(idleMs, cut)
    side.on('error', cut)
    // What it has sent may still be on its way to the other.
    side.on('close', () => other.end())
    let sent = 0
    side.on('data', ({ length }: Buffer) => {
      sent = noteCarried(sent, length)
    })
    side.pipe(other)
  }
  return true
}
