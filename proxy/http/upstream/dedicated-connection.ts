// Asks the upstream over a connection of its own.
import { type ClientRequest, request as httpRequest, type IncomingMessage, type InformationEvent } from 'node:http'
import { request as httpsRequest } from 'node:https'
import type { Socket } from 'node:net'
import type { Clock } from '../../clock.ts'
import { Problem } from '../../errors.ts'
import type { UpstreamAddress, UpstreamOptions } from './address.ts'
import { problemOf } from './errors.ts'
import type { UpstreamExchange } from './exchange.ts'
import { isAscii } from './fields.ts'

/** Takes the connection of a 101 that was wanted. Says whether it did. */
type TakeUpgrade = (answer: IncomingMessage, socket: Socket, early: Buffer) => boolean

/** Asks the upstream over a connection of its own. Without `upgraded` a 101 is a failure. */
export type AskOverDedicatedConnection = (
  exchange: UpstreamExchange,
  framing: readonly string[],
  upgraded?: TakeUpgrade,
) => ClientRequest

/**
 * Makes what sends a request over a connection that nobody else has used or will use: its head at once, its content is to be
 * written. The answer goes to the exchange; `flushSoon` sees to it that its head does not wait for content.
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
      exchange.fail(new Problem('upstream-failed', 'The web tier changes to a protocol that nobody asked for.'))
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

/** Ends `outgoing` when it outlasts its timeouts. The first byte of the answer is awaited from when all has been sent. */
function endWhenLate(
  outgoing: ClientRequest,
  isEncrypted: boolean,
  { connectTimeoutMs, firstByteTimeoutMs, idleTimeoutMs }: UpstreamOptions,
  clock: Clock,
): void {
  const end = (detail: string) => () => outgoing.destroy(new Problem('upstream-timeout', detail))
  let cancel = clock.after(connectTimeoutMs, end('There is no connection to the web tier.'))
  outgoing.on('socket', (socket) => {
    socket.once(isEncrypted ? 'secureConnect' : 'connect', () => {
      cancel()
      socket.setTimeout(idleTimeoutMs, end('Nothing moves to or from the web tier.'))
    })
  })
  outgoing.on('finish', () => {
    cancel()
    cancel = clock.after(firstByteTimeoutMs, end('The web tier does not answer.'))
  })
  for (const event of ['response', 'upgrade', 'close'] as const) outgoing.on(event, () => cancel())
}
