// Asks the upstream over connections kept open.
import { buildConnector, type Dispatcher, Pool } from 'undici'
import type { UpstreamAddress, UpstreamOptions } from './address.ts'
import { isConnectionClosed, problemOf } from './errors.ts'
import { clientHasLeft, type UpstreamExchange, type UpstreamRequest } from './exchange.ts'
import { isFramedByTrailers } from './fields.ts'

/** What the answer to one request has done beyond its exchange. */
interface PooledAnswerActions {
  /** Sees to it that the head of an answer does not wait for content. */
  flushSoon(exchange: UpstreamExchange): void
  /** Asks once more, over a new connection, when the one a request had turns out to be dead. */
  askAgain(exchange: UpstreamExchange): void
  /** Called when the connection has shown that it cannot be trusted. */
  renew(): void
}

/** Connections to the upstream that are kept open. Opens none yet. */
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

  /** Lets every connection kept open end when what is under way on it has: one of them is in a state nobody can be sure of. */
  #renew(): void {
    const old = this.#pool
    this.#pool = this.#newPool()
    old.close().catch(() => {}) // cut meanwhile: ended all the same
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
          // undici takes a reset for the end of an answer that ends with its connection. It is not.
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

/** The answer to a request sent over a connection kept open. */
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
    // Without a name of ours undici would ask for, and check, the certificate of whatever the client's Host says.
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

/** undici gives raw fields as buffers. Field values are bytes: latin1 keeps each. */
function asStrings(raw: Dispatcher.DispatchController['rawHeaders']): string[] {
  return Array.isArray(raw) ? raw.map((bytes) => (typeof bytes === 'string' ? bytes : bytes.toString('latin1'))) : []
}
