import type { AddressInfo } from 'node:net'
import { pino } from 'pino'
import { createApp } from '../proxy/app.ts'
import { systemClock } from '../proxy/clock.ts'
import { readConfig } from '../proxy/config/load.ts'
import type { Config } from '../proxy/config/schema.ts'

export interface Running {
  /** Sends a request to the public listener; `path` begins with a slash. */
  get(path: string, headers?: Record<string, string>): Promise<Answered>
  post(path: string, body: unknown, headers?: Record<string, string>): Promise<Answered>
  admin(path: string): Promise<Answered>
  purge(body: unknown): Promise<Answered>
  url: string
  adminUrl: string
  stop(): Promise<void>
}

export interface Answered {
  status: number
  headers: Headers
  cacheStatus: string | null
  text: string
  json(): unknown
}

/**
 * Starts the program in this process, on free ports, with config/onramp.yaml as changed by `change`. It does not follow
 * the database: only the test's own purges invalidate. Its database timeouts are long, for a slow machine.
 */
export async function startApp(
  databaseUrl: string,
  environment: Record<string, string> = {},
  change: (config: Config) => Config = (config) => config,
): Promise<Running> {
  const file = new URL('../config/onramp.yaml', import.meta.url).pathname
  const read = () => {
    const config = readConfig(file, { PORT: '0', ADMIN_PORT: '0', ...environment })
    return change({
      ...config,
      postgres: { ...config.postgres, follow: 'off', statementTimeout: 20_000 },
      request: { ...config.request, timeout: 30_000 },
    })
  }
  const app = await createApp({
    config: read(),
    databaseUrl,
    readConfig: read,
    pino: pino({ level: 'silent' }),
    clock: systemClock,
    random: Math.random,
    version: 'test',
    nodeVersion: process.version,
  })
  await app.public.listen({ host: '127.0.0.1', port: 0 })
  await app.admin.listen({ host: '127.0.0.1', port: 0 })
  const url = `http://127.0.0.1:${(app.public.server.address() as AddressInfo).port}`
  const adminUrl = `http://127.0.0.1:${(app.admin.server.address() as AddressInfo).port}`
  const json = { 'Content-Type': 'application/json' }
  const post = (target: string, body: unknown, headers = {}) =>
    ask(target, { method: 'POST', headers: { ...json, ...headers }, body: JSON.stringify(body) })
  return {
    url,
    adminUrl,
    get: (path, headers = {}) => ask(url + path, { headers: { 'Accept-Encoding': 'identity', ...headers } }),
    post: (path, body, headers) => post(url + path, body, headers),
    admin: (path) => ask(adminUrl + path),
    purge: (body) => post(`${adminUrl}/purge`, body),
    async stop() {
      await Promise.all([app.public.close(), app.admin.close()])
      await app.close()
    },
  }
}

async function ask(url: string, options: RequestInit = {}): Promise<Answered> {
  const response = await fetch(url, options)
  const text = await response.text()
  return {
    status: response.status,
    headers: response.headers,
    cacheStatus: response.headers.get('cache-status'),
    text,
    json: () => JSON.parse(text),
  }
}
