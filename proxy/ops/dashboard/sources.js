// Figures by source. The server names the sources in `stats.sources`.

/**
 * @import { AnswerSource } from '../../sources.ts'
 * @import { Figures } from '../figures.ts'
 * @import { RouteStats } from '../stats.ts'
 */

/**
 * The number of responses from the source `name`: since the start, or per second now.
 *
 * @param {RouteStats | Figures} figures
 * @param {string} name
 */
export function figureOf(figures, name) {
  const figure = figures[name]
  return typeof figure === 'number' ? figure : 0
}

/**
 * The sources of cached routes: the tiers and the database.
 *
 * @param {readonly AnswerSource[]} sources
 */
export function cacheSources(sources) {
  return sources.filter(({ name, isHit }) => isHit || name === 'origin')
}

/**
 * The share of `source` in the current responses of cached routes; `null` without any.
 *
 * @param {Figures} now
 * @param {AnswerSource} source
 * @param {readonly AnswerSource[]} sources
 */
export function shareOf(now, source, sources) {
  const answered = cacheSources(sources).reduce((sum, { name }) => sum + figureOf(now, name), 0)
  return answered > 0 ? figureOf(now, source.name) / answered : null
}
