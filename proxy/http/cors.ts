// CORS response fields, for pages of other origins: pure.
import type { IncomingHttpHeaders } from 'node:http'

export interface Cors {
  /** Whether pages of any other origin may read responses. */
  readonly isOn: boolean
  /** The fields that let the browser of a page of another origin read a response. Pure. */
  fieldsFor(headers: IncomingHttpHeaders): Record<string, string>
}

/**
 * Makes the fields of the Fetch standard ("CORS protocol"); none without `origins`. Credentials are never allowed: no
 * route's answer depends on them. With listed origins every response varies by Origin, also a response without that
 * field.
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

/** `headers` with the fields of `cors`. Existing Vary names are kept. */
export function withCors(headers: Record<string, string>, cors: Record<string, string>): Record<string, string> {
  if (cors === none) return headers
  const vary = [headers.Vary, cors.Vary].filter((names) => names !== undefined).join(', ')
  return { ...headers, ...cors, ...(vary !== '' && { Vary: vary }) }
}

/** Whether a request is a CORS preflight. */
export function isPreflight(method: string, headers: IncomingHttpHeaders): boolean {
  return method === 'OPTIONS' && headers.origin !== undefined && headers['access-control-request-method'] !== undefined
}

/** The response fields of a preflight for a path with `methods`. Browsers cache it for ten minutes. */
export function preflightFields(methods: readonly string[]): Record<string, string> {
  return {
    'Access-Control-Allow-Methods': methods.join(', '),
    'Access-Control-Allow-Headers': 'Content-Type, If-None-Match, Cache-Control',
    'Access-Control-Max-Age': '600',
  }
}
