// Addresses: loopback or not, shown without secrets.
import { BlockList, isIP } from 'node:net'

const loopback = new BlockList()
loopback.addSubnet('127.0.0.0', 8)
loopback.addAddress('::1', 'ipv6')

/** Whether `host`, as it is given to `listen`, is reached from this machine only. */
export function isLoopback(host: string): boolean {
  if (isSocketPath(host)) return true
  const version = isIP(host)
  return version === 0 ? host === 'localhost' : loopback.check(host, version === 6 ? 'ipv6' : 'ipv4')
}

/** Whether `host` is the path of a Unix socket, written `unix:/run/onramp.sock`. */
export function isSocketPath(host: string): boolean {
  return host.startsWith('unix:')
}

/** Addresses and networks (`10.0.0.0/8`) as one list. Throws, with the text in question, for what is neither. */
export function networks(texts: readonly string[]): BlockList {
  const list = new BlockList()
  for (const text of texts) {
    const [, address = '', prefix] = /^([^/]*)(?:\/(\d{1,3}))?$/.exec(text) ?? []
    const version = isIP(address)
    const longest = version === 6 ? 128 : 32
    const bits = Number(prefix ?? longest)
    if (version === 0 || bits > longest) throw new Error(`${text} is not an address, nor a network like 10.0.0.0/8`)
    list.addSubnet(address, bits, version === 6 ? 'ipv6' : 'ipv4')
  }
  return list
}

/** Whether `host` stands for every address of this machine. */
export function isWildcard(host: string): boolean {
  return host === '0.0.0.0' || host === '::'
}

/** `http://host:port`, with the brackets an IPv6 address needs. */
export function httpAddress(host: string, port: number, scheme = 'http'): string {
  return `${scheme}://${isIP(host) === 6 ? `[${host}]` : host}:${port}`
}

/** `url` without its password, for people to read. Anything that is not a URL is not shown at all. */
export function withoutSecrets(url: string): string {
  const parsed = URL.parse(url)
  if (parsed === null) return '(not shown)'
  const user = parsed.username === '' ? '' : `${parsed.username}@`
  return `${parsed.protocol}//${user}${parsed.host}${parsed.pathname}`
}
