// The address of the upstream, with its timeouts and limits.
import type { BlockList } from 'node:net'
import { networks } from '../../address.ts'
import type { Config } from '../../config/schema.ts'

/** The upstream's address, timeouts and limits. Times in milliseconds. */
export interface UpstreamOptions {
  /** http, https, or `unix:` followed by a path. */
  url: string
  /** Maximum number of requests in flight. */
  maxRequests: number
  connectTimeoutMs: number
  /** From the end of the sent request to the first byte of the response. */
  firstByteTimeoutMs: number
  /** Maximum time without traffic in either direction. */
  idleTimeoutMs: number
  trusted: BlockList
  maxHeaderBytes: number
}

/** The upstream of the configuration; nothing if none is configured. */
export function upstreamOptions({ upstream, limits }: Config): UpstreamOptions | undefined {
  const { url } = upstream
  if (url === undefined) return undefined
  return {
    url,
    maxRequests: upstream.maxRequests,
    connectTimeoutMs: upstream.connectTimeout,
    firstByteTimeoutMs: upstream.firstByteTimeout,
    idleTimeoutMs: limits.idleTimeout,
    trusted: networks(upstream.trustedProxies),
    maxHeaderBytes: limits.maxHeader,
  }
}

/** The upstream's address in the form that the connections need. */
export interface UpstreamAddress {
  /** For pooled connections. */
  origin: string
  connect: { servername?: string; socketPath?: string }
  /** The host name of its certificate, if it has one. */
  name: string
  /** For a dedicated connection; empty if `connect` has the path of a socket. */
  hostAndPort: { host: string; port: string } | Record<string, never>
  /** The Host of an HTTP/1.0 request that has none. */
  host: string
  isEncrypted: boolean
}

export function upstreamAddressOf(url: string): UpstreamAddress {
  if (url.startsWith('unix:')) {
    const socketPath = url.slice('unix:'.length)
    const [origin, name] = ['http://localhost', 'localhost']
    return { origin, connect: { socketPath }, name, hostAndPort: {}, host: name, isEncrypted: false }
  }
  const { protocol, hostname, port, host, origin } = new URL(url)
  const isEncrypted = protocol === 'https:'
  const name = hostname.replace(/^\[|\]$/g, '')
  return {
    origin,
    connect: isEncrypted ? { servername: name } : {},
    name,
    hostAndPort: { host: name, port: port || (isEncrypted ? '443' : '80') },
    host,
    isEncrypted,
  }
}
