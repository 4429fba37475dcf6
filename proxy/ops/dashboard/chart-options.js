// The uPlot options of a chart. Pure, except that colors and font come from the style sheet.

/**
 * @import uPlot from './uPlot.js'
 * @import { ChartSpec, SeriesSpec } from './chart.js'
 * @import { Text } from './words.js'
 */

/** The shortest time axis: a process that has just started shows this much instead of one point. */
export const leastSeconds = 120

const fontPixels = 11

/**
 * @param {ChartSpec} spec
 * @param {string} cursorKey
 * @param {() => void} cursorMoved
 * @returns {Omit<uPlot.Options, 'width' | 'height'>}
 */
export function optionsOf(spec, cursorKey, cursorMoved) {
  const drawn = spec.series.map((series) => seriesOf(series, spec.isStacked === true))
  return {
    legend: { show: false },
    padding: [8, 24, 0, 0], // on the right: half of a clock time
    cursor: { sync: { key: cursorKey }, drag: { x: false, y: false }, y: false, points: { show: false } },
    hooks: { setCursor: [cursorMoved] },
    series: [{}, ...(spec.isStacked ? drawn.reverse() : drawn)],
    scales: scalesOf(spec),
    axes: axesOf(spec),
  }
}

/**
 * @param {SeriesSpec} series
 * @param {boolean} isStacked
 * @returns {uPlot.Series}
 */
function seriesOf({ color: name, dash, isFilled }, isStacked) {
  return {
    stroke: color(name),
    width: isStacked ? 1 : 1.75,
    ...(dash && { dash }),
    ...((isStacked || isFilled) && { fill: color(name, '-area') }),
    points: { show: !isStacked, size: 5, fill: color(name), filter: isolatedPoints },
  }
}

/**
 * @param {ChartSpec} spec
 * @returns {uPlot.Scales}
 */
function scalesOf({ isLog, least = 1 }) {
  return {
    x: { range: (_plot, from, to) => rangeOf(from, to) },
    y: isLog
      ? { distr: 3, range: (_plot, from, to) => decades(from, to) }
      : { range: (_plot, _from, to) => [0, top(to, least)] },
  }
}

/**
 * @param {ChartSpec} spec
 * @returns {uPlot.Axis[]}
 */
function axesOf({ isLog, axis, steps }) {
  const font = `${fontPixels}px ${getComputedStyle(document.body).fontFamily}`
  const faint = { font, stroke: color('muted'), ticks: { show: false } }
  /** @type {uPlot.Axis} */
  const time = { ...faint, grid: { show: false }, space: 76, gap: 8, size: 26, values: clockTimes }
  /** @type {uPlot.Axis} */
  const left = {
    ...faint,
    grid: { stroke: color('line'), width: 1, ...(isLog && { filter: onlyDecades }) },
    gap: 6,
    size: (_plot, texts) => widthOf(texts ?? [], font) + 8,
    space: 22,
    values: inWords(axis),
    ...(steps && { incrs: steps }),
    ...(isLog && { filter: onlyDecades }),
  }
  return [time, left]
}

/**
 * Pixels that the widest of `texts` takes.
 *
 * @param {string[]} texts
 * @param {string} font
 */
function widthOf(texts, font) {
  const context = document.createElement('canvas').getContext('2d')
  if (context === null) return 60
  context.font = font
  return Math.ceil(Math.max(20, ...texts.map((text) => context.measureText(text).width)))
}

/**
 * @param {Text} text
 * @returns {uPlot.Axis.DynamicValues}
 */
function inWords(text) {
  // uPlot passes null for a mark that a filter removed.
  return (_plot, /** @type {(number | null)[]} */ marks) => marks.map((mark) => (mark === null ? '' : text(mark)))
}

/**
 * The points without a neighbor, which no line would show.
 *
 * @param {uPlot} plot
 * @param {number} index
 */
function isolatedPoints(plot, index) {
  const values = plot.data[index] ?? []
  return [...values.keys()].filter((i) => values[i] != null && values[i - 1] == null && values[i + 1] == null)
}

/**
 * The color `name` of the style sheet, light or dark, as a canvas reads it. A name without a color gets `other`.
 *
 * @param {string} name
 * @param {'' | '-area'} suffix
 */
function color(name, suffix = '') {
  const probe = document.body.appendChild(document.createElement('span'))
  probe.style.color = `var(--${name}${suffix}, var(--other${suffix}))`
  const { color: resolved } = getComputedStyle(probe)
  probe.remove()
  return resolved
}

/**
 * @param {number | null} from
 * @param {number | null} to
 * @returns {[number, number]}
 */
function rangeOf(from, to) {
  const end = to ?? Date.now() / 1000
  return [Math.min(from ?? end, end - leastSeconds), end]
}

/**
 * The end of the axis: a tenth above the highest value, or `least` when there is none.
 *
 * @param {number | null} highest
 * @param {number} least
 */
function top(highest, least) {
  return highest !== null && highest > 0 ? highest * 1.1 : least
}

/**
 * @param {number | null} from
 * @param {number | null} to
 * @returns {[number, number]}
 */
function decades(from, to) {
  const low = from !== null && from > 0 ? from : 0.0001
  return [10 ** Math.floor(Math.log10(low)), 10 ** Math.ceil(Math.log10(Math.max(to ?? 0, low * 10)))]
}

/** @type {uPlot.Axis.Filter} */
function onlyDecades(_plot, marks) {
  return marks.map((mark) => {
    const part = Math.abs(Math.log10(mark) % 1)
    return part < 1e-6 || part > 1 - 1e-6 ? mark : null
  })
}

/** @type {uPlot.Axis.DynamicValues} */
function clockTimes(_plot, marks) {
  const [first = 0, second = 0] = marks
  /** @type {Intl.DateTimeFormatOptions} */
  const options = { hour: '2-digit', minute: '2-digit', ...(second - first < 60 && { second: '2-digit' }) }
  return marks.map((at) => new Date(at * 1000).toLocaleTimeString('en-GB', options))
}
