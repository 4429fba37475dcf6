// OpenTelemetry spans; loaded only where they are wanted.
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

/** Of requests that belong to no trace yet: how many of a second begin one. Those that belong to one follow what it says. */
const newTracesASecond = 100
/** The most a batch may take, tries again included, in milliseconds: its timers keep the process alive. */
const sendMs = 3000
/** The most the end of the process waits for the last spans to be taken. */
const closeMs = 2000

/** The spans of a request that is traced: its own, and that of its waiting for another's fill. */
interface TracedRequest {
  server: Span
  wait?: Span | undefined
}

/**
 * Makes OpenTelemetry spans: of each request, of looking into the tiers, of waiting for another reader's fill, of a fill and of
 * its statement. Loaded only where `traces.url` is set; nothing else in the program knows of it.
 *
 * It puts itself around what it watches (`cache`, `tier`, `memory`) and before it (`follow`). Which request something is done for, an
 * AsyncLocalStorage knows. Spans are sent in batches in the background; what does not fit into the queue of 2048 is dropped.
 */
export class Traces {
  readonly #provider: TracerProvider
  readonly #clock: Clock
  readonly #current = new AsyncLocalStorage<TracedRequest>()
  readonly #serverSpans = new WeakMap<IncomingMessage, Span>()

  /** `url`: a receiver of OTLP over HTTP, without `/v1/traces`. Its headers are in OTEL_EXPORTER_OTLP_HEADERS, read by the exporter. */
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
   * Begins a span for every request `server` gets, as the child of its `traceparent` if it has one, and puts its own in that place: what
   * is passed on carries it (W3C Trace Context, 3.2).
   */
  follow(server: Server): void {
    const begin = (request: IncomingMessage, response: ServerResponse) => this.#begin(request, response)
    for (const event of ['request', 'checkContinue', 'checkExpectation']) server.prependListener(event, begin)
  }

  /** Runs what is done for `request`, whose route has the path `path`. */
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

  /** Sends what is left, for a moment. */
  close(): Promise<void> {
    const late = new Promise<void>((resolve) => this.#clock.after(closeMs, resolve))
    return Promise.race([this.#provider.shutdown().catch(() => {}), late]) // that it is not taken has been told already
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

  /** The fill begins with the wait for its turn, the statement when it is sent. */
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

  /** A span within the request that something is done for, if that is traced. */
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

/** `exporter`, whose first failure after a success, and first success after a failure, are observed. */
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
