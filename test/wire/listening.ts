// Servers on a free port of this machine.
import { once } from 'node:events'
import type { Server } from 'node:net'

/** Makes `server` listen, and returns its port. */
export async function listening(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return portOf(server)
}

export function portOf(server: Server): number {
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('This server listens on no port.')
  return address.port
}
