// Routes of the admin listener: probes, metrics, stats, entries, purge, reload.
import { createHash, timingSafeEqual } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import { routeOf } from '../cache/key.ts'
import type { MemoryTier } from '../cache/memory.ts'
import type { Purged, PurgeRequest } from '../coherence/purge.ts'
import { Problem, Refusal } from '../errors.ts'
import type { Metrics } from './metrics.ts'
import type { ProcessState } from './process-state.ts'
import type { Readiness } from './readiness.ts'
import type { DescribedRoute, Stats } from './stats.ts'

/** The result of a reload: routes added, changed or removed; `needRestart`: changed sections that take effect at the next start. */
export interface Reloaded {
  changed: string[]
  needRestart: string[]
}

export interface AdminDependencies {
  token: string | undefined
  metrics: Pick<Metrics, 'text' | 'contentType'>
  memory: MemoryTier
  now(): number
  readiness: Pick<Readiness, 'why'>
  state(): ProcessState
  stats(): Stats
  routes(): readonly DescribedRoute[]
  /** Throws `bad-parameters` for a route or parameters that do not exist. */
  purge(request: PurgeRequest): Promise<Purged>
  /** Throws a Refusal that lists every fault of the new configuration. */
  reload(): Promise<Reloaded>
}

const tag = z.string().min(1).max(300)
const soft = z.boolean().default(false)
const purgeBody = z.union([
  z.strictObject({ tags: z.array(tag).min(1).max(1000), soft }),
  z.strictObject({ route: z.string(), params: z.record(z.string(), z.unknown()).optional(), soft }),
  z.strictObject({ all: z.literal(true), soft }),
])

/** Adds the routes of the admin listener to `server`. With a configured token, every POST needs it. */
export function adminRoutes(server: FastifyInstance, parts: AdminDependencies): void {
  server.addHook('onRequest', async (request, reply) => {
    if (request.method !== 'POST') return
    // A page of any site can have a browser POST to the loopback. The browser then names the page's site in Origin.
    const { origin, host } = request.headers
    if (origin !== undefined && URL.parse(origin)?.host !== host) {
      throw new Problem(
        'cross-site',
        'A POST from a page of another site is refused. Send it from the dashboard, or without an Origin header.',
      )
    }
    if (parts.token === undefined) return
    if (isToken(request.headers.authorization, parts.token)) return
    reply.header('WWW-Authenticate', 'Bearer')
    throw new Problem(
      'not-authorized',
      'A POST needs the token of the setting admin.token. Send it as Authorization: Bearer TOKEN.',
    )
  })
  server.addHook('onSend', async (_request, reply) => {
    reply.header('Cache-Control', 'no-store')
  })

  server.get('/live', () => ({ status: 'live' }))
  server.get('/ready', async (_request, reply) => {
    const { why } = parts.readiness
    reply.code(why === undefined ? 200 : 503)
    return {
      status: why === undefined ? 'ready' : 'not ready',
      ...(why !== undefined && { detail: why }),
      ...parts.state(),
    }
  })
  server.get('/metrics', async (_request, reply) =>
    reply.type(parts.metrics.contentType).send(await parts.metrics.text()),
  )
  server.get('/stats', () => parts.stats())
  server.get('/routes', () => parts.routes())
  server.get<{ Querystring: { route?: string; limit?: string } }>('/entries', (request) =>
    entries(parts, request.query),
  )
  purgeRoute(server, parts)
  reloadRoute(server, parts)
}

function purgeRoute(server: FastifyInstance, parts: AdminDependencies): void {
  server.post('/purge', async (request, reply) => {
    const body = purgeBody.safeParse(parseJson(request.body))
    if (!body.success) {
      throw new Problem(
        'bad-body',
        'This is no purge request. Send {"tags":[...]}, {"route":"..."}, {"route":"...","params":{...}} or {"all":true}, with "soft":true for a soft purge.',
      )
    }
    const purged = await parts.purge(body.data)
    if (purged.missed.length === 0) return purged
    reply.code(202)
    return {
      ...purged,
      detail:
        'Redis did not answer, so only this process applied the purge. It publishes the purge when Redis is back, and does not use Redis until then.',
    }
  })
}

function reloadRoute(server: FastifyInstance, parts: AdminDependencies): void {
  server.post('/reload', async (_request, reply) => {
    try {
      return await parts.reload()
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      reply.code(422)
      return {
        title: 'The new configuration is refused; the current one stays in use',
        status: 422,
        errors: error.message.split('\n'),
      }
    }
  })
}

function entries(
  { memory, now, routes }: AdminDependencies,
  { route, limit = '100' }: { route?: string; limit?: string },
): unknown {
  if (!/^[1-9]\d{0,3}$/.test(limit))
    throw new Problem('bad-parameters', 'The parameter limit must be a whole number from 1 to 9999.')
  if (route !== undefined && !routes().some(({ name }) => name === route))
    throw new Problem('bad-parameters', `There is no route named ${JSON.stringify(route)}. /routes lists all routes.`)
  const shown = []
  for (const { key, entry, bytes } of memory.list()) {
    if (route !== undefined && routeOf(key) !== route) continue
    shown.push({
      key,
      ageSeconds: (now() - entry.readAt) / 1000,
      bytes,
      rows: entry.rows,
      tags: entry.tags,
      etag: entry.etag,
      variants: Object.entries(entry.variants ?? {}).flatMap(([encoding, bytes]) => (bytes === null ? [] : encoding)),
    })
    if (shown.length >= Number(limit)) break
  }
  return shown
}

function parseJson(text: unknown): unknown {
  try {
    return JSON.parse(String(text))
  } catch {
    return undefined // the schema then refuses it
  }
}

/** Compares in constant time, whatever the lengths. The scheme is case-insensitive (RFC 9110, 11.1). */
function isToken(authorization: string | undefined, token: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest()
  const given = /^bearer +(.*)$/i.exec(authorization ?? '')?.[1]
  return given !== undefined && timingSafeEqual(digest(given), digest(token))
}
