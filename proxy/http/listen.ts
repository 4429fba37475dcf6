// Has a listener begin: ports and sockets, the sockets that others have left, and what to do when it cannot.
import { statSync, unlinkSync } from 'node:fs'
import type { Server } from 'node:http'
import { connect } from 'node:net'
import { httpAddress, isSocketPath } from '../address.ts'
import { codeOf, messageOf, Refusal } from '../errors.ts'
import { backlog, claim, PublicListener } from './listener.ts'

/** Where to listen, and what to say where that cannot be. */
export interface ListenOptions {
  /** A host, or `unix:` and the path of a socket. */
  host: string
  /** 0 is any free one. */
  port: number
  /** The environment variable that sets the port. */
  variable: string
  /** Whether several processes serve this port. */
  reusePort: boolean
  /** Whether several sockets of this process are to listen on the port, where the system can share one. */
  mayShare: boolean
}

/** Where the system is told to listen. */
export type ListenAt = { backlog: number } & ({ path: string } | { host: string; port: number; reusePort: boolean })

/** What can be told to listen: either of the two listeners. */
interface Listener {
  readonly server: Server
  listen(at: ListenAt): Promise<unknown>
}

/** Has `listener` listen. Throws a {@link Refusal} that says why it cannot. */
export async function listen(listener: Listener, options: ListenOptions): Promise<void> {
  const { host, port, reusePort } = options
  const isSocket = isSocketPath(host)
  const path = host.slice('unix:'.length)
  if (isSocket) await removeStaleSocket(path)
  const isShared = options.mayShare && !isSocket
  try {
    // For port 0 the system finds one that nobody has.
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
  const advice = isSocket ? 'Another process serves it.' : `Set ${variable} to another port.`
  const why = {
    EADDRINUSE: `it is in use. ${advice}`,
    EACCES: `this user may not. ${isSocket ? '' : advice}`,
    EADDRNOTAVAIL: 'this machine has no such address.',
    ENOENT: 'its folder is not there.',
  }[codeOf(error) ?? '']
  const where = isSocket ? host : `${host}:${port}`
  return new Refusal(`onramp cannot listen on ${where}: ${(why ?? messageOf(error)).trim()}`, { cause: error })
}

/** Removes the socket a process has left that ended without a chance to: nobody answers on it. */
async function removeStaleSocket(path: string): Promise<void> {
  const there = statSync(path, { throwIfNoEntry: false })
  if (there === undefined) return
  if (!there.isSocket())
    throw new Refusal(`onramp cannot listen on unix:${path}: something is there that is no socket.`)
  const answers = await new Promise<boolean>((resolve) => {
    const socket = connect(path, () => resolve(true)).on('error', () => resolve(false))
    socket.unref()
    socket.on('connect', () => socket.destroy())
  })
  if (!answers) unlinkSync(path)
}

/** The address on which a listener listens, shown as of `host`; a socket's is its path. */
export function listeningAddress({ server }: Pick<Listener, 'server'>, host: string, scheme?: string): string {
  const address = server.address()
  return typeof address === 'object' && address !== null ? httpAddress(host, address.port, scheme) : host
}
