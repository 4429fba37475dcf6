// Asks the upstream over a connection of its own.
import { type ClientRequest, request as httpRequest, type IncomingMessage, type InformationEvent } from 'node:http'
import { request as httpsRequest } from 'node:https'
import type { Socket } from 'node:net'
import type { Clock } from '../../clock.ts'
import { Problem } from '../../errors.ts'
import type { UpstreamAddress, UpstreamOptions } from './address.ts'
import { problemOf } from './errors.ts'
import type { UpstreamExchange } from './exchange.ts'

/** Asks the web tier over a connection of its own. `upgraded` says whether a 101 was wanted and taken. */
export type AskOverDedicatedConnection = (
  exchange: UpstreamExchange,
  framing: readonly string[],
  upgraded?: (answer: IncomingMessage, server: Socket, early: Buffer) => boolean,
) => ClientRequest

/**
 * Makes what sends a request over a connection that nobody else has used or will use: its head at once, its content is to be
 * written. The answer goes to the exchange; `flushSoon` sees to it that its head does not wait for content.
 */
export function dedicatedConnections(
  place: UpstreamAddress,
  { connectTimeoutMs, firstByteTimeoutMs, idleTimeoutMs, maxHeaderBytes }: UpstreamOptions,
  clock: Clock,
  flushSoon: (exchange: UpstreamExchange) => void,
): AskOverDedicatedConnection {
  const ask: AskOverDedicatedConnection = (exchange, framing, upgraded = () => false) => {
    const { head, fields } = exchange
    const headers = [...(head.host === undefined ? ['Host', place.host] : []), ...fields, ...framing]
    const outgoing = (place.isEncrypted ? httpsRequest : httpRequest)({
      ...place.connect,
      ...place.hostAndPort,
      agent: false,
      method: head.method,
      path: head.target,
      headers,
      setHost: false,
      insecureHTTPParser: false,
      maxHeaderSize: maxHeaderBytes,
    })
    exchange.upstreamRequest = { abort: (why) => outgoing.destroy(why) }
    outgoing.maxHeadersCount = 0
    // Alone, Node would write the head as UTF-8; in front of content, or of the end, it writes the bytes there are.
    if (headers.every((text) => !/[\x80-\xff]/.test(text))) outgoing.flushHeaders()
    watch(outgoing)
    outgoing.on('error', (error) => exchange.fail(problemOf(error)))
    outgoing.on('information', ({ statusCode, rawHeaders }: InformationEvent) => {
      if (statusCode !== 100) exchange.inform(statusCode, rawHeaders)
    })
    outgoing.on('upgrade', (answer, server: Socket, early) => {
      if (upgraded(answer, server, early)) return
      server.destroy()
      exchange.fail(new Problem('upstream-failed', 'The web tier changes to a protocol that nobody asked for.'))
    })
    outgoing.on('response', (answer) => {
      answer.on('error', (error) => exchange.fail(problemOf(error)))
      if (!exchange.respond(answer.statusCode as number, answer.statusMessage, answer.rawHeaders)) return
      flushSoon(exchange)
      answer.on('end', () => exchange.end(answer.rawTrailers))
      answer.on('data', (chunk) => exchange.write(chunk, answer))
    })
    return outgoing
  }

  /** Ends `outgoing` when it outlasts its timeouts. The first byte of the answer is awaited from when all has been sent. */
  function watch(outgoing: ClientRequest): void {
    const tooLate = (what: string) => () => outgoing.destroy(new Problem('upstream-timeout', what))
    let cancel = clock.after(connectTimeoutMs, tooLate('There is no connection to the web tier.'))
    outgoing.on('socket', (socket) => {
      socket.once(place.isEncrypted ? 'secureConnect' : 'connect', () => {
        cancel()
        socket.setTimeout(idleTimeoutMs, tooLate('Nothing moves to or from the web tier.'))
      })
    })
    outgoing.on('finish', () => {
      cancel()
      cancel = clock.after(firstByteTimeoutMs, tooLate('The web tier does not answer.'))
    })
    for (const event of ['response', 'upgrade', 'close'] as const) outgoing.on(event, () => cancel())
  }

  return ask
}
