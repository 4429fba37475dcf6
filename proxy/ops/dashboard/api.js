/** What the page asks of the admin listener: each answer is read in one place, and has its type from there on. */

/**
 * @import { Purged, PurgeRequest } from '../../coherence/purge.ts'
 * @import { RoutePast } from '../dashboard.ts'
 * @import { PastSteps } from '../history.ts'
 * @import { DescribedRoute, Stats } from '../stats.ts'
 */

/** @typedef {{ purged: Purged } | { needsToken: true } | { problem: string }} PurgeAnswer */

/**
 * A message of `events`.
 *
 * @param {string} text
 * @returns {Stats}
 */
export function readStats(text) {
  return JSON.parse(text)
}

/**
 * The steps since number `since`, of all routes together.
 *
 * @param {number} since
 * @returns {Promise<PastSteps>}
 */
export function fetchPast(since) {
  return fetchJson(`dashboard/history?since=${since}`)
}

/**
 * @param {string} name
 * @param {number} since
 * @returns {Promise<RoutePast>}
 */
export function fetchRoutePast(name, since) {
  return fetchJson(`dashboard/route?name=${encodeURIComponent(name)}&since=${since}`)
}

/** @returns {Promise<DescribedRoute[]>} */
export function fetchRoutes() {
  return fetchJson('routes')
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
  const answer = await response.json()
  if (response.status === 401) return { needsToken: true }
  return response.ok ? { purged: answer } : { problem: answer.detail ?? answer.title }
}

/** @param {string} path */
async function fetchJson(path) {
  const response = await fetch(path, { signal: AbortSignal.timeout(5000) })
  if (!response.ok) throw new Error(`${path}: ${response.status}`)
  return response.json()
}
