import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'

/** The path of a program from PATH. If it is missing, installs the Debian package `from`; throws if that fails. */
export function findProgram(name: string, from: string): string {
  const found = onPath(name)
  if (found !== undefined) return found
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  try {
    execFileSync('apt-get', ['update'], { stdio: 'ignore' })
    execFileSync('apt-get', ['install', '-y', '--no-install-recommends', from], { stdio: 'ignore', env })
  } catch (cause) {
    throw new Error(`${name} is not on PATH, and apt-get could not install ${from}. Install it by hand.`, { cause })
  }
  const installed = onPath(name)
  if (installed === undefined) throw new Error(`apt-get installed ${from}, but ${name} is still not on PATH.`)
  return installed
}

function onPath(name: string): string | undefined {
  try {
    return execFileSync('which', [name], { encoding: 'utf8' }).trim()
  } catch {
    return undefined // `which` found nothing
  }
}

/** Below the ephemeral ports, so the kernel gives none of these to clients or to listeners on port 0. */
const ports = { first: 10_000, last: 32_000 }
const given = new Set<number>()

/** A port without a listener. It stays free after a server on it has ended, until that server starts again. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = ports.first + Math.floor(Math.random() * (ports.last - ports.first))
    if (given.has(port) || !(await isFree(port))) continue
    given.add(port)
    return port
  }
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer()
  try {
    await once(server.listen(port, '127.0.0.1'), 'listening')
    return true
  } catch {
    return false // in use
  } finally {
    server.close()
  }
}
