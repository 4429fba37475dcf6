import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'

/** The path of a program: from PATH, else installed from the Debian package `from` where that is possible. */
export function findProgram(name: string, from: string): string {
  const found = onPath(name)
  if (found !== undefined) return found
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  try {
    execFileSync('apt-get', ['update'], { stdio: 'ignore' })
    execFileSync('apt-get', ['install', '-y', '--no-install-recommends', from], { stdio: 'ignore', env })
  } catch (cause) {
    throw new Error(`${name} is needed on PATH; apt-get could not install it.`, { cause })
  }
  const installed = onPath(name)
  if (installed === undefined) throw new Error(`${from} was installed, but ${name} is not on PATH.`)
  return installed
}

function onPath(name: string): string | undefined {
  try {
    return execFileSync('which', [name], { encoding: 'utf8' }).trim()
  } catch {
    return undefined // `which` found nothing
  }
}

/** Below those that the kernel gives to clients and to listeners on port 0: one of these stays free until it is asked for. */
const ports = { first: 10_000, last: 32_000 }
const given = new Set<number>()

/** A port that nobody listens on, and that nobody gets by chance: also after a server on it has ended, until it starts again. */
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
    return false // somebody listens on it
  } finally {
    server.close()
  }
}
