// The dashboard: its files, its stream of messages, and the history behind its charts.
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { PassThrough } from 'node:stream'
import { fileURLToPath, pathToFileURL } from 'node:url'
import type { FastifyInstance } from 'fastify'
import type { HotKeys } from '../cache/hot-keys.ts'
import { Problem, quote } from '../errors.ts'
import type { History, PastSteps } from './history.ts'
import type { SlowFill } from './recent-events.ts'
import type { Stats } from './stats.ts'

export interface DashboardDependencies {
  stats(): Stats
  history: History
  isRoute(name: string): boolean
  hotKeys: HotKeys['of']
  slowest(route: string): SlowFill[]
}

/** The history of a route, its hot keys and its slowest fills. */
export interface RoutePast extends PastSteps {
  hotKeys: ReturnType<HotKeys['of']>
  slowest: SlowFill[]
}

/** The files of the page. uPlot is served from its package: the page loads nothing from other hosts. */
const page = new URL('./dashboard/', import.meta.url)
const uplot = new URL('./', pathToFileURL(createRequire(import.meta.url).resolve('uplot')))
const scripts = [
  'page.js',
  'api.js',
  'chart.js',
  'chart-options.js',
  'charts.js',
  'columns.js',
  'dom.js',
  'purge.js',
  'recent-events.js',
  'route.js',
  'sources.js',
  'summary.js',
  'table.js',
  'words.js',
]
const files: Record<string, [file: URL, type: string]> = {
  '/dashboard': [new URL('index.html', page), 'text/html'],
  '/dashboard/dashboard.css': [new URL('dashboard.css', page), 'text/css'],
  ...Object.fromEntries(scripts.map((name) => [`/dashboard/${name}`, [new URL(name, page), 'text/javascript']])),
  '/dashboard/icon.svg': [new URL('icon.svg', page), 'image/svg+xml'],
  '/dashboard/uPlot.js': [new URL('uPlot.esm.js', uplot), 'text/javascript'],
  '/dashboard/uPlot.css': [new URL('uPlot.min.css', uplot), 'text/css'],
}

const headers = {
  'Content-Security-Policy': [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self'",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join('; '),
  'X-Content-Type-Options': 'nosniff',
  'Referrer-Policy': 'no-referrer',
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
}

/** The most bytes that wait for a slow page. Beyond that it misses messages. */
const mostBytesWaiting = 1024 ** 2
const mostStreams = 100

/** Adds the dashboard to the admin listener: its page, its stream of messages and its history. */
export function dashboardRoutes(server: FastifyInstance, parts: DashboardDependencies): void {
  const { history } = parts
  for (const [path, [file, type]] of Object.entries(files)) {
    server.get(path, async (_request, reply) =>
      reply
        .headers(headers)
        .type(`${type}; charset=utf-8`)
        .send(await readFile(fileURLToPath(file))),
    )
  }
  server.get<{ Querystring: { since?: string } }>(
    '/dashboard/history',
    ({ query }): PastSteps => history.read(undefined, sinceOf(query.since)),
  )
  server.get<{ Querystring: { name?: string; since?: string } }>('/dashboard/route', ({ query }): RoutePast => {
    const { name = '' } = query
    if (!parts.isRoute(name))
      throw new Problem('bad-parameters', `There is no route named ${quote(name)}. /routes lists all routes.`)
    const past = history.read(name, sinceOf(query.since))
    return { ...past, hotKeys: parts.hotKeys(name), slowest: parts.slowest(name) }
  })
  eventStream(server, parts)
}

/** `GET /events`: the content of /stats, once a second. Each message is serialized once for all streams. */
function eventStream(server: FastifyInstance, { stats, history }: DashboardDependencies): void {
  const streams = new Set<PassThrough>()
  const message = () => `data: ${JSON.stringify(stats())}\n\n`
  history.listen(() => {
    if (streams.size === 0) return
    const text = message()
    for (const stream of streams) if (stream.writableLength < mostBytesWaiting) stream.write(text)
  })
  server.get('/events', { exposeHeadRoute: false }, (_request, reply) => {
    if (streams.size >= mostStreams)
      throw new Problem('shed', 'Too many dashboard pages are open. Close one, then reload this page.')
    const stream = new PassThrough()
    streams.add(stream)
    stream.once('close', () => streams.delete(stream))
    stream.write(`retry: 1000\n${message()}`)
    // When the listener closes, the streams end, and with them their connections.
    return reply.headers({ 'Content-Type': 'text/event-stream', Connection: 'close' }).send(stream)
  })
  server.addHook('preClose', async () => {
    for (const stream of streams) stream.end()
  })
}

function sinceOf(text = '0'): number {
  if (!/^\d{1,9}$/.test(text))
    throw new Problem(
      'bad-parameters',
      'The parameter since must be the number of a step: a whole number of at most nine digits.',
    )
  return Number(text)
}
