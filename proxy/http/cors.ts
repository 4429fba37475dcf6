// What pages of other origins may read: pure.
import type { IncomingHttpHeaders } from 'node:http'

export interface Cors {
  /** Whether pages of any other origin may read answers. */
  readonly isOn: boolean
  /** Fields an answer has for a page of another origin, so that its browser lets it read it. Pure. */
  fieldsFor(headers: IncomingHttpHeaders): Record<string, string>
}

/**
 * Makes the fields that the Fetch standard wants ("CORS protocol"): none without `origins`. Nothing is said of credentials: no
 * answer of a route depends on any. With origins named one by one, every answer varies by Origin, also one without it.
 */
export function corsFor(origins: readonly string[]): Cors {
  if (origins.length === 0) return { isOn: false, fieldsFor: () => none }
  const exposed = { 'Access-Control-Expose-Headers': 'Age, Cache-Status, ETag' }
  if (origins.includes('*'))
    return { isOn: true, fieldsFor: () => ({ 'Access-Control-Allow-Origin': '*', ...exposed }) }
  const known = new Set(origins)
  return {
    isOn: true,
    fieldsFor: ({ origin }) =>
      origin !== undefined && known.has(origin)
        ? { 'Access-Control-Allow-Origin': origin, ...exposed, Vary: 'Origin' }
        : { Vary: 'Origin' },
  }
}

const none = {}

/** `headers` with the fields of `cors`: what an answer varies by already, it varies by all the same. */
export function withCors(headers: Record<string, string>, cors: Record<string, string>): Record<string, string> {
  if (cors === none) return headers
  const vary = [headers.Vary, cors.Vary].filter((names) => names !== undefined).join(', ')
  return { ...headers, ...cors, ...(vary !== '' && { Vary: vary }) }
}

/** Whether a request asks, for a page of another origin, what it may ask. */
export function isPreflight(method: string, headers: IncomingHttpHeaders): boolean {
  return method === 'OPTIONS' && headers.origin !== undefined && headers['access-control-request-method'] !== undefined
}

/** What a preflight is told of a path that takes `methods`; browsers keep it for ten minutes. */
export function preflightFields(methods: readonly string[]): Record<string, string> {
  return {
    'Access-Control-Allow-Methods': methods.join(', '),
    'Access-Control-Allow-Headers': 'Content-Type, If-None-Match, Cache-Control',
    'Access-Control-Max-Age': '600',
  }
}
