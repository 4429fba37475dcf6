// The exchange of one passed-on request: its response, or its failure, on the way to the client.
import { type ServerResponse, STATUS_CODES } from 'node:http'
import { Problem } from '../../errors.ts'
import { problemReply } from '../../problem-reply.ts'
import type { RequestHead } from '../head.ts'
import { downstreamFields, isAscii, trailerFields } from './fields.ts'
import type { LargeBodyCollector } from './gc.ts'

/** RFC 9211: a passed-on request bypasses this cache. */
export const bypassed = 'onramp; fwd=bypass; detail=upstream'
/** Not in HTTP, but customary in logs: the client closed the connection before it got a response. */
export const clientClosedRequest = 499
export const clientHasLeft = new Error('the client has left')
/** Maximum number of informational responses: a longer stream of them is an error. */
const maxInterim = 16

/** The part of a request to the upstream that can abort it. */
export interface UpstreamRequest {
  abort(why: Error): void
}

/** The source of the content. */
interface ContentSource {
  pause(): void
  resume(): void
}

/** Called once per request, when its status is known: that of the upstream, or of the error. */
export type ReportOutcome = (exchange: UpstreamExchange, status: number, error?: unknown) => void

/**
 * One passed-on request, from its client's side: the only path by which a response, or a failure, reaches the client.
 *
 * `upstreamRequest` is set by the part that asks the upstream. It is aborted when the client no longer needs an answer.
 */
export class UpstreamExchange {
  readonly response: ServerResponse
  readonly head: RequestHead
  /** Fields to send to the upstream, without those that frame the message. */
  readonly fields: string[]
  upstreamRequest: UpstreamRequest | undefined
  /** The time from which the upstream's response time counts, on the clock. */
  began: number
  readonly #collector: LargeBodyCollector
  readonly #reportOutcome: ReportOutcome
  #isReported = false
  /** The head of the response, not written yet, and the first content received with it. */
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

  /** Whether the client no longer needs a response: it has left, or has the response. */
  get isOver(): boolean {
    return this.#isOver
  }

  /** The client's connection has finished with this request. A request still running in the upstream is aborted. */
  ended(): void {
    // Sent by another part: the content was malformed.
    this.#report(this.response.headersSent ? this.response.statusCode : clientClosedRequest)
    this.#isOver = true
    if (!this.#isWhole) this.upstreamRequest?.abort(clientHasLeft)
  }

  /** The connection has switched protocols: no response will follow. */
  upgraded(): void {
    this.#isOver = true
    this.upstreamRequest = undefined
    this.#report(101)
  }

  /** Passes on an informational response: 102, 103 and others. A 101 that was not requested is an error. */
  inform(status: number, rawHeaders: readonly string[]): void {
    this.#interimCount += 1
    if (status === 101 || this.#interimCount > maxInterim)
      return void this.fail(
        new Problem(
          'upstream-failed',
          'The upstream sent too many informational responses, or a 101 that was not requested.',
        ),
      )
    if (this.head.httpVersion === '1.0' || this.response.headersSent || this.#isOver) return
    const fields = downstreamFields({ status, rawHeaders }, false)
    if (fields !== undefined) this.response.writeInformation(status, asObject(fields))
  }

  /**
   * Begins the response. Returns whether it could: a response that cannot be passed on becomes a 502.
   *
   * The head, and the first content, wait for the end, for more content, or for `flush`. So a response that arrives in
   * one packet is sent in one packet, and one that is broken in its first packet can still become a 502.
   */
  respond(status: number, reason: string | undefined, rawHeaders: readonly string[]): boolean {
    const { head } = this
    if (status < 200) {
      this.fail(new Problem('upstream-failed', 'The upstream switched to a protocol that was not requested.'))
      return false
    }
    const canChunk = head.httpVersion === '1.1' && head.method !== 'HEAD' && status !== 204 && status !== 304
    const fields = downstreamFields({ status, rawHeaders }, canChunk)
    if (fields === undefined) {
      this.fail(new Problem('upstream-failed', 'The upstream responded with an unsupported transfer coding.'))
      return false
    }
    fields.push('Cache-Status', bypassed)
    this.#answerFields = fields
    // A reason phrase adds nothing to the status; one that cannot be written is left out.
    const isWritable = reason !== undefined && /^[\t\x20-\x7e]*$/.test(reason)
    this.#pendingHead = { status, reason: isWritable ? reason : STATUS_CODES[status], fields }
    return true
  }

  /** Sends the waiting head, and the content received with it. */
  flush(): void {
    const head = this.#pendingHead
    if (head === undefined) return
    const hasContent = this.#pendingContent !== undefined
    if (this.#writePending() && !hasContent && isAscii(head.fields)) this.response.flushHeaders()
  }

  /** Passes content on, no faster than the client reads it. */
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

  /** Writes the waiting head and content. Returns whether the response can continue. */
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
      this.fail(
        new Problem('upstream-failed', 'The upstream sent a response head that cannot be passed on.', { cause }),
      )
      return false
    }
    this.#report(head.status)
    return true
  }

  /** Ends a response after its last byte. */
  end(rawTrailers: readonly string[]): void {
    // The response may arrive before the whole request was sent: then there is still something to abort.
    this.#isWhole = this.response.req.complete
    if (!this.#writeHead()) return
    if (rawTrailers.length > 0 && this.response.chunkedEncoding) this.response.addTrailers(trailerFields(rawTrailers))
    this.response.end(this.#pendingContent?.chunk)
    this.#pendingContent = undefined
  }

  /**
   * Sends an error in place of the upstream's response. A response that has begun can only be cut off, so that it is
   * not taken for complete.
   */
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
 * Cuts a response off, so that its client sees that it is incomplete. A Content-Length, or a missing last chunk, shows
 * that. A response with neither is ended by a reset, because a normal close would look like its end.
 */
function cutOff(response: ServerResponse, isSized: boolean): void {
  const { socket } = response
  if (socket === null) return void response.destroy() // it waits behind another response and has no connection yet
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
