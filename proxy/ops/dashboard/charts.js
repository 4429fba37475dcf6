// The charts of the page and of the route dialog, and the data behind them.
import { Chart } from './chart.js'
import { leastSeconds } from './chart-options.js'
import { bytes, number, seconds, span } from './words.js'

/**
 * @import { AnswerSource } from '../../sources.ts'
 * @import { PastSteps } from '../history.ts'
 * @import { Stats } from '../stats.ts'
 * @import { ChartSpec, NowByKey, Values } from './chart.js'
 */

/** As many as the server keeps: an hour in steps of five seconds. */
const mostSteps = 720

/**
 * The charts that both the page and the route dialog have.
 *
 * @param {readonly AnswerSource[]} sources
 * @returns {ChartSpec[]}
 */
function commonSpecs(sources) {
  const bySource = sources.map(({ name, label }) => ({
    key: name,
    label: name === 'none' ? 'Failed or no route' : label,
    color: name,
    text: number,
  }))
  return [
    { id: 'requests', title: 'Requests/s by source', series: bySource, isStacked: true, axis: number },
    {
      id: 'latency',
      title: 'Response time',
      series: [
        { key: 'p50Seconds', label: 'p50', color: 'upstream', text: seconds },
        { key: 'p99Seconds', label: 'p99', color: 'other', text: seconds, dash: [6, 3] },
      ],
      isLog: true,
      axis: seconds,
    },
    {
      id: 'failures',
      title: 'Failed and shed requests/s',
      series: [
        { key: 'errors', label: 'failed (5xx)', color: 'bad', text: number, hidesZero: true },
        {
          key: 'shed',
          label: 'shed (503 or older answer)',
          color: 'warn',
          text: number,
          dash: [6, 3],
          hidesZero: true,
        },
      ],
      axis: number,
    },
  ]
}

/** Between the marks of an axis that counts: no halves. */
const wholeSteps = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000]
/** Between the marks of an axis of bytes: powers of two. */
const byteSteps = Array.from({ length: 30 }, (_, i) => 1024 * 2 ** i)

/** @type {ChartSpec[]} */
const totalSpecs = [
  {
    id: 'sql',
    title: 'SQL statements/s',
    series: [
      { key: 'queries', label: 'sent', color: 'origin', text: number, isFilled: true },
      { key: 'queriesSaved', label: 'saved', color: 'memory', text: number, dash: [6, 3] },
    ],
    axis: number,
  },
  {
    id: 'connections',
    title: 'Database connections',
    series: [
      { key: 'poolActive', label: 'active', color: 'origin', text: number, isFilled: true },
      { key: 'poolWaiting', label: 'statements waiting', color: 'other', text: number, dash: [6, 3] },
    ],
    axis: number,
    steps: wholeSteps,
  },
  {
    id: 'memory',
    title: 'Memory tier',
    series: [{ key: 'memoryBytes', label: 'used', color: 'memory', text: bytes, isFilled: true }],
    numbers: [
      { key: 'memoryLimit', label: 'limit', text: bytes },
      { key: 'evictions', label: 'evictions/s', text: number },
    ],
    axis: bytes,
    least: 1024 ** 2,
    steps: byteSteps,
  },
  {
    id: 'lag',
    title: 'Invalidation lag (p99)',
    series: [{ key: 'lagSeconds', label: 'lag of invalidations published here', color: 'other', text: seconds }],
    numbers: [{ key: 'invalidations', label: 'events/s', text: number }],
    axis: seconds,
    least: 0.01,
  },
]

/** Charts with the same time axis and one cursor. */
class Charts {
  #charts
  #steps = 0
  /** @type {number[]} */
  #at = []
  /** @type {Record<string, Values>} */
  #columns = {}

  /**
   * @param {HTMLElement} place
   * @param {ChartSpec[]} specs
   * @param {string} cursorKey
   */
  constructor(place, specs, cursorKey) {
    this.#charts = specs.map((spec) => new Chart(place, spec, cursorKey))
    this.clear()
  }

  /** The number of the first step that is still to be fetched. */
  get steps() {
    return this.#steps
  }

  /** Seconds from the first step to the last. */
  get spanSeconds() {
    const [first = 0] = this.#at
    return (this.#at.at(-1) ?? first) - first
  }

  /**
   * The latest value of a column.
   *
   * @param {string} column
   */
  last(column) {
    return this.#columns[column]?.at(-1) ?? null
  }

  clear() {
    this.#steps = 0
    this.#at = []
    this.#columns = {}
    for (const chart of this.#charts) chart.draw([], {})
  }

  /**
   * Adds the steps since number `since`. Drops steps that were fetched before the charts were cleared, or that are there already.
   *
   * @param {number} since
   * @param {PastSteps} past
   */
  add(since, { steps, agoSeconds, columns }) {
    if (since !== this.#steps) return
    const now = Date.now() / 1000
    this.#steps = steps
    this.#at = [...this.#at, ...agoSeconds.map((ago) => now - ago)].slice(-mostSteps)
    for (const [name, values] of Object.entries(columns)) {
      this.#columns[name] = [...(this.#columns[name] ?? []), ...values].slice(-mostSteps)
    }
    for (const chart of this.#charts) chart.draw(this.#at, this.#columns)
  }

  /**
   * Shows the current numbers in the legends.
   *
   * @param {NowByKey} now
   */
  show(now) {
    for (const chart of this.#charts) chart.show(now)
  }
}

/** The charts of all routes together. */
export class TotalCharts extends Charts {
  /**
   * @param {HTMLElement} place
   * @param {readonly AnswerSource[]} sources
   */
  constructor(place, sources) {
    super(place, [...commonSpecs(sources), ...totalSpecs], 'total')
  }

  get title() {
    const shown = this.spanSeconds
    return shown > 3500 ? 'The last hour' : `The last ${span(Math.max(shown, leastSeconds))}`
  }

  /** @param {Stats} stats */
  showStats({ total, memory, postgres }) {
    this.show({
      ...total.now,
      poolActive: postgres.total - postgres.idle,
      poolWaiting: postgres.waiting,
      memoryBytes: memory.bytes,
      memoryLimit: memory.maxBytes,
      evictions: this.last('evictions'),
      invalidations: this.last('invalidations'),
      lagSeconds: this.last('lagSeconds'),
    })
  }
}

/** The charts of one route. */
export class RouteCharts extends Charts {
  /**
   * @param {HTMLElement} place
   * @param {readonly AnswerSource[]} sources
   */
  constructor(place, sources) {
    const specs = commonSpecs(sources).map((spec) => ({ ...spec, id: `route-${spec.id}` }))
    super(place, specs, 'route')
  }
}
