// Asks the upstream over connections kept open.
import { buildConnector, type Dispatcher, Pool } from 'undici'
import type { UpstreamAddress, UpstreamOptions } from './address.ts'
import { isConnectionClosed, problemOf } from './errors.ts'
import type { UpstreamExchange, UpstreamRequest } from './exchange.ts'
import { isFramedByTrailers } from './fields.ts'

/** Connections to the web tier that are kept open. */
export interface UpstreamPool {
  ask(exchange: UpstreamExchange): void
  close(): Promise<void>
}

/**
 * Opens none yet. `flushSoon` sees to it that the head of an answer does not wait for content; `again` asks once more, over a new
 * connection, when the one a request had turns out to be dead.
 */
export function upstreamPool(
  place: UpstreamAddress,
  { connectTimeoutMs, firstByteTimeoutMs, idleTimeoutMs, maxHeaderBytes }: UpstreamOptions,
  flushSoon: (exchange: UpstreamExchange) => void,
  again: (exchange: UpstreamExchange) => void,
): UpstreamPool {
  const connector = buildConnector({ timeout: connectTimeoutMs, ...place.connect })
  const newPool = () => {
    const fresh = new Pool(place.origin, {
      pipelining: 1,
      allowH2: false,
      strictContentLength: true,
      headersTimeout: firstByteTimeoutMs,
      bodyTimeout: idleTimeoutMs,
      maxHeaderSize: maxHeaderBytes,
      connect: (options, callback) =>
        connector(options, (...outcome) => {
          // undici takes a reset for the end of an answer that ends with its connection. It is not.
          outcome[1]?.on('error', (error: NodeJS.ErrnoException) => {
            if (error.code === 'ECONNRESET') error.code = 'EPIPE'
          })
          callback(...outcome)
        }),
    })
    fresh.on('connectionError', () => {}) // the request that needed the connection fails with the same error
    return fresh
  }
  let pool = newPool()
  /** Lets every connection kept open end when what is under way on it has: one of them is in a state nobody can be sure of. */
  const renew = () => {
    const old = pool
    pool = newPool()
    old.close().catch(() => {}) // cut meanwhile: ended all the same
  }
  return {
    ask: (exchange) => new PooledAnswer(exchange, again, renew, flushSoon).ask(pool, place.name),
    close: () => pool.destroy(),
  }
}

/** The answer to a request sent over a connection kept open. `renew` is called when that has shown that it cannot be trusted. */
class PooledAnswer implements Dispatcher.DispatchHandler, UpstreamRequest {
  readonly #exchange: UpstreamExchange
  readonly #again: (exchange: UpstreamExchange) => void
  readonly #renew: () => void
  readonly #flushSoon: (exchange: UpstreamExchange) => void
  #controller: Dispatcher.DispatchController | undefined
  #hasBegun = false

  constructor(
    exchange: UpstreamExchange,
    again: (exchange: UpstreamExchange) => void,
    renew: () => void,
    flushSoon: (exchange: UpstreamExchange) => void,
  ) {
    this.#exchange = exchange
    this.#again = again
    this.#renew = renew
    this.#flushSoon = flushSoon
  }

  ask(pool: Pool, servername: string): void {
    const { method, target } = this.#exchange.head
    const headers = this.#exchange.fields as string[]
    // Without a name of ours undici would ask for, and check, the certificate of whatever the client's Host says.
    pool.dispatch({ method, path: target, headers, body: null, servername } as Dispatcher.DispatchOptions, this)
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    if (this.#exchange.isOver) return void controller.abort(new Error('the client has left'))
    this.#controller = controller
    this.#exchange.upstreamRequest = this
  }

  abort(why: Error): void {
    this.#controller?.abort(why)
  }

  onResponseStarted(): void {
    this.#hasBegun = true
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number, _fields: unknown, reason?: string): void {
    const rawHeaders = asStrings(controller.rawHeaders)
    if (status < 200) this.#exchange.inform(status, rawHeaders)
    else if (this.#exchange.respond(status, reason, rawHeaders)) this.#flushSoon(this.#exchange)
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#exchange.write(chunk, controller)
  }

  onResponseEnd(controller: Dispatcher.DispatchController): void {
    const trailers = asStrings(controller.rawTrailers)
    this.#done()
    if (isFramedByTrailers(trailers)) this.#renew()
    this.#exchange.end(trailers)
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#done()
    const isStale = !this.#hasBegun && isConnectionClosed(error)
    if (isStale && !this.#exchange.isOver) this.#again(this.#exchange)
    else this.#exchange.fail(problemOf(error))
  }

  #done(): void {
    this.#controller = undefined
    this.#exchange.upstreamRequest = undefined
  }
}

/** undici gives raw fields as buffers. Field values are bytes: latin1 keeps each. */
function asStrings(raw: Dispatcher.DispatchController['rawHeaders']): string[] {
  return Array.isArray(raw) ? raw.map((bytes) => (typeof bytes === 'string' ? bytes : bytes.toString('latin1'))) : []
}
