// Checks beyond the schema: settings against each other and against files.
import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { resolve } from 'node:path'
import { createSecureContext } from 'node:tls'
import { isLoopback, networks } from '../address.ts'
import { messageOf } from '../errors.ts'
import { suggest } from '../suggest.ts'
import { checkRoutes, parametersOf } from './check-routes.ts'
import { recordAt, type TellFault, valueAt } from './raw.ts'
import { schema } from './schema.ts'

/**
 * Checks settings against each other and against files: SQL against parameters, paths against each other, addresses against tokens.
 *
 * Works on the file as parsed, whether or not it fits the schema, so that all faults are told at once. Paths of files are relative
 * to `folder`. Returns the SQL of each route that has any.
 */
export function crossCheck(raw: unknown, folder: string, tell: TellFault): Map<string, string> {
  checkAdmin(raw, tell)
  checkListen(raw, folder, tell)
  checkUpstream(raw, tell)
  checkTimeouts(raw, tell)
  checkShares(raw, tell)
  checkWarm(raw, tell)
  return checkRoutes(raw, folder, tell)
}

function checkAdmin(raw: unknown, tell: TellFault): void {
  const { host, token } = recordAt(raw, ['admin'])
  if (typeof host === 'string' && !isLoopback(host) && !token)
    tell(['admin', 'host'], 'is not a loopback address: set admin.token, or listen on 127.0.0.1', host)
}

function checkListen(raw: unknown, folder: string, tell: TellFault): void {
  const { cert, key } = recordAt(raw, ['listen', 'tls'])
  if (typeof cert !== 'string' || typeof key !== 'string') return
  try {
    createSecureContext({ cert: readFileSync(resolve(folder, cert)), key: readFileSync(resolve(folder, key)) })
  } catch (error) {
    tell(['listen', 'tls'], `must name a PEM certificate and its private key: ${messageOf(error)}`)
  }
}

function checkUpstream(raw: unknown, tell: TellFault): void {
  const { url, trustedProxies } = recordAt(raw, ['upstream'])
  const at = ['upstream', 'url']
  const isEncrypted = typeof url === 'string' && url.startsWith('https:')
  if (isEncrypted && isIP((URL.parse(url)?.hostname ?? '').replace(/^\[|\]$/g, '')) !== 0)
    tell(at, 'is https, so it needs the name in its certificate instead of an IP address', url)
  if (typeof url === 'string' && !url.startsWith('unix:') && URL.parse(url) === null) tell(at, 'is not an address', url)
  for (const text of Array.isArray(trustedProxies) ? trustedProxies : []) {
    try {
      networks([String(text)])
    } catch (error) {
      tell(['upstream', 'trustedProxies'], messageOf(error))
    }
  }
}

/** Each timeout must be shorter than the next, so that there is time left to answer: soft, statement, request. */
function checkTimeouts(raw: unknown, tell: TellFault): void {
  const { request, postgres } = schema.shape
  const timeouts = [
    { path: ['request', 'softTimeout'], shape: request.unwrap().shape.softTimeout },
    { path: ['postgres', 'statementTimeout'], shape: postgres.unwrap().shape.statementTimeout },
    { path: ['request', 'timeout'], shape: request.unwrap().shape.timeout },
  ].map(({ path, shape }) => ({
    path,
    text: valueAt(raw, path),
    ms: shape.safeParse(valueAt(raw, path)).data ?? Number.NaN,
  }))
  for (const [i, inner] of timeouts.entries()) {
    const outer = timeouts[i + 1]
    if (outer === undefined || !(inner.ms >= outer.ms)) continue
    if (inner.text === undefined)
      tell(outer.path, `must be more than ${inner.path.join('.')}, which is ${inner.ms}ms`, outer.text)
    else tell(inner.path, `must be less than ${outer.path.join('.')}, which is ${outer.ms}ms`, inner.text)
  }
}

/** All reserves together must leave one connection for routes without a reserve. */
function checkShares(raw: unknown, tell: TellFault): void {
  const shape = schema.shape.postgres.unwrap().shape.connections
  const connections = shape.safeParse(valueAt(raw, ['postgres', 'connections'])).data ?? Number.NaN
  const reserves = Object.values(recordAt(raw, ['routes'])).map((route) =>
    Number(valueAt(route, ['share', 'reserve']) ?? 0),
  )
  const reserved = reserves.reduce((sum, reserve) => sum + (reserve || 0), 0)
  if (reserved > 0 && reserved >= connections)
    tell(
      ['postgres', 'connections'],
      `must be more than the sum of all share.reserve, which is ${reserved}`,
      connections,
    )
}

/** Routes and parameters to warm must exist. Whether each value fits is checked when the routes are compiled. */
function checkWarm(raw: unknown, tell: TellFault): void {
  const list = valueAt(raw, ['warm'])
  const routes = recordAt(raw, ['routes'])
  for (const one of Array.isArray(list) ? list : []) {
    const { route = one, params = {} } = recordAt(one, [])
    if (typeof route !== 'string') continue // the schema tells of it
    if (!Object.hasOwn(routes, route)) {
      tell(['warm'], `names the route ${route}, which does not exist${suggest(route, Object.keys(routes))}`, one)
      continue
    }
    const declared = parametersOf(routes[route])
    for (const name of Object.keys(recordAt(params, [])))
      if (!Object.hasOwn(declared, name))
        tell(
          ['warm'],
          `names ${name}, which is not a parameter of ${route}${suggest(name, Object.keys(declared))}`,
          one,
        )
  }
}
