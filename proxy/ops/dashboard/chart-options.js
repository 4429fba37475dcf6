/** How a chart is drawn, as uPlot has it: pure, but for the colors and the font of the style sheet. */

/**
 * @import uPlot from './uPlot.js'
 * @import { ChartSpec, SeriesSpec } from './chart.js'
 * @import { Text } from './words.js'
 */

/** A page that has just begun shows this much, rather than one point. */
export const leastSeconds = 120

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
    padding: [8, spec.right ? 0 : 12, 0, 0],
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
function seriesOf({ color: name, dash, isFilled, scale }, isStacked) {
  return {
    scale: scale ?? 'y',
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
    right: { range: (_plot, _from, to) => [0, top(to, 1)] },
  }
}

/**
 * @param {ChartSpec} spec
 * @returns {uPlot.Axis[]}
 */
function axesOf({ isLog, axis, steps, right }) {
  const font = `11px ${getComputedStyle(document.body).fontFamily}`
  const faint = { font, stroke: color('muted'), ticks: { show: false } }
  /** @type {uPlot.Axis} */
  const time = { ...faint, grid: { show: false }, space: 48, size: 24, values: clockTimes }
  /** @type {uPlot.Axis} */
  const left = {
    ...faint,
    grid: { stroke: color('line'), width: 1, ...(isLog && { filter: onlyDecades }) },
    size: 62,
    space: 32,
    values: inWords(axis),
    ...(steps && { incrs: steps }),
    ...(isLog && { filter: onlyDecades }),
  }
  if (right === undefined) return [time, left]
  return [
    time,
    left,
    {
      ...faint,
      scale: 'right',
      side: 1,
      grid: { show: false },
      size: 44,
      space: 32,
      values: inWords(right.text),
      stroke: color(right.color),
    },
  ]
}

/**
 * @param {Text} text
 * @returns {uPlot.Axis.DynamicValues}
 */
function inWords(text) {
  // uPlot puts null where a filter has left out a mark.
  return (_plot, /** @type {(number | null)[]} */ marks) => marks.map((mark) => (mark === null ? '' : text(mark)))
}

/**
 * Points that no line leads to or from.
 *
 * @param {uPlot} plot
 * @param {number} index
 */
function isolatedPoints(plot, index) {
  const values = plot.data[index] ?? []
  return [...values.keys()].filter((i) => values[i] != null && values[i - 1] == null && values[i + 1] == null)
}

/**
 * The color `name` of the style sheet, by day or by night, in words that a canvas knows. A name without one gets `other`.
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
 * Room above the highest; something to see where there is nothing.
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
