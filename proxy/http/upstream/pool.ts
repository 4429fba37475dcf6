// Pooled upstream connections, for safe requests without content.
import { buildConnector, type Dispatcher, Pool } from 'undici'
import type { UpstreamAddress, UpstreamOptions } from './address.ts'
import { isConnectionClosed, problemOf } from './errors.ts'
import { clientHasLeft, type UpstreamExchange, type UpstreamRequest } from './exchange.ts'
import { isFramedByTrailers } from './fields.ts'

/** Actions that a pooled response triggers outside its exchange. */
interface PooledAnswerActions {
  /** Ensures that the head of a response does not wait for content. */
  flushSoon(exchange: UpstreamExchange): void
  /** Sends the request again over a new connection, after its pooled one turned out to be closed. */
  askAgain(exchange: UpstreamExchange): void
  /** Called when the connection can no longer be trusted. */
  renew(): void
}

/** Pooled connections to the upstream. Opens none yet. */
export class UpstreamPool {
  readonly #address: UpstreamAddress
  readonly #options: UpstreamOptions
  readonly #connector: buildConnector.connector
  readonly #actions: PooledAnswerActions
  #pool: Pool

  constructor(
    address: UpstreamAddress,
    options: UpstreamOptions,
    actions: Pick<PooledAnswerActions, 'flushSoon' | 'askAgain'>,
  ) {
    this.#address = address
    this.#options = options
    this.#connector = buildConnector({ timeout: options.connectTimeoutMs, ...address.connect })
    this.#actions = { ...actions, renew: () => this.#renew() }
    this.#pool = this.#newPool()
  }

  ask(exchange: UpstreamExchange): void {
    new PooledAnswer(exchange, this.#actions).ask(this.#pool, this.#address.name)
  }

  close(): Promise<void> {
    return this.#pool.destroy()
  }

  /**
   * Replaces the pool, and closes its connections after their requests in flight: the state of one of them is
   * uncertain.
   */
  #renew(): void {
    const old = this.#pool
    this.#pool = this.#newPool()
    old.close().catch(() => {}) // already cut
  }

  #newPool(): Pool {
    const { firstByteTimeoutMs, idleTimeoutMs, maxHeaderBytes } = this.#options
    const pool = new Pool(this.#address.origin, {
      pipelining: 1,
      allowH2: false,
      strictContentLength: true,
      headersTimeout: firstByteTimeoutMs,
      bodyTimeout: idleTimeoutMs,
      maxHeaderSize: maxHeaderBytes,
      connect: (options, callback) =>
        this.#connector(options, (...outcome) => {
          // undici takes a reset for the regular end of a response without a length. It is an error.
          outcome[1]?.on('error', (error: NodeJS.ErrnoException) => {
            if (error.code === 'ECONNRESET') error.code = 'EPIPE'
          })
          callback(...outcome)
        }),
    })
    pool.on('connectionError', () => {}) // the request that needed the connection fails with the same error
    return pool
  }
}

/** The response to a request on a pooled connection. */
class PooledAnswer implements Dispatcher.DispatchHandler, UpstreamRequest {
  readonly #exchange: UpstreamExchange
  readonly #actions: PooledAnswerActions
  #controller: Dispatcher.DispatchController | undefined
  #hasBegun = false

  constructor(exchange: UpstreamExchange, actions: PooledAnswerActions) {
    this.#exchange = exchange
    this.#actions = actions
  }

  ask(pool: Pool, servername: string): void {
    const { head, fields: headers } = this.#exchange
    // Without this name undici would request, and check, the certificate of the host in the client's Host field.
    const options = { method: head.method, path: head.target, headers, body: null, servername }
    pool.dispatch(options, this)
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    if (this.#exchange.isOver) return void controller.abort(clientHasLeft)
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
    else if (this.#exchange.respond(status, reason, rawHeaders)) this.#actions.flushSoon(this.#exchange)
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#exchange.write(chunk, controller)
  }

  onResponseEnd(controller: Dispatcher.DispatchController): void {
    const trailers = asStrings(controller.rawTrailers)
    this.#done()
    if (isFramedByTrailers(trailers)) this.#actions.renew()
    this.#exchange.end(trailers)
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#done()
    const isStale = !this.#hasBegun && isConnectionClosed(error)
    if (isStale && !this.#exchange.isOver) this.#actions.askAgain(this.#exchange)
    else this.#exchange.fail(problemOf(error))
  }

  #done(): void {
    this.#controller = undefined
    this.#exchange.upstreamRequest = undefined
  }
}

/** undici returns raw fields as buffers. Field values are bytes: latin1 preserves them. */
function asStrings(raw: Dispatcher.DispatchController['rawHeaders']): string[] {
  return Array.isArray(raw) ? raw.map((bytes) => (typeof bytes === 'string' ? bytes : bytes.toString('latin1'))) : []
}
