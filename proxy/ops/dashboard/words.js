/** Numbers and times as the page shows them. Pure; `null` is a dash, for nothing was there to be measured. */

/** @import { DegradationLevel } from '../degradation.ts' */

/** @typedef {(value: number | null | undefined) => string} Text */

const none = '–'

/**
 * 0, 0.25, 7.1, 12, 1,234, 12.3k, 4.5M: three digits that mean something.
 *
 * @type {Text}
 */
export function number(value) {
  if (value === null || value === undefined) return none
  if (value === 0) return '0'
  const size = Math.abs(value)
  if (size >= 999_950) return `${fixed(value / 1e6)}M`
  if (size >= 9_999.5) return `${fixed(value / 1e3)}k`
  if (size >= 99.95) return Math.round(value).toLocaleString('en-US')
  return fixed(value)
}

/** @param {number} value */
function fixed(value) {
  const size = Math.abs(value)
  if (size >= 99.95) return value.toFixed(0)
  if (size >= 9.995) return value.toFixed(1).replace(/\.0$/, '')
  return value.toFixed(2).replace(/\.?0+$/, '') || '0'
}

/**
 * A count, every digit of it.
 *
 * @type {Text}
 */
export function count(value) {
  return value === null || value === undefined ? none : Math.round(value).toLocaleString('en-US')
}

/** @type {Text} */
export function percent(ratio) {
  if (ratio === null || ratio === undefined) return none
  const value = ratio * 100
  if (value > 0 && value < 0.1) return '<0.1 %'
  // Never rounded to all, or to nothing: that would be another statement.
  if (value < 100 && value > 99.9) return '>99.9 %'
  return `${value >= 99.95 ? '100' : value.toFixed(value < 10 || value > 99 ? 1 : 0).replace(/\.0$/, '')} %`
}

/**
 * A duration that was measured: 85 µs, 4.2 ms, 1.3 s.
 *
 * @type {Text}
 */
export function seconds(value) {
  if (value === null || value === undefined) return none
  if (value < 0.000_999_5) return `${Math.round(value * 1e6)} µs`
  if (value < 0.9995) return `${fixed(value * 1e3)} ms`
  return `${fixed(value)} s`
}

/**
 * A duration that people live through: 45 s, 12 min, 3 h, 2 d.
 *
 * @type {Text}
 */
export function span(value) {
  if (value === null || value === undefined) return none
  if (value < 0.95) return value === 0 ? '0 s' : `${value.toFixed(1)} s`
  if (value < 90) return `${Math.round(value)} s`
  if (value % 86_400 === 0) return `${value / 86_400} d`
  if (value % 3600 === 0) return `${value / 3600} h`
  if (value < 90 * 60) return `${Math.round(value / 60)} min`
  if (value < 36 * 3600) return `${Math.round(value / 3600)} h`
  return `${Math.round(value / 86_400)} d`
}

/** @type {Text} */
export function bytes(value) {
  if (value === null || value === undefined) return none
  if (value < 1024) return `${Math.round(value)} B`
  if (value < 1024 ** 2) return `${fixed(value / 1024)} KiB`
  if (value < 1024 ** 3) return `${fixed(value / 1024 ** 2)} MiB`
  return `${fixed(value / 1024 ** 3)} GiB`
}

/**
 * How things are, by the degradation level: a sign of its own shape, and what that means. `none`: there is no contact.
 *
 * @type {Record<DegradationLevel | 'none', readonly [sign: string, meaning: string]>}
 */
export const levels = {
  healthy: ['●', 'Everything is in use'],
  'memory-only': ['◆', 'Memory and the database go on'],
  'stale-only': ['▲', 'What is held is served'],
  shedding: ['■', 'Some requests are refused, so that the others are answered in time'],
  none: ['○', 'No contact with onramp'],
}

/**
 * Why it is on that level, where there is a reason, and what that means.
 *
 * @param {DegradationLevel | 'none'} level
 * @param {string} [reason]
 */
export function explain(level, reason) {
  const [, meaning] = levels[level]
  if (reason === undefined) return meaning
  const lower = meaning.charAt(0).toLowerCase() + meaning.slice(1)
  return `${reason.charAt(0).toUpperCase()}${reason.slice(1)}; ${lower}`
}

/**
 * The parameters in a key, without the route and the version in front.
 *
 * @param {string} key
 */
export function parametersOf(key) {
  const mark = key.indexOf('?')
  return mark < 0 ? '(no parameters)' : key.slice(mark + 1)
}
