// OpenTelemetry spans; loaded only where they are wanted.
import { AsyncLocalStorage } from 'node:async_hooks'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { isSpanContextValid, ROOT_CONTEXT, type Span, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api'
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
import type { Read } from '../cache/answer.ts'
import type { MemoryTier } from '../cache/memory.ts'
import type { ReadThrough } from '../cache/read-through.ts'
import type { Tier } from '../cache/tier.ts'
import type { Clock } from '../clock.ts'
import type { Observe } from '../observation.ts'

/** Of requests that belong to no trace yet: how many of a second begin one. Those that belong to one follow what it says. */
const newTracesASecond = 100
/** The most a batch may take, tries again included, in milliseconds: its timers keep the process alive. */
const sendMs = 3000
/** The most the end of the process waits for the last spans to be taken. */
const closeMs = 2000

/** A request that is traced, and the span of its waiting for another's fill. */
interface Traced {
  edge: Span
  wait?: Span | undefined
}

/**
 * Makes OpenTelemetry spans: of each request (the edge), of looking into the tiers, of waiting for another reader's fill, of a fill and of
 * its statement. Loaded only where `traces.url` is set; nothing else in the program knows of it.
 *
 * It puts itself around what it watches (`cache`, `tier`, `memory`) and before it (`follow`). Which request something is done for, an
 * AsyncLocalStorage knows. Spans are sent in batches behind everybody's back; what does not fit into the queue of 2048 is dropped.
 */
export class Traces {
  readonly #provider: TracerProvider
  readonly #clock: Clock
  readonly #current = new AsyncLocalStorage<Traced>()
  readonly #edges = new WeakMap<IncomingMessage, Span>()

  /** `url`: a receiver of OTLP over HTTP, without `/v1/traces`. Its headers are in OTEL_EXPORTER_OTLP_HEADERS, read by the exporter. */
  constructor(url: string, version: string, clock: Clock, observe: Observe) {
    this.#clock = clock
    const ours = resourceFromAttributes({ 'service.name': 'onramp', 'service.version': version })
    const exporter = new OTLPTraceExporter({ url: `${url.replace(/\/$/, '')}/v1/traces`, timeoutMillis: sendMs })
    this.#provider = new TracerProvider({
      resource: ours.merge(detectResources({ detectors: [envDetector] })),
      sampler: new ParentBasedSampler({ root: atMost(newTracesASecond, clock) }),
      spanProcessors: [
        new BatchSpanProcessor({ exporter: observedExporter(exporter, observe), scheduledDelayMillis: 1000 }),
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
    const edge = this.#edges.get(request)
    if (edge === undefined || !edge.isRecording()) return void run()
    if (path !== undefined) edge.updateName(`${request.method} ${path}`).setAttribute('http.route', path)
    this.#current.run({ edge }, run)
  }

  cache(cache: ReadThrough): Pick<ReadThrough, 'fromMemory' | 'fetch'> {
    const fromMemory = (read: Read) => {
      const answer = cache.fromMemory(read)
      const { source, state } = answer ?? {}
      if (answer) this.#current.getStore()?.edge.setAttributes({ 'onramp.source': source, 'onramp.state': state })
      return answer
    }
    const fetch = async (read: Read) => {
      const traced = this.#current.getStore()
      if (traced === undefined) return cache.fetch(read)
      try {
        const answer = await cache.fetch({ ...read, load: (sent) => this.#fill(traced.edge, read, sent) })
        traced.edge.setAttributes({ 'onramp.source': answer.source, 'onramp.state': answer.state })
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
      get: async (key) => this.#look(tier, () => tier.get(key)),
    }
  }

  memory(memory: MemoryTier): MemoryTier {
    const get: MemoryTier['get'] = (key) => {
      const span = this.#child(this.#current.getStore()?.edge, 'memory')
      const entry = memory.get(key)
      span?.setAttribute('onramp.found', entry !== undefined).end()
      return entry
    }
    return Object.assign(Object.create(memory), { get }) // the rest of it, getters too, as it is
  }

  readonly observe: Observe = (fact) => {
    const traced = fact.kind === 'collapsed' ? this.#current.getStore() : undefined
    if (traced !== undefined) traced.wait ??= this.#child(traced.edge, 'wait')
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
    const edge = this.#tracer.startSpan(method, { kind: SpanKind.SERVER, attributes }, context)
    setTraceparent(rawHeaders, edge)
    this.#edges.set(request, edge)
    response.once('close', () => {
      if (!response.headersSent) edge.setAttribute('error.type', 'client left')
      else edge.setAttribute('http.response.status_code', response.statusCode)
      if (response.statusCode >= 500) edge.setStatus({ code: SpanStatusCode.ERROR })
      edge.end()
    })
  }

  async #look(tier: Tier, get: () => ReturnType<Tier['get']>) {
    const span = this.#child(this.#current.getStore()?.edge, tier.name)
    try {
      const entry = await get()
      span?.setAttribute('onramp.found', entry !== undefined)
      return entry
    } finally {
      span?.end()
    }
  }

  /** The fill begins with the wait for its turn, the statement when it is sent. */
  async #fill(edge: Span, read: Read, sent: () => void) {
    const fill = this.#child(edge, 'fill')
    fill?.setAttribute('onramp.route', read.route)
    let statement: Span | undefined
    try {
      return await read.load(() => {
        statement = this.#child(fill, 'sql', SpanKind.CLIENT)?.setAttribute('db.system.name', 'postgresql')
        sent()
      })
    } catch (error) {
      for (const span of [fill, statement]) span?.setStatus({ code: SpanStatusCode.ERROR })
      throw error
    } finally {
      statement?.end()
      fill?.end()
    }
  }

  #child(parent: Span | undefined, name: string, kind = SpanKind.INTERNAL): Span | undefined {
    return parent && this.#tracer.startSpan(name, { kind }, trace.setSpan(ROOT_CONTEXT, parent))
  }

  get #tracer() {
    return this.#provider.getTracer('onramp')
  }
}

const traceparent = /^(?!ff)[\da-f]{2}-([\da-f]{32})-([\da-f]{16})-([\da-f]{2})(?:$|-)/

/** What `rawHeaders` say of the trace a request belongs to; nothing, if they say it twice or not as it should be. */
function parentOf(rawHeaders: readonly string[]) {
  const given = rawHeaders.filter((_, i) => i % 2 === 1 && rawHeaders[i - 1]?.toLowerCase() === 'traceparent')
  const [only = '', ...others] = given
  const [, traceId = '', spanId = '', flags = ''] = (others.length === 0 && traceparent.exec(only)) || []
  const context = { traceId, spanId, traceFlags: Number.parseInt(flags, 16) & 1, isRemote: true }
  return isSpanContextValid(context) ? context : undefined
}

/** Has `rawHeaders` say that `span` is the parent, and nothing else. */
function setTraceparent(rawHeaders: string[], span: Span): void {
  const { traceId, spanId, traceFlags } = span.spanContext()
  for (let i = rawHeaders.length - 2; i >= 0; i -= 2) {
    if (rawHeaders[i]?.toLowerCase() === 'traceparent') rawHeaders.splice(i, 2)
  }
  rawHeaders.push('traceparent', `00-${traceId}-${spanId}-0${traceFlags & 1}`)
}

/** Samples the first `most` of each second. */
function atMost(most: number, clock: Clock): Sampler {
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

/** `exporter`, whose first failure after a success, and first success after a failure, are told. */
function observedExporter(exporter: SpanExporter, observe: Observe): SpanExporter {
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
