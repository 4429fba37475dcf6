// Where the upstream is, and what can go wrong with it.
import type { BlockList } from 'node:net'
import { networks } from '../../address.ts'
import type { Config } from '../../config/schema.ts'
import { Problem } from '../../errors.ts'

/** Where the web tier is, and how long it is waited for. Times in milliseconds. */
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

/** Where the web tier is, in the words of those who connect to it. */
export interface UpstreamAddress {
  /** For the connections kept open. */
  origin: string
  connect: { servername?: string; socketPath?: string }
  /** The name its certificate is for, where it has one. */
  name: string
  /** For a connection of its own. */
  address: { host: string; port: string } | Record<string, never>
  /** What Host says of a request of HTTP/1.0 that has none. */
  host: string
  isEncrypted: boolean
}

export function upstreamAddressOf(url: string): UpstreamAddress {
  if (url.startsWith('unix:')) {
    const socketPath = url.slice('unix:'.length)
    const [origin, name] = ['http://localhost', 'localhost']
    return { origin, connect: { socketPath }, name, address: {}, host: name, isEncrypted: false }
  }
  const { protocol, hostname, port, host, origin } = new URL(url)
  const isEncrypted = protocol === 'https:'
  const name = hostname.replace(/^\[|\]$/g, '')
  return {
    origin,
    connect: isEncrypted ? { servername: name } : {},
    name,
    address: { host: name, port: port || (isEncrypted ? '443' : '80') },
    host,
    isEncrypted,
  }
}

function codeOf(error: unknown): string | undefined {
  return (error as { code?: string }).code
}

/** Whether the connection was gone, rather than the answer odd. */
export function isConnectionClosed(error: Error): boolean {
  return (
    codeOf(error) === 'ECONNRESET' ||
    codeOf(error) === 'EPIPE' ||
    (codeOf(error) === 'UND_ERR_SOCKET' && /^(other side )?closed$/.test(error.message))
  )
}

/** What went wrong with the web tier, in the words a client gets. */
export function problemOf(error: Error): Problem {
  if (error instanceof Problem) return error
  const isTimeout = /_TIMEOUT$|^ETIMEDOUT$/.test(codeOf(error) ?? '')
  if (isTimeout) return new Problem('upstream-timeout', 'The web tier does not answer in time.', { cause: error })
  return new Problem('upstream-failed', 'The web tier cannot be asked, or its answer not be understood.', {
    cause: error,
  })
}
