/**
 * What the page asks of the admin listener: each answer is read in one place, and has its type from there on. Of an answer only its
 * own members are looked at: what they hold comes from the same build as this page.
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
  if (!isStats(stats)) throw new TypeError('A message of events is no statistics.')
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
 * Purges, with `token` where it is not empty. Throws when there is no answer.
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
  throw new TypeError(`purge: ${response.status} with an answer of another kind`)
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
  if (!isExpected(answer)) throw new TypeError(`${path}: an answer of another kind`)
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
