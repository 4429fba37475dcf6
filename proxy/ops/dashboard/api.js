// The requests of the page to the admin listener.

/*
 * Each response is checked and typed in one place. Only the names of its members are checked: page and server are of one build.
 */

/**
 * @import { Purged, PurgeRequest } from '../../coherence/purge.ts'
 * @import { RoutePast } from '../dashboard.ts'
 * @import { PastSteps } from '../history.ts'
 * @import { DescribedRoute, Stats } from '../stats.ts'
 */

/** @typedef {{ purged: Purged } | { needsToken: true } | { problem: string }} PurgeAnswer */

/** @type {readonly (keyof Stats)[]} */
const statsMembers = [
  'degradationLevel',
  'sources',
  'nowSeconds',
  'total',
  'routes',
  'recentEvents',
  'historySteps',
  'advice',
]
/** @type {readonly (keyof PastSteps)[]} */
const pastMembers = ['steps', 'agoSeconds', 'columns']
/** @type {readonly (keyof RoutePast)[]} */
const routePastMembers = [...pastMembers, 'hotKeys', 'slowest']
/** @type {readonly (keyof DescribedRoute)[]} */
const routeMembers = ['name', 'path', 'purgeTags', 'sql']
/** @type {readonly (keyof Purged)[]} */
const purgedMembers = ['tags', 'soft', 'scope', 'reached', 'missed']

/**
 * A message of `events`.
 *
 * @param {string} text
 * @returns {Stats}
 */
export function readStats(text) {
  /** @type {unknown} */
  const stats = JSON.parse(text)
  if (!isStats(stats)) throw new TypeError('A message of events is not of the type Stats.')
  return stats
}

/**
 * The steps since number `since`, of all routes together.
 *
 * @param {number} since
 * @returns {Promise<PastSteps>}
 */
export function fetchPast(since) {
  return fetchJson(`dashboard/history?since=${since}`, isPast)
}

/**
 * @param {string} name
 * @param {number} since
 * @returns {Promise<RoutePast>}
 */
export function fetchRoutePast(name, since) {
  return fetchJson(`dashboard/route?name=${encodeURIComponent(name)}&since=${since}`, isRoutePast)
}

/** @returns {Promise<DescribedRoute[]>} */
export function fetchRoutes() {
  return fetchJson('routes', isRoutes)
}

/**
 * Purges, with `token` unless it is empty. Throws when there is no response.
 *
 * @param {PurgeRequest} request
 * @param {string} token
 * @returns {Promise<PurgeAnswer>}
 */
export async function sendPurge(request, token) {
  const response = await fetch('purge', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', ...(token !== '' && { Authorization: `Bearer ${token}` }) },
    body: JSON.stringify(request),
    signal: AbortSignal.timeout(10_000),
  })
  if (response.status === 401) return { needsToken: true }
  /** @type {unknown} */
  const answer = await response.json()
  if (response.ok && isPurged(answer)) return { purged: answer }
  if (!response.ok && isProblem(answer)) return { problem: answer.detail ?? answer.title }
  throw new TypeError(`purge: ${response.status} with an unexpected body`)
}

/**
 * @template T
 * @param {string} path
 * @param {(answer: unknown) => answer is T} isExpected
 */
async function fetchJson(path, isExpected) {
  const response = await fetch(path, { signal: AbortSignal.timeout(5000) })
  if (!response.ok) throw new Error(`${path}: ${response.status}`)
  /** @type {unknown} */
  const answer = await response.json()
  if (!isExpected(answer)) throw new TypeError(`${path}: unexpected body`)
  return answer
}

/**
 * @param {unknown} value
 * @returns {value is Stats}
 */
function isStats(value) {
  return hasAll(value, statsMembers)
}

/**
 * @param {unknown} value
 * @returns {value is PastSteps}
 */
function isPast(value) {
  return hasAll(value, pastMembers)
}

/**
 * @param {unknown} value
 * @returns {value is RoutePast}
 */
function isRoutePast(value) {
  return hasAll(value, routePastMembers)
}

/**
 * @param {unknown} value
 * @returns {value is DescribedRoute[]}
 */
function isRoutes(value) {
  return Array.isArray(value) && value.every((route) => hasAll(route, routeMembers))
}

/**
 * @param {unknown} value
 * @returns {value is Purged}
 */
function isPurged(value) {
  return hasAll(value, purgedMembers)
}

/**
 * @param {unknown} value
 * @returns {value is { title: string, detail?: string }}
 */
function isProblem(value) {
  return hasAll(value, ['title'])
}

/**
 * @param {unknown} value
 * @param {readonly string[]} members
 */
function hasAll(value, members) {
  return typeof value === 'object' && value !== null && members.every((member) => member in value)
}
