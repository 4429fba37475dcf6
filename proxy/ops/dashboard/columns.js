import { cacheSources, shareOf } from './sources.js'
import { count, number, percent, seconds, span } from './words.js'

/**
 * @import { AnswerSource } from '../../sources.ts'
 * @import { Figures } from '../figures.ts'
 * @import { DescribedRoute, RouteStats } from '../stats.ts'
 * @import { Text } from './words.js'
 */

/**
 * What a row shows: the counts and figures of a route, where there are any, and its settings, where it is configured.
 *
 * @typedef {object} RowData
 * @property {string} name
 * @property {RouteStats | undefined} counts
 * @property {Figures | undefined} now
 * @property {DescribedRoute | undefined} route
 */

/**
 * A column: its head and what that is short for, the value to sort by, and how that is shown (or how the row is).
 * `isAlarm`: more than none of it is to be seen from afar.
 *
 * @typedef {object} Column
 * @property {string} head
 * @property {string} title
 * @property {(row: RowData) => number | null | undefined} value
 * @property {Text} [text]
 * @property {(row: RowData) => string} [rowText]
 * @property {boolean} [isAlarm]
 */

/**
 * The columns of the table of routes, without the name in front.
 *
 * @param {readonly AnswerSource[]} sources
 * @returns {Column[]}
 */
export function columnsOf(sources) {
  return [
    { head: 'Requests', title: 'since the start', value: ({ counts }) => counts?.requests ?? 0, text: count },
    { head: 'Rate', title: 'requests a second', value: ({ now }) => now?.requests, text: number },
    {
      head: 'Errors',
      title: 'answers 500 and above, a second',
      value: ({ now }) => now?.errors,
      text: number,
      isAlarm: true,
    },
    {
      head: 'Shed',
      title: 'refused to stay alive, a second',
      value: ({ now }) => now?.shed,
      text: number,
      isAlarm: true,
    },
    ...sources.filter(({ isHit }) => isHit).map((source) => shareColumn(source, sources)),
    { head: 'p50', title: 'half are faster', value: ({ now }) => now?.p50Seconds, text: seconds },
    { head: 'p99', title: '1 in 100 is slower', value: ({ now }) => now?.p99Seconds, text: seconds },
    ...cacheSources(sources).map(timesColumn),
    { head: 'Age', title: 'of what is served, on average', value: ({ now }) => now?.ageSeconds, text: span },
    {
      head: 'TTL',
      title: 'how long it is fresh',
      value: ({ route }) => route && route.lifetime.fresh / 1000,
      text: span,
    },
    { head: 'SQL', title: 'statements a second', value: ({ now }) => now?.queries, text: number },
    {
      head: 'Collapsed',
      title: 'waited for the fill of another, a second',
      value: ({ now }) => now?.collapsed,
      text: number,
    },
  ]
}

/**
 * @param {AnswerSource} source
 * @param {readonly AnswerSource[]} sources
 * @returns {Column}
 */
function shareColumn(source, sources) {
  return {
    head: source.label,
    title: `share answered from ${source.label}`,
    value: ({ now }) => now && shareOf(now, source, sources),
    text: percent,
  }
}

/**
 * @param {AnswerSource} source
 * @returns {Column}
 */
function timesColumn({ name, label }) {
  return {
    head: `${label} p50 · p99`,
    title: `time of what ${label} answered`,
    value: ({ now }) => now?.sources[name]?.p99Seconds,
    rowText: ({ now }) => {
      const { p50Seconds = null, p99Seconds = null } = now?.sources[name] ?? {}
      return p50Seconds === null ? '–' : `${seconds(p50Seconds)} · ${seconds(p99Seconds)}`
    },
  }
}
