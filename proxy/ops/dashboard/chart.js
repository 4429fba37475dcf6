// One chart: title, legend with numbers, and the plot.
import { leastSeconds, optionsOf } from './chart-options.js'
import { element, write } from './dom.js'
import uPlot from './uPlot.js'
import { clockTime } from './words.js'

/** @import { Text } from './words.js' */

/**
 * One series of a chart: its column, and the name of its color in the style sheet.
 *
 * @typedef {object} SeriesSpec
 * @property {string} key
 * @property {string} label
 * @property {string} color
 * @property {Text} text
 * @property {number[]} [dash]
 * @property {boolean} [isFilled]
 * @property {boolean} [hidesZero] draws no line, and no color in the legend, where the value is 0
 */

/**
 * One number of the legend that is not drawn: it would need an axis of its own.
 *
 * @typedef {object} NumberSpec
 * @property {string} key
 * @property {string} label
 * @property {Text} text
 */

/**
 * A chart: its series on one axis, and numbers beside them in the legend.
 *
 * @typedef {object} ChartSpec
 * @property {string} id
 * @property {string} title
 * @property {SeriesSpec[]} series
 * @property {NumberSpec[]} [numbers]
 * @property {Text} axis
 * @property {boolean} [isStacked]
 * @property {boolean} [isLog]
 * @property {number} [least] the end of the axis while every value is 0
 * @property {number[]} [steps] between the marks of the axis
 */

/** @typedef {(number | null)[]} Values */
/** @typedef {Readonly<Record<string, unknown>>} NowByKey the current numbers, by the key of their series */
/** @typedef {[at: number[], ...columns: Values[]]} ChartData */

/** A chart whose legend shows the current numbers, or those under the cursor. */
export class Chart {
  #spec
  #cursorKey
  #body = element('div')
  /** The time under the cursor. */
  #time = element('small')
  /** @type {{ spec: SeriesSpec | NumberSpec, swatch: HTMLElement | undefined, number: HTMLElement }[]} */
  #legend
  /** @type {Readonly<Record<string, Values>>} */
  #columns = {}
  /** @type {ChartData} */
  #data = [[]]
  /** @type {NowByKey} */
  #now = {}
  /** @type {uPlot | undefined} */
  #plot

  /**
   * @param {HTMLElement} place
   * @param {ChartSpec} spec
   * @param {string} cursorKey of the charts that share a cursor
   */
  constructor(place, spec, cursorKey) {
    this.#spec = spec
    this.#cursorKey = cursorKey
    this.#legend = [
      ...spec.series.map((series) => ({ spec: series, swatch: swatchOf(series), number: element('b') })),
      ...(spec.numbers ?? []).map((number) => ({ spec: number, swatch: undefined, number: element('b') })),
    ]
    const list = element('ul')
    list.append(...this.#legend.map(legendItem))
    const title = element('h3', spec.title)
    title.append(' ', this.#time)
    const caption = element('figcaption')
    caption.append(title, list)
    this.#body.className = 'plot'
    this.#body.id = `chart-${spec.id}`
    this.#body.setAttribute('aria-hidden', 'true') // the legend has the current numbers as text
    const figure = element('figure')
    figure.append(caption, this.#body)
    place.append(figure)
    new ResizeObserver(() => this.#fit()).observe(this.#body)
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.#make())
  }

  /**
   * @param {number[]} at
   * @param {Record<string, Values>} columns
   */
  draw(at, columns) {
    const end = Date.now() / 1000
    const { series } = this.#spec
    this.#columns = columns
    // With fewer than two points uPlot would show the year 1970.
    if (at.length < 2) this.#data = [[end - leastSeconds, end], ...series.map(() => [null, null])]
    else
      this.#data = [
        at,
        ...series.map(({ key, hidesZero }) => {
          const values = columns[key] ?? at.map(() => null)
          return hidesZero ? withoutZeros(values) : values
        }),
      ]
    if (this.#plot === undefined) this.#make()
    else this.#plot.setData(this.#drawn())
  }

  /**
   * The current numbers.
   *
   * @param {NowByKey} now
   */
  show(now) {
    this.#now = now
    this.#writeLegend()
  }

  /** Writes the values under the cursor, or the current ones when the cursor is elsewhere. */
  #writeLegend() {
    const index = this.#plot?.cursor.idx ?? undefined
    const at = index === undefined ? undefined : this.#data[0][index]
    write(this.#time, at === undefined ? '' : `at ${clockTime(at * 1000)}`)
    for (const { spec, swatch, number } of this.#legend) {
      const column = this.#columns[spec.key]
      const value = index === undefined || column === undefined ? this.#now[spec.key] : column[index]
      write(number, spec.text(typeof value === 'number' ? value : null))
      if ('hidesZero' in spec && spec.hidesZero) swatch?.classList.toggle('zero', !value)
    }
  }

  #fit() {
    const { clientWidth: width, clientHeight: height } = this.#body
    if (width === 0 || height === 0) return
    if (this.#plot === undefined) this.#make()
    else this.#plot.setSize({ width, height })
  }

  #make() {
    const { clientWidth: width, clientHeight: height } = this.#body
    if (width === 0 || height === 0) return
    this.#plot?.destroy()
    const options = optionsOf(this.#spec, this.#cursorKey, () => this.#writeLegend())
    this.#plot = new uPlot({ width, height, ...options }, this.#drawn(), this.#body)
  }

  #drawn() {
    return this.#spec.isStacked ? stacked(this.#data) : this.#data
  }
}

/** @param {SeriesSpec} series */
function swatchOf({ color, dash }) {
  const swatch = element('span')
  swatch.className = `swatch ${color}${dash === undefined ? '' : ' dashed'}`
  return swatch
}

/** @param {{ spec: { label: string }, swatch: HTMLElement | undefined, number: HTMLElement }} entry */
function legendItem({ spec, swatch, number }) {
  const item = element('li')
  item.append(...(swatch === undefined ? [] : [swatch]), `${spec.label} `, number)
  return item
}

/**
 * The values with null for every 0 that has a 0 on both sides: nothing of the series is drawn there.
 *
 * @param {Values} values
 * @returns {Values}
 */
function withoutZeros(values) {
  return values.map((value, i) => (value || values[i - 1] || values[i + 1] ? value : null))
}

/**
 * Each column on top of those before it. The last, which is the highest, comes first, so that the others are drawn over it.
 *
 * @param {ChartData} data
 * @returns {ChartData}
 */
function stacked([at, ...columns]) {
  let below = at.map(() => 0)
  const sums = columns.map((values) => {
    const sum = below.map((height, i) => height + (values[i] ?? 0))
    below = sum
    // No line of an empty series may lie on the series below it.
    return withoutZeros(values).map((value, i) => (value === null ? null : (sum[i] ?? null)))
  })
  return [at, ...sums.reverse()]
}
