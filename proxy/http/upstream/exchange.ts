// One request on its way to the upstream, seen from its client's side.
import { type ServerResponse, STATUS_CODES } from 'node:http'
import { Problem } from '../../errors.ts'
import { problemReply } from '../../problem-reply.ts'
import type { RequestHead } from '../head.ts'
import { downstreamFields, isAscii, trailerFields } from './fields.ts'
import type { LargeBodyCollector } from './gc.ts'

/** RFC 9211: for this cache, what it passes on is bypassed. */
export const bypassed = 'onramp; fwd=bypass; detail=upstream'
/** Not of HTTP, but what everybody's logs call it: the client left before it had an answer. */
export const clientClosedRequest = 499
export const clientHasLeft = new Error('the client has left')
/** Informational responses are few; a stream of them without end is none. */
const maxInterim = 16

/** A request to the upstream, as far as it can be called off. */
export interface UpstreamRequest {
  abort(why: Error): void
}

/** Where content comes from. */
interface ContentSource {
  pause(): void
  resume(): void
}

/** Called once for each request, when its status is known: the upstream's, or of what went wrong. */
export type ReportOutcome = (exchange: UpstreamExchange, status: number, error?: unknown) => void

/**
 * One request on its way to the upstream, seen from its client's side: the one way an answer, or a failure, gets to it.
 *
 * `upstreamRequest` is set by whoever asks the upstream, and is called off when there is nobody left to answer.
 */
export class UpstreamExchange {
  readonly response: ServerResponse
  readonly head: RequestHead
  /** Fields to send to the upstream, without those that frame the message. */
  readonly fields: string[]
  upstreamRequest: UpstreamRequest | undefined
  /** When the upstream's time began, on the clock. */
  began: number
  readonly #collector: LargeBodyCollector
  readonly #reportOutcome: ReportOutcome
  #isReported = false
  /** The head of the answer, not written yet, and what content has come with it. */
  #pendingHead: { status: number; reason: string | undefined; fields: string[] } | undefined
  #pendingContent: { chunk: Buffer; source: ContentSource } | undefined
  #answerFields: readonly string[] = []
  #interimCount = 0
  #carriedBytes = 0
  #isOver = false
  #isWhole = false

  constructor(
    response: ServerResponse,
    head: RequestHead,
    fields: string[],
    began: number,
    collector: LargeBodyCollector,
    reportOutcome: ReportOutcome,
  ) {
    this.response = response
    this.head = head
    this.fields = fields
    this.began = began
    this.#collector = collector
    this.#reportOutcome = reportOutcome
  }

  /** Nobody waits for an answer any more: the client has left, or has it. */
  get isOver(): boolean {
    return this.#isOver
  }

