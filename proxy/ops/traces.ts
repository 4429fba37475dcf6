// OpenTelemetry tracing, loaded only with traces.url.
import { AsyncLocalStorage } from 'node:async_hooks'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { ROOT_CONTEXT, type Span, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http'
import { detectResources, envDetector, resourceFromAttributes } from '@opentelemetry/resources'
import {
  BatchSpanProcessor,
  ParentBasedSampler,
  type Sampler,
  SamplingDecision,
  type SpanExporter,
  TracerProvider,
} from '@opentelemetry/sdk-trace'
import type { Answer, Read } from '../cache/answer.ts'
import type { Key } from '../cache/key.ts'
import type { MemoryTier } from '../cache/memory.ts'
import type { ReadThrough } from '../cache/read-through.ts'
import type { Tier } from '../cache/tier.ts'
import type { Clock } from '../clock.ts'
import type { Observe } from '../observation.ts'
import { parentOf, setTraceparent } from './trace-context.ts'

/** The most requests a second, among those without a traceparent, that begin a trace. A request with one follows its sampled flag. */
const newTracesASecond = 100
/** Timeout of sending a batch, retries included, in milliseconds. Its timers keep the process alive. */
const sendMs = 3000
/** The longest that the end of the process waits for the last spans to be sent, in milliseconds. */
const closeMs = 2000

/** The spans of a traced request: its own, and that of its wait for another request's fill. */
interface TracedRequest {
  server: Span
  wait?: Span | undefined
}

/**
 * Makes OpenTelemetry spans of each request, its lookups in the tiers, its wait for another request's fill, its fill, and its statement.
 * Loaded only with `traces.url`; no other part of the program knows of it.
 *
 * It wraps the parts that it traces (`cache`, `tier`, `memory`) and listens before the server's handler (`follow`). An AsyncLocalStorage
 * holds the current request. Spans are sent in batches in the background; spans beyond the queue of 2048 are dropped.
 */
export class Traces {
  readonly #provider: TracerProvider
  readonly #clock: Clock
  readonly #current = new AsyncLocalStorage<TracedRequest>()
  readonly #serverSpans = new WeakMap<IncomingMessage, Span>()

  /** `url`: an OTLP/HTTP receiver, without `/v1/traces`. The exporter itself reads its headers from OTEL_EXPORTER_OTLP_HEADERS. */
  constructor(url: string, version: string, clock: Clock, observe: Observe) {
    this.#clock = clock
    const resource = resourceFromAttributes({ 'service.name': 'onramp', 'service.version': version })
    const exporter = new OTLPTraceExporter({ url: `${url.replace(/\/$/, '')}/v1/traces`, timeoutMillis: sendMs })
    this.#provider = new TracerProvider({
      resource: resource.merge(detectResources({ detectors: [envDetector] })),
      sampler: new ParentBasedSampler({ root: firstOfEachSecond(newTracesASecond, clock) }),
      spanProcessors: [
        new BatchSpanProcessor({ exporter: observingOutages(exporter, observe), scheduledDelayMillis: 1000 }),
      ],
    })
  }

  /**
   * Begins a span for every request of `server`, as a child of its `traceparent` if it has one. Then replaces the traceparent by its own,
   * so that the request to the upstream carries it (W3C Trace Context, 3.2).
   */
  follow(server: Server): void {
    const begin = (request: IncomingMessage, response: ServerResponse) => this.#begin(request, response)
    for (const event of ['request', 'checkContinue', 'checkExpectation']) server.prependListener(event, begin)
  }

  /** Runs `run` as work for `request`, whose route has the path `path`. */
  within(request: IncomingMessage, path: string | undefined, run: () => void): void {
    const server = this.#serverSpans.get(request)
    if (server === undefined || !server.isRecording()) return void run()
    if (path !== undefined) server.updateName(`${request.method} ${path}`).setAttribute('http.route', path)
    this.#current.run({ server }, run)
  }

  cache(cache: ReadThrough): Pick<ReadThrough, 'fromMemory' | 'fetch'> {
    const fromMemory = (read: Read) => {
      const answer = cache.fromMemory(read)
      if (answer) describeAnswer(this.#current.getStore()?.server, answer)
      return answer
    }
    const fetch = async (read: Read) => {
      const traced = this.#current.getStore()
      if (traced === undefined) return cache.fetch(read)
      try {
        const answer = await cache.fetch({ ...read, load: (sent) => this.#fill(traced.server, read, sent) })
        describeAnswer(traced.server, answer)
        return answer
      } finally {
        traced.wait?.end()
      }
    }
    return { fromMemory, fetch }
  }

  tier(tier: Tier): Tier {
    return {
      name: tier.name,
      label: tier.label,
      set: (...all) => tier.set(...all),
      get: async (key) => this.#lookUp(tier, key),
    }
  }

  memory(memory: MemoryTier): MemoryTier {
    return {
      name: memory.name,
      label: memory.label,
      maxBytes: memory.maxBytes,
      get: (key) => {
        const span = this.#spanOfCurrent('memory')
        const entry = memory.get(key)
        span?.setAttribute('onramp.found', entry !== undefined).end()
        return entry
      },
      set: (...all) => memory.set(...all),
      peek: (key) => memory.peek(key),
      attach: (...all) => memory.attach(...all),
      list: () => memory.list(),
      get bytes() {
        return memory.bytes
      },
      get entries() {
        return memory.entries
      },
    }
  }

  readonly observe: Observe = (fact) => {
    const traced = fact.kind === 'collapsed' ? this.#current.getStore() : undefined
    if (traced !== undefined) traced.wait ??= this.#child(traced.server, 'wait')
  }

  /** Sends the remaining spans, within `closeMs`. */
  close(): Promise<void> {
    const late = new Promise<void>((resolve) => this.#clock.after(closeMs, resolve))
    return Promise.race([this.#provider.shutdown().catch(() => {}), late]) // a failed export was observed before
  }

  #begin(request: IncomingMessage, response: ServerResponse): void {
    const { method = '', url = '', rawHeaders } = request
    const [path = ''] = url.split('?', 1)
    const attributes = { 'http.request.method': method, 'url.path': path }
    const parent = parentOf(rawHeaders)
    const context = parent === undefined ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, parent)
    const span = this.#tracer.startSpan(method, { kind: SpanKind.SERVER, attributes }, context)
    setTraceparent(rawHeaders, span)
    this.#serverSpans.set(request, span)
    response.once('close', () => {
      if (!response.headersSent) span.setAttribute('error.type', 'client left')
      else span.setAttribute('http.response.status_code', response.statusCode)
      if (response.statusCode >= 500) span.setStatus({ code: SpanStatusCode.ERROR })
      span.end()
    })
  }

  async #lookUp(tier: Tier, key: Key) {
    const span = this.#spanOfCurrent(tier.name)
    try {
      const entry = await tier.get(key)
      span?.setAttribute('onramp.found', entry !== undefined)
      return entry
    } finally {
      span?.end()
    }
  }

  /** The span of the fill begins with the wait for a slot, that of the statement when it is sent. */
  async #fill(server: Span, read: Read, sent: () => void) {
    const fill = this.#child(server, 'fill')
    fill.setAttribute('onramp.route', read.route)
    let statement: Span | undefined
    try {
      return await read.load(() => {
        statement = this.#child(fill, 'sql', SpanKind.CLIENT).setAttribute('db.system.name', 'postgresql')
        sent()
      })
    } catch (error) {
      for (const span of [fill, statement]) span?.setStatus({ code: SpanStatusCode.ERROR })
      throw error
    } finally {
      statement?.end()
      fill.end()
    }
  }

  /** A span within the current request; undefined unless that is traced. */
  #spanOfCurrent(name: string): Span | undefined {
    const traced = this.#current.getStore()
    return traced && this.#child(traced.server, name)
  }

  #child(parent: Span, name: string, kind = SpanKind.INTERNAL): Span {
    return this.#tracer.startSpan(name, { kind }, trace.setSpan(ROOT_CONTEXT, parent))
  }

  get #tracer() {
    return this.#provider.getTracer('onramp')
  }
}

function describeAnswer(span: Span | undefined, { source, state }: Answer): void {
  span?.setAttributes({ 'onramp.source': source, 'onramp.state': state })
}

/** Samples the first `most` of each second. */
function firstOfEachSecond(most: number, clock: Clock): Sampler {
  let begun = Number.NEGATIVE_INFINITY
  let left = 0
  return {
    shouldSample() {
      if (clock.now() - begun >= 1000) [begun, left] = [clock.now(), most]
      left -= 1
      return { decision: left >= 0 ? SamplingDecision.RECORD_AND_SAMPLED : SamplingDecision.NOT_RECORD }
    },
    toString: () => `at most ${most} a second`,
  }
}

/** Wraps `exporter`: the first failure after a success, and the first success after a failure, are observed. */
function observingOutages(exporter: SpanExporter, observe: Observe): SpanExporter {
  let isLost = false
  return {
    export(spans, done) {
      exporter.export(spans, (result) => {
        const { error } = result
        if ((error !== undefined) !== isLost) observe({ kind: 'traces', state: isLost ? 'back' : 'lost', error })
        isLost = error !== undefined
        done(result)
      })
    },
    shutdown: () => exporter.shutdown(),
  }
}
