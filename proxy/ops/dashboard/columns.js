// The columns of the table of routes.
import { cacheSources, shareOf } from './sources.js'
import { count, number, percent, seconds, span } from './words.js'

/**
 * @import { AnswerSource } from '../../sources.ts'
 * @import { Figures } from '../figures.ts'
 * @import { DescribedRoute, RouteStats } from '../stats.ts'
 * @import { Text } from './words.js'
 */

/**
 * The data of a row: the counts and figures of a route, if it has any, and its settings, if it is configured.
 *
 * @typedef {object} RowData
 * @property {string} name
 * @property {RouteStats | undefined} counts
 * @property {Figures | undefined} now
 * @property {DescribedRoute | undefined} route
 */

/**
 * A column: its head, the explanation of the head, the value to sort by, and its text. `tone`: the class of a cell whose value
 * is not 0. `alarm` is red and only for failed requests.
 *
 * @typedef {object} Column
 * @property {string} head
 * @property {string} title
 * @property {(row: RowData) => number | null | undefined} value
 * @property {Text} text
 * @property {'alarm' | 'warning'} [tone]
 */

/**
 * The columns of the table of routes, except its name.
 *
 * @param {readonly AnswerSource[]} sources
 * @returns {Column[]}
 */
export function columnsOf(sources) {
  return [
    { head: 'Requests', title: 'Requests since the start', value: ({ counts }) => counts?.requests ?? 0, text: count },
    { head: 'Req/s', title: 'Requests per second', value: ({ now }) => now?.requests, text: number },
    {
      head: 'Failed/s',
      title: 'Responses with status 500 or above, per second',
      value: ({ now }) => now?.errors,
      text: number,
      tone: 'alarm',
    },
    {
      head: 'Shed/s',
      title: 'Rejected to protect the service, per second; a cached entry may have been served instead',
      value: ({ now }) => now?.shed,
      text: number,
      tone: 'warning',
    },
    ...sources.filter(({ isHit }) => isHit).map((source) => shareColumn(source, sources)),
    { head: 'p50', title: 'Median response time', value: ({ now }) => now?.p50Seconds, text: seconds },
    {
      head: 'p99',
      title: 'Response time that 1 request in 100 exceeds',
      value: ({ now }) => now?.p99Seconds,
      text: seconds,
    },
    ...cacheSources(sources).map(timeColumn),
    { head: 'Age', title: 'Average age of the served entries', value: ({ now }) => now?.ageSeconds, text: span },
    {
      head: 'TTL',
      title: 'Time for which an entry is fresh',
      value: ({ route }) => route && route.lifetime.fresh / 1000,
      text: span,
    },
    {
      head: 'SQL/s',
      title: 'Statements sent to the database, per second',
      value: ({ now }) => now?.queries,
      text: number,
    },
    {
      head: 'Collapsed/s',
      title: 'Requests that waited for the fill of another request, per second',
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
    head: `${source.label} hits`,
    title: `Share of responses from ${source.label}`,
    value: ({ now }) => now && shareOf(now, source, sources),
    text: percent,
  }
}

/**
 * @param {AnswerSource} source
 * @returns {Column}
 */
function timeColumn({ name, label }) {
  return {
    head: `${label} p99`,
    title: `Response time that 1 response in 100 from ${label} exceeds`,
    value: ({ now }) => now?.sources[name]?.p99Seconds,
    text: seconds,
  }
}
