import { spawn } from 'node:child_process'
import { Redis } from 'ioredis'
import { findProgram, freePort } from './programs.ts'
import { newFolder, recorded } from './run-folder.ts'

export interface RedisServer {
  url: string
  port: number
  pid: number
  /** Sends SIGKILL. Resolves when it has ended and its port is free. */
  stop(): Promise<void>
}

/** Starts a new Redis without persistence; `args` are added to its command line. */
export async function startRedis(args: string[] = [], port?: number): Promise<RedisServer> {
  const binary = findProgram('redis-server', 'redis-server')
  const chosen = port ?? (await freePort())
  const usual = ['--port', String(chosen), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no']
  const server = recorded(spawn(binary, [...usual, '--dir', newFolder('redis'), ...args], { stdio: 'ignore' }))
  const ended = new Promise<void>((resolve) => server.once('exit', () => resolve()))
  const url = `redis://127.0.0.1:${chosen}`
  const probe = new Redis(url, { retryStrategy: () => 20, maxRetriesPerRequest: null })
  probe.on('error', () => {}) // it is still starting
  const answer = await Promise.race([probe.ping(), ended])
  probe.disconnect()
  if (answer === undefined || server.pid === undefined)
    throw new Error(`redis-server ended right after its start on port ${chosen}.`)
  return {
    url,
    port: chosen,
    pid: server.pid,
    stop() {
      server.kill('SIGCONT')
      server.kill('SIGKILL')
      return ended
    },
  }
}
