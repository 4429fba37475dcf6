import { leastSeconds, optionsOf } from './chart-options.js'
import { element, write } from './dom.js'
import uPlot from './uPlot.js'

/** @import { Text } from './words.js' */

/**
 * One line of a chart: the column it shows, and its color by the name in the style sheet.
 *
 * @typedef {object} SeriesSpec
 * @property {string} key
 * @property {string} label
 * @property {string} color
 * @property {Text} text
 * @property {number[]} [dash]
 * @property {boolean} [isFilled]
 * @property {'right'} [scale]
 */

/**
 * A chart: its series, the text of its axis, and the axis on the right where it has one.
 *
 * @typedef {object} ChartSpec
 * @property {string} id
 * @property {string} title
 * @property {SeriesSpec[]} series
 * @property {Text} axis
 * @property {boolean} [isStacked]
 * @property {boolean} [isLog]
 * @property {number} [least] where the axis ends while nothing is higher
 * @property {number[]} [steps] between the marks of the axis
 * @property {{ text: Text, color: string }} [right]
 */

/** @typedef {(number | null)[]} Values */
/** @typedef {Readonly<Record<string, unknown>>} NowByKey the numbers of now, by the key of their series */
/** @typedef {[at: number[], ...columns: Values[]]} ChartData */

/** One chart: a title, a legend with the numbers of now (or of under the cursor), and the past. */
export class Chart {
  #spec
  #cursorKey
  #body = element('div')
  /** @type {{ series: SeriesSpec, number: HTMLElement }[]} */
  #legend
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
    this.#legend = spec.series.map((series) => ({ series, number: element('b') }))
    const list = element('ul')
    list.append(...this.#legend.map(({ series, number }) => legendItem(series, number)))
    const caption = element('figcaption')
    caption.append(element('h3', spec.title), list)
    this.#body.className = 'plot'
    this.#body.id = `chart-${spec.id}`
    this.#body.setAttribute('aria-hidden', 'true') // what it says now, the legend says in words
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
    // Before there are two points: an empty stretch of time, rather than the year 1970.
    if (at.length < 2) this.#data = [[end - leastSeconds, end], ...series.map(() => [null, null])]
    else this.#data = [at, ...series.map(({ key }) => columns[key] ?? at.map(() => null))]
    if (this.#plot === undefined) this.#make()
    else this.#plot.setData(this.#drawn())
  }

  /**
   * The numbers of now.
   *
   * @param {NowByKey} now
   */
  show(now) {
    this.#now = now
    this.#writeLegend()
  }

  /** The values under the cursor; those of now where it is elsewhere. */
  #writeLegend() {
    const index = this.#plot?.cursor.idx ?? undefined
    const [, ...columns] = this.#data
    for (const [i, { series, number }] of this.#legend.entries()) {
      const value = index === undefined ? this.#now[series.key] : columns[i]?.[index]
      write(number, series.text(typeof value === 'number' ? value : null))
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

/**
 * @param {SeriesSpec} series
 * @param {HTMLElement} number
 */
function legendItem({ label, color, dash }, number) {
  const swatch = element('span')
  swatch.className = `swatch ${color}${dash === undefined ? '' : ' dashed'}`
  const item = element('li')
  item.append(swatch, `${label} `, number)
  return item
}

/**
 * Each column on top of those before it. The last, which is the highest, comes first, so that the others are drawn over it.
 *
 * @param {ChartData} data
 * @returns {ChartData}
 */
function stacked([at, ...columns]) {
  let below = at.map(() => 0)
  // Where there is nothing of one, and nothing beside it, no line of it lies on the others.
  const sums = columns.map((values) => {
    const sum = below.map((height, i) => height + (values[i] ?? 0))
    below = sum
    return sum.map((height, i) => (values[i] || values[i - 1] || values[i + 1] ? height : null))
  })
  return [at, ...sums.reverse()]
}
