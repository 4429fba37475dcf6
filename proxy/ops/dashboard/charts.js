import { Chart } from './chart.js'
import { leastSeconds } from './chart-options.js'
import { bytes, number, seconds, span } from './words.js'

/**
 * @import { AnswerSource } from '../../sources.ts'
 * @import { PastSteps } from '../history.ts'
 * @import { Stats } from '../stats.ts'
 * @import { ChartSpec, NowByKey, Values } from './chart.js'
 */

/** As the server keeps them: an hour in steps of five seconds. */
const mostSteps = 720

/**
 * The charts that a route and the whole have.
 *
 * @param {readonly AnswerSource[]} sources
 * @returns {ChartSpec[]}
 */
function commonSpecs(sources) {
  const bySource = sources.map(({ name, label }) => ({ key: name, label, color: name, text: number }))
  return [
    { id: 'requests', title: 'Requests/s by source', series: bySource, isStacked: true, axis: number },
    {
      id: 'latency',
      title: 'Response time',
      series: [
        { key: 'p50Seconds', label: 'p50', color: 'memory', text: seconds },
        { key: 'p99Seconds', label: 'p99', color: 'origin', text: seconds, dash: [6, 3] },
      ],
      isLog: true,
      axis: seconds,
    },
  ]
}

/** @type {ChartSpec[]} */
const totalSpecs = [
  {
    id: 'sql',
    title: 'SQL and connections',
    series: [
      { key: 'queries', label: 'sent/s', color: 'origin', text: number, isFilled: true },
      { key: 'poolActive', label: 'active', color: 'redis', text: number, scale: 'right' },
      { key: 'poolWaiting', label: 'waiting', color: 'bad', text: number, scale: 'right', dash: [2, 3] },
    ],
    axis: number,
    right: { text: number, color: 'redis' },
  },
  {
    id: 'memory',
    title: 'Memory',
    series: [
      { key: 'memoryBytes', label: 'held', color: 'memory', text: bytes, isFilled: true },
      { key: 'evictions', label: 'evictions/s', color: 'bad', text: number, scale: 'right', dash: [2, 3] },
    ],
    axis: bytes,
    least: 1024 ** 2,
    steps: Array.from({ length: 30 }, (_, i) => 1024 * 2 ** i),
    right: { text: number, color: 'bad' },
  },
  {
    id: 'lag',
    title: 'Invalidation',
    series: [
      { key: 'lagSeconds', label: 'lag', color: 'redis', text: seconds },
      { key: 'invalidations', label: 'invalidations/s', color: 'upstream', text: number, scale: 'right', dash: [2, 3] },
    ],
    axis: seconds,
    least: 0.01,
    right: { text: number, color: 'upstream' },
  },
]

/** Charts over one past, side by side, with one cursor. */
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

  /** The number of the step from which on the past is missing. */
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
   * Adds the steps since number `since`. What was asked for before the charts were cleared, or is there by now, is dropped.
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
   * The numbers of now, in the legends.
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
  showStats({ total, memory, postgres, recentEvents }) {
    this.show({
      ...total.now,
      poolActive: postgres.total - postgres.idle,
      poolWaiting: postgres.waiting,
      memoryBytes: memory.bytes,
      evictions: this.last('evictions'),
      invalidations: this.last('invalidations'),
      lagSeconds: recentEvents.invalidations[0]?.lagSeconds ?? null,
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
