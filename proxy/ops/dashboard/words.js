// Numbers, times and levels as text. Pure; `null`, for nothing measured, is a dash.

/** @import { DegradationLevel } from '../degradation.ts' */

/** @typedef {(value: number | null | undefined) => string} Text */

const none = '–'

/**
 * 0, 0.25, 7.1, 12, 1,234, 12.3k, 4.5M: three significant digits, four below 10k.
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
 * A count with all its digits.
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
  // Never rounded to 100 % or 0 %: either would be a false statement.
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
 * A duration on a human scale: 45 s, 12 min, 3 h, 2 d.
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
 * A moment on the clock of the reader: 14:03:12, with the date in front unless it is on the day of `now`.
 *
 * @param {number} at in milliseconds since 1970, as is `now`
 * @param {number} [now]
 */
export function clockTime(at, now = Date.now()) {
  const [date, today] = [new Date(at), new Date(now)]
  const time = date.toLocaleTimeString('en-GB')
  if (date.toDateString() === today.toDateString()) return time
  return `${date.toLocaleDateString('en-GB', { day: 'numeric', month: 'short', year: 'numeric' })}, ${time}`
}

/**
 * The same moment as log lines have it: 2026-01-31 13:03:12 UTC.
 *
 * @param {number} at
 */
export function utcTime(at) {
  return `${new Date(at).toISOString().slice(0, 19).replace('T', ' ')} UTC`
}

/**
 * The degradation levels in words: a sign of its own shape, the name, and the effect on requests. `none`: no contact.
 *
 * @type {Record<DegradationLevel | 'none', { sign: string, name: string, effect: string }>}
 */
export const levels = {
  healthy: { sign: '●', name: 'Healthy', effect: 'All cache tiers and the database are in use.' },
  'memory-only': {
    sign: '◆',
    name: 'Degraded: memory-only',
    effect: 'Requests are answered from memory and the database.',
  },
  'stale-only': {
    sign: '▲',
    name: 'Degraded: stale-only',
    effect: 'Cached entries are served, stale ones too. Requests without a cached entry fail.',
  },
  shedding: {
    sign: '■',
    name: 'Degraded: shedding',
    effect: 'Some requests are rejected, so that the others are answered in time.',
  },
  none: { sign: '○', name: 'No contact', effect: 'The figures below are the last ones received.' },
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
