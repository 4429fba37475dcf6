/** What the server says by source. Which sources there are, it says too: `stats.sources`. */

/**
 * @import { AnswerSource } from '../../sources.ts'
 * @import { Figures } from '../figures.ts'
 * @import { RouteStats } from '../stats.ts'
 */

/**
 * How many answers came from the source called `name`: since the start, or a second now.
 *
 * @param {RouteStats | Figures} figures
 * @param {string} name
 */
export function figureOf(figures, name) {
  const figure = figures[name]
  return typeof figure === 'number' ? figure : 0
}

/**
 * The sources that the cache answers from: the tiers and the database.
 *
 * @param {readonly AnswerSource[]} sources
 */
export function cacheSources(sources) {
  return sources.filter(({ name, isHit }) => isHit || name === 'origin')
}

/**
 * The share of what the cache answers now that comes from `source`; `null` when it answers nothing.
 *
 * @param {Figures} now
 * @param {AnswerSource} source
 * @param {readonly AnswerSource[]} sources
 */
export function shareOf(now, source, sources) {
  const answered = cacheSources(sources).reduce((sum, { name }) => sum + figureOf(now, name), 0)
  return answered > 0 ? figureOf(now, source.name) / answered : null
}