  /** The client's connection is done with this request; an upstream still at work on it is told. */
  ended(): void {
    // Sent by somebody else: content that could not be read.
    this.#report(this.response.headersSent ? this.response.statusCode : clientClosedRequest)
    this.#isOver = true
    if (!this.#isWhole) this.upstreamRequest?.abort(clientHasLeft)
  }

  /** The connection has changed its protocol: there is no response any more. */
  upgraded(): void {
    this.#isOver = true
    this.upstreamRequest = undefined
    this.#report(101)
  }

  /** Passes an informational response on: 102, 103 and what else may come. A 101 that nobody asked for is none. */
  inform(status: number, rawHeaders: readonly string[]): void {
    this.#interimCount += 1
    if (status === 101 || this.#interimCount > maxInterim)
      return void this.fail(new Problem('upstream-failed', 'The web tier does not answer.'))
    if (this.head.httpVersion === '1.0' || this.response.headersSent || this.#isOver) return
    const fields = downstreamFields({ status, rawHeaders }, false)
    if (fields !== undefined) this.response.writeInformation(status, asObject(fields))
  }

  /**
   * Begins the response. Says whether it could: what cannot be sent on becomes a 502.
   *
   * The head waits, and the first content too, for the end, for more, or for `flush`: an answer that comes whole in one packet is sent in
   * one, and one that turns out to be broken in its very first packet can still become a 502.
   */
  respond(status: number, reason: string | undefined, rawHeaders: readonly string[]): boolean {
    const { head } = this
    if (status < 200) {
      this.fail(new Problem('upstream-failed', 'The web tier changes to a protocol that nobody asked for.'))
      return false
    }
    const canChunk = head.httpVersion === '1.1' && head.method !== 'HEAD' && status !== 204 && status !== 304
    const fields = downstreamFields({ status, rawHeaders }, canChunk)
    if (fields === undefined) {
      this.fail(new Problem('upstream-failed', 'The web tier answers in a transfer coding that is not known.'))
      return false
    }
    fields.push('Cache-Status', bypassed)
    this.#answerFields = fields
    // A reason says nothing that its status does not; one that cannot be written is left out.
    const isWritable = reason !== undefined && /^[\t\x20-\x7e]*$/.test(reason)
    this.#pendingHead = { status, reason: isWritable ? reason : STATUS_CODES[status], fields }
    return true
  }

  /** Sends a head that waits, and what content has come with it. */
  flush(): void {
    const head = this.#pendingHead
    if (head === undefined) return
    const hasContent = this.#pendingContent !== undefined
    if (this.#writePending() && !hasContent && isAscii(head.fields)) this.response.flushHeaders()
  }

  /** Passes content on, no faster than the client takes it. */
  write(chunk: Buffer, source: ContentSource): void {
    this.#carriedBytes = this.#collector.note(this.#carriedBytes, chunk.length)
    if (this.#pendingHead !== undefined && this.#pendingContent === undefined) this.#pendingContent = { chunk, source }
    else if (this.#writePending()) this.#writeChunk(chunk, source)
  }

  #writeChunk(chunk: Buffer, source: ContentSource): void {
    if (this.response.write(chunk)) return
    source.pause()
    this.response.once('drain', () => source.resume())
  }

  /** Sees to it that what waits is written, before more is. Says whether the response can go on. */
  #writePending(): boolean {
    if (!this.#writeHead()) return false
    const content = this.#pendingContent
    this.#pendingContent = undefined
    if (content !== undefined) this.#writeChunk(content.chunk, content.source)
    return true
  }

  #writeHead(): boolean {
    const head = this.#pendingHead
    if (head === undefined) return !this.#isOver
    this.#pendingHead = undefined
    try {
      this.response.writeHead(head.status, head.reason, head.fields)
    } catch (cause) {
      this.fail(new Problem('upstream-failed', 'The answer of the web tier cannot be sent on.', { cause }))
      return false
    }
    this.#report(head.status)
    return true
  }

  /** Ends a response whose last byte has come. */
  end(rawTrailers: readonly string[]): void {
    // An answer may come before all of the request has been sent: then there is still something to abort.
    this.#isWhole = this.response.req.complete
    if (!this.#writeHead()) return
    if (rawTrailers.length > 0 && this.response.chunkedEncoding) this.response.addTrailers(trailerFields(rawTrailers))
    this.response.end(this.#pendingContent?.chunk)
    this.#pendingContent = undefined
  }

  /** The answer the client gets instead of the upstream's. One that has begun can only be cut off, so that nobody takes it for whole. */
  fail(problem: Problem, extra: Record<string, string> = {}): void {
    const { response } = this
    this.upstreamRequest?.abort(problem)
    if (this.#isOver) return
    this.#pendingHead = undefined
    this.#pendingContent = undefined
    this.#isOver = true
    if (response.headersSent) return void cutOff(response, hasLength(this.#answerFields))
    this.#report(problem.status, problem)
    const { status, headers, body } = problemReply(problem, { 'Cache-Status': bypassed, ...extra })
    response.writeHead(status, STATUS_CODES[status], headers)
    response.end(body)
  }

  #report(status: number, error?: unknown): void {
    if (this.#isReported) return
    this.#isReported = true
    this.#reportOutcome(this, status, error)
  }
}

function hasLength(fields: readonly string[]): boolean {
  return fields.some((text, i) => i % 2 === 0 && /^content-length$/i.test(text))
}

/**
 * Ends a response in the middle, so that its client sees that it is not whole: what it has got stays, for it says how long it would
 * have been, or that a last chunk is missing. One that says neither ends with a reset, since its end would look like any end.
 */
function cutOff(response: ServerResponse, isSized: boolean): void {
  const { socket } = response
  if (socket === null) return void response.destroy() // it waits behind another: its connection is not its own yet
  const isFramed = isSized || response.chunkedEncoding
  const canReset = !('encrypted' in socket) && socket.remoteAddress !== undefined
  if (isFramed || !canReset) socket.destroySoon()
  else socket.resetAndDestroy()
}

function asObject(fields: readonly string[]): Record<string, string[]> {
  const object: Record<string, string[]> = {}
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] ?? ''
    object[name] = [...(object[name] ?? []), fields[i + 1] ?? '']
  }
  return object
}
