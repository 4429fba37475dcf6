// Where the upstream is, and the timeouts and limits of asking it.
import type { BlockList } from 'node:net'
import { networks } from '../../address.ts'
import type { Config } from '../../config/schema.ts'

/** Where the upstream is, and how long it is waited for. Times in milliseconds. */
export interface UpstreamOptions {
  /** http, https, or unix: and a path. */
  url: string
  /** The most under way at once. */
  maxRequests: number
  connectTimeoutMs: number
  /** From when the request has been sent to the first byte of its answer. */
  firstByteTimeoutMs: number
  /** The most that nothing moves, in either direction. */
  idleTimeoutMs: number
  trusted: BlockList
  maxHeaderBytes: number
}

/** Where the upstream is, by the configuration; nothing where there is none. */
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

/** Where the upstream is, in the terms of those who connect to it. */
export interface UpstreamAddress {
  /** For the connections kept open. */
  origin: string
  connect: { servername?: string; socketPath?: string }
  /** The name its certificate is for, where it has one. */
  name: string
  /** For a dedicated connection; nothing where `connect` has the path of a socket. */
  hostAndPort: { host: string; port: string } | Record<string, never>
  /** What Host says of a request of HTTP/1.0 that has none. */
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
