// Network addresses: loopback and wildcard checks, networks, URLs shown without secrets.
import { BlockList, isIP } from 'node:net'

const loopback = new BlockList()
loopback.addSubnet('127.0.0.0', 8)
loopback.addAddress('::1', 'ipv6')

/** Whether `host`, a value for `listen`, can be reached from this machine only. */
export function isLoopback(host: string): boolean {
  if (isSocketPath(host)) return true
  const version = isIP(host)
  return version === 0 ? host === 'localhost' : loopback.check(host, version === 6 ? 'ipv6' : 'ipv4')
}

/** Whether `host` is the path of a Unix socket, spelled `unix:/run/onramp.sock`. */
export function isSocketPath(host: string): boolean {
  return host.startsWith('unix:')
}

/** Addresses and networks (`10.0.0.0/8`) as one list. Throws an error that quotes the text if it is neither. */
export function networks(texts: readonly string[]): BlockList {
  const list = new BlockList()
  for (const text of texts) {
    const [, address = '', prefix] = /^([^/]*)(?:\/(\d{1,3}))?$/.exec(text) ?? []
    const version = isIP(address)
    const longest = version === 6 ? 128 : 32
    const bits = Number(prefix ?? longest)
    if (version === 0 || bits > longest)
      throw new Error(`${text} is neither an IP address nor a network such as 10.0.0.0/8`)
    list.addSubnet(address, bits, version === 6 ? 'ipv6' : 'ipv4')
  }
  return list
}

/** Whether `host` means every address of this machine. */
export function isWildcard(host: string): boolean {
  return host === '0.0.0.0' || host === '::'
}

/** `http://host:port`; an IPv6 address is put in brackets. */
export function httpAddress(host: string, port: number, scheme = 'http'): string {
  return `${scheme}://${isIP(host) === 6 ? `[${host}]` : host}:${port}`
}

/** `url` without its password and query, for display. A text that is not a URL is not shown. */
export function withoutSecrets(url: string): string {
  const parsed = URL.parse(url)
  if (parsed === null) return '(not shown)'
  const user = parsed.username === '' ? '' : `${parsed.username}@`
  return `${parsed.protocol}//${user}${parsed.host}${parsed.pathname}`
}
