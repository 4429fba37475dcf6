/** Where answers come from: every chart, column and sentence about that is made from this list. */

/**
 * @import { Figures } from '../figures.ts'
 * @import { ShownSource, Stats } from '../stats.ts'
 */

/**
 * The sources that the server names, in the order in which they are asked.
 *
 * @param {Stats} stats
 * @returns {readonly ShownSource[]}
 */
export function sourcesOf(stats) {
  return stats.sources
}

/**
 * The share of what the cache answers now that comes from `source`; `null` when it answers nothing.
 *
 * @param {Figures} now
 * @param {ShownSource} source
 * @param {readonly ShownSource[]} sources
 */
export function shareOf(now, source, sources) {
  const answered = sources.reduce((sum, { name }) => sum + now[name], 0)
  return answered > 0 ? now[source.name] / answered : null
}
