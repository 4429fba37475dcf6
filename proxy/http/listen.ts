// Starts a listener: ports, Unix sockets, stale sockets, and the error message if it cannot listen.
import { statSync, unlinkSync } from 'node:fs'
import type { Server } from 'node:http'
import { connect } from 'node:net'
import { httpAddress, isSocketPath } from '../address.ts'
import { codeOf, messageOf, Refusal } from '../errors.ts'
import { backlog, claim, PublicListener } from './listener.ts'

/** Where to listen, and data for the error message. */
export interface ListenOptions {
  /** A host, or `unix:` followed by the path of a socket. */
  host: string
  /** 0 means any free port. */
  port: number
  /** The environment variable that sets the port. */
  variable: string
  /** Whether several processes serve this port. */
  reusePort: boolean
  /** Whether several sockets of this process may listen on the port, if the system can share it. */
  mayShare: boolean
}

/** The address passed to the system. */
export type ListenAt = { backlog: number } & ({ path: string } | { host: string; port: number; reusePort: boolean })

/** Either of the two listeners. */
interface Listener {
  readonly server: Server
  listen(at: ListenAt): Promise<unknown>
}

/** Makes `listener` listen. Throws a {@link Refusal} with the reason if it cannot. */
export async function listen(listener: Listener, options: ListenOptions): Promise<void> {
  const { host, port, reusePort } = options
  const isSocket = isSocketPath(host)
  const path = host.slice('unix:'.length)
  if (isSocket) await removeStaleSocket(path)
  const isShared = options.mayShare && !isSocket
  try {
    // For port 0 the system finds a free one.
    if (isShared && !reusePort && port !== 0) await claim(host, port)
    const where = isSocket ? { path } : { host, port, reusePort: reusePort || isShared }
    await listener.listen({ ...where, backlog })
    if (isShared && listener instanceof PublicListener) await listener.shareSockets(host)
  } catch (error) {
    throw refusal(error, options)
  }
}

function refusal(error: unknown, { host, port, variable }: ListenOptions): Refusal {
  const isSocket = isSocketPath(host)
  const advice = isSocket
    ? 'Another process serves it; stop that process or choose another path.'
    : `Set ${variable} to another port.`
  const why = {
    EADDRINUSE: `the address is in use. ${advice}`,
    EACCES: `this user lacks the permission. ${isSocket ? '' : advice}`,
    EADDRNOTAVAIL: 'this machine has no such address.',
    ENOENT: 'its folder does not exist.',
  }[codeOf(error) ?? '']
  const where = isSocket ? host : `${host}:${port}`
  return new Refusal(`onramp cannot listen on ${where}: ${(why ?? messageOf(error)).trim()}`, { cause: error })
}

/** Removes the socket of a process that ended without removing it: no process answers on it. */
async function removeStaleSocket(path: string): Promise<void> {
  const there = statSync(path, { throwIfNoEntry: false })
  if (there === undefined) return
  if (!there.isSocket()) throw new Refusal(`onramp cannot listen on unix:${path}: the path exists and is not a socket.`)
  const answers = await new Promise<boolean>((resolve) => {
    const socket = connect(path, () => resolve(true)).on('error', () => resolve(false))
    socket.unref()
    socket.on('connect', () => socket.destroy())
  })
  if (!answers) unlinkSync(path)
}

/** The address of a listener, with `host` as its host; for a Unix socket, its path. */
export function listeningAddress({ server }: Pick<Listener, 'server'>, host: string, scheme?: string): string {
  const address = server.address()
  return typeof address === 'object' && address !== null ? httpAddress(host, address.port, scheme) : host
}
