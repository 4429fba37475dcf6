// Dedicated upstream connections: each carries one request only.
import { type ClientRequest, request as httpRequest, type IncomingMessage, type InformationEvent } from 'node:http'
import { request as httpsRequest } from 'node:https'
import type { Socket } from 'node:net'
import type { Clock } from '../../clock.ts'
import { Problem } from '../../errors.ts'
import type { UpstreamAddress, UpstreamOptions } from './address.ts'
import { problemOf } from './errors.ts'
import type { UpstreamExchange } from './exchange.ts'
import { isAscii } from './fields.ts'

/** Takes over the connection of a requested 101. Returns whether it did. */
type TakeUpgrade = (answer: IncomingMessage, socket: Socket, early: Buffer) => boolean

/** Sends a request over a connection of its own. Without `upgraded` a 101 is a failure. */
export type AskOverDedicatedConnection = (
  exchange: UpstreamExchange,
  framing: readonly string[],
  upgraded?: TakeUpgrade,
) => ClientRequest

/**
 * Returns a function that sends a request over a connection used for nothing else. The head is sent at once; the caller
 * writes the content. The response goes to the exchange. `flushSoon` ensures that its head does not wait for content.
 */
export function dedicatedConnections(
  address: UpstreamAddress,
  options: UpstreamOptions,
  clock: Clock,
  flushSoon: (exchange: UpstreamExchange) => void,
): AskOverDedicatedConnection {
  return (exchange, framing, upgraded = () => false) => {
    const outgoing = requestTo(address, exchange, framing, options.maxHeaderBytes)
    exchange.upstreamRequest = { abort: (why) => outgoing.destroy(why) }
    endWhenLate(outgoing, address.isEncrypted, options, clock)
    outgoing.on('error', (error) => exchange.fail(problemOf(error)))
    outgoing.on('information', ({ statusCode, rawHeaders }: InformationEvent) => {
      if (statusCode !== 100) exchange.inform(statusCode, rawHeaders)
    })
    outgoing.on('upgrade', (answer, socket: Socket, early) => {
      if (upgraded(answer, socket, early)) return
      socket.destroy()
      exchange.fail(new Problem('upstream-failed', 'The upstream switched to a protocol that was not requested.'))
    })
    outgoing.on('response', (answer) => {
      const { statusCode = 0, statusMessage, rawHeaders } = answer
      answer.on('error', (error) => exchange.fail(problemOf(error)))
      if (!exchange.respond(statusCode, statusMessage, rawHeaders)) return
      flushSoon(exchange)
      answer.on('end', () => exchange.end(answer.rawTrailers))
      answer.on('data', (chunk) => exchange.write(chunk, answer))
    })
    return outgoing
  }
}

function requestTo(
  { connect, hostAndPort, host, isEncrypted }: UpstreamAddress,
  { head, fields }: UpstreamExchange,
  framing: readonly string[],
  maxHeaderSize: number,
): ClientRequest {
  const headers = [...(head.host === undefined ? ['Host', host] : []), ...fields, ...framing]
  const outgoing = (isEncrypted ? httpsRequest : httpRequest)({
    ...connect,
    ...hostAndPort,
    agent: false,
    method: head.method,
    path: head.target,
    headers,
    setHost: false,
    insecureHTTPParser: false,
    maxHeaderSize,
  })
  outgoing.maxHeadersCount = 0
  if (isAscii(headers)) outgoing.flushHeaders()
  return outgoing
}

/**
 * Ends `outgoing` when a timeout expires. The first byte of the response is awaited from the end of the sent request.
 */
function endWhenLate(
  outgoing: ClientRequest,
  isEncrypted: boolean,
  { connectTimeoutMs, firstByteTimeoutMs, idleTimeoutMs }: UpstreamOptions,
  clock: Clock,
): void {
  const end = (detail: string) => () => outgoing.destroy(new Problem('upstream-timeout', detail))
  let cancel = clock.after(connectTimeoutMs, end(`No connection to the upstream within ${connectTimeoutMs} ms.`))
  outgoing.on('socket', (socket) => {
    socket.once(isEncrypted ? 'secureConnect' : 'connect', () => {
      cancel()
      socket.setTimeout(idleTimeoutMs, end(`No traffic to or from the upstream for ${idleTimeoutMs} ms.`))
    })
  })
  outgoing.on('finish', () => {
    cancel()
    cancel = clock.after(firstByteTimeoutMs, end(`No response from the upstream within ${firstByteTimeoutMs} ms.`))
  })
  for (const event of ['response', 'upgrade', 'close'] as const) outgoing.on(event, () => cancel())
}
