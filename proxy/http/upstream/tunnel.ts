// WebSocket tunnels, from the upstream's 101 on.
import { type IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { downstreamFields } from './fields.ts'
import type { LargeBodyCollector } from './gc.ts'

/** Whether `request` asks for a WebSocket that can be tunneled. Other protocols, and requests with content, cannot. */
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
 * A response on a connection that Node's server has released because of an upgrade request. It is the last response on
 * that connection: later bytes may belong to the other protocol, or be another request.
 */
export function lastResponse(request: IncomingMessage, socket: Socket): ServerResponse {
  const response = new ServerResponse(request)
  response.shouldKeepAlive = false
  response.assignSocket(socket)
  response.on('finish', () => {
    response.detachSocket(socket)
    socket.end()
    socket.resume() // discard further input: a socket that is not read never ends
  })
  return response
}

/** The two sides of a tunnel, and the bytes of the new protocol that each has already sent. */
export interface TunnelSides {
  client: Socket
  earlyOfClient: Buffer
  upstream: Socket
  earlyOfUpstream: Buffer
}

/**
 * Connects a client and the upstream, exactly from `answer`, the upstream's 101, on. It ends when either side ends, or
 * after `idleMs` without traffic. Returns whether it did.
 */
export function join(
  { client, earlyOfClient, upstream, earlyOfUpstream }: TunnelSides,
  answer: IncomingMessage,
  idleMs: number,
  collector: LargeBodyCollector,
): boolean {
  const fields = downstreamFields({ status: 101, rawHeaders: answer.rawHeaders }, false)
  if (fields === undefined || !/^websocket$/i.test(answer.headers.upgrade ?? '')) return false
  const lines = ['HTTP/1.1 101 Switching Protocols', 'Connection: Upgrade', 'Upgrade: websocket']
  for (let i = 0; i < fields.length; i += 2) lines.push(`${fields[i]}: ${fields[i + 1]}`)
  client.write(`${lines.join('\r\n')}\r\n\r\n`, 'latin1')
  client.write(earlyOfUpstream)
  upstream.write(earlyOfClient)
  const cut = () => {
    client.destroy()
    upstream.destroy()
  }
  for (const [side, other] of [
    [client, upstream],
    [upstream, client],
  ] as const) {
    side.setTimeout(idleMs, cut)
    side.on('error', cut)
    // Its data may still be on the way to the other side.
    side.on('close', () => other.end())
    let sent = 0
    side.on('data', ({ length }: Buffer) => {
      sent = collector.note(sent, length)
    })
    side.pipe(other)
  }
  return true
}
