// W3C Trace Context: reads and writes the traceparent field.
import { isSpanContextValid, type Span, type SpanContext } from '@opentelemetry/api'

const traceparent = /^(?!ff)[\da-f]{2}-([\da-f]{32})-([\da-f]{16})-([\da-f]{2})(?:$|-)/

/** The parent span named in `rawHeaders`; undefined if the field is missing, repeated or malformed. */
export function parentOf(rawHeaders: readonly string[]): SpanContext | undefined {
  const isTraceparent = (i: number) => rawHeaders[i]?.toLowerCase() === 'traceparent'
  const [value, second] = rawHeaders.filter((_, i) => i % 2 === 1 && isTraceparent(i - 1))
  if (value === undefined || second !== undefined) return undefined
  const [, traceId = '', spanId = '', flags = ''] = traceparent.exec(value) ?? []
  const context = { traceId, spanId, traceFlags: Number.parseInt(flags, 16) & 1, isRemote: true }
  return isSpanContextValid(context) ? context : undefined
}

/** Replaces every traceparent in `rawHeaders` by one that names `span`. */
export function setTraceparent(rawHeaders: string[], span: Span): void {
  const { traceId, spanId, traceFlags } = span.spanContext()
  for (let i = rawHeaders.length - 2; i >= 0; i -= 2) {
    if (rawHeaders[i]?.toLowerCase() === 'traceparent') rawHeaders.splice(i, 2)
  }
  rawHeaders.push('traceparent', `00-${traceId}-${spanId}-0${traceFlags & 1}`)
}
