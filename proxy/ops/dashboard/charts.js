import uPlot from './uPlot.js'
import { bytes, number, seconds, span } from './words.js'

/** As the server keeps them: an hour in steps of five seconds. */
const mostSteps = 720
/** A page that has just begun shows this much, rather than one point. */
const leastSeconds = 120

const sources = [
  { key: 'memory', label: 'memory', color: 'memory', text: number },
  { key: 'redis', label: 'Redis', color: 'redis', text: number },
  { key: 'origin', label: 'origin', color: 'origin', text: number },
  { key: 'upstream', label: 'upstream', color: 'upstream', text: number },
  { key: 'none', label: 'none', color: 'bad', text: number },
]
const latencies = [
  { key: 'p50Seconds', label: 'p50', color: 'memory', text: seconds },
  { key: 'p99Seconds', label: 'p99', color: 'origin', text: seconds, dash: [6, 3] },
]

/** The charts of the whole: series, what stands on the right, and where the numbers of now are. */
const ofTheWhole = [
  { id: 'requests', title: 'Requests/s by source', series: sources, isStacked: true, axis: number },
  { id: 'latency', title: 'Response time', series: latencies, isLog: true, axis: seconds },
  {
    id: 'sql',
    title: 'SQL and connections',
    series: [
      { key: 'queries', label: 'sent/s', color: 'origin', text: number, isFilled: true },
      { key: 'poolActive', label: 'active', color: 'redis', text: number, scale: 'right' },
      { key: 'poolWaiting', label: 'waiting', color: 'bad', text: number, scale: 'right', dash: [2, 3] },
    ],
    axis: number,
    right: number,
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
    right: number,
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
    right: number,
  },
]
const ofRoute = [ofTheWhole[0], ofTheWhole[1]].map((chart) => ({ ...chart, id: `route-${chart.id}` }))

/** Charts over one past, side by side, with one cursor. */
class Charts {
  constructor(place, specs, name) {
    const cursor = uPlot.sync(name)
    this.charts = specs.map((spec) => new Chart(place, spec, cursor))
    this.clear()
  }

  clear() {
    this.steps = 0
    this.at = []
    this.columns = {}
    for (const chart of this.charts) chart.draw([], {})
  }

  /** Adds the steps that have come. */
  add({ steps, agoSeconds, columns }) {
    const now = Date.now() / 1000
    this.steps = steps
    const keep = (old, added) => [...old, ...added].slice(-mostSteps)
    this.at = keep(
      this.at,
      agoSeconds.map((ago) => now - ago),
    )
    for (const [name, values] of Object.entries(columns)) this.columns[name] = keep(this.columns[name] ?? [], values)
    for (const chart of this.charts) chart.draw(this.at, this.columns)
  }

  /** The numbers of now, in the legends. */
  show(now) {
    for (const chart of this.charts) chart.show(now)
  }
}

export class Hour extends Charts {
  constructor(place) {
    super(place, ofTheWhole, 'hour')
  }

  get title() {
    const [first, last] = [this.at[0], this.at.at(-1)]
    const shown = first === undefined ? 0 : last - first
    return shown > 3500 ? 'The last hour' : `The last ${span(Math.max(shown, leastSeconds))}`
  }

  show({ total, memory, postgres, ...rest }) {
    const last = (name) => this.columns[name]?.at(-1) ?? null
    super.show({
      ...total.now,
      poolActive: postgres.total - postgres.idle,
      poolWaiting: postgres.waiting,
      memoryBytes: memory.bytes,
      evictions: last('evictions'),
      invalidations: last('invalidations'),
      lagSeconds: rest.recentEvents.invalidations[0]?.lagSeconds ?? null,
    })
  }
}

export class RouteHour extends Charts {
  constructor(place) {
    super(place, ofRoute, 'route')
  }
}

/** One chart: a title, a legend with the numbers of now (or of under the cursor), and the past. */
class Chart {
  constructor(place, spec, cursor) {
    this.spec = spec
    this.cursor = cursor
    this.data = [[], ...spec.series.map(() => [])]
    this.values = this.data
    const figure = document.createElement('figure')
    const caption = document.createElement('figcaption')
    const title = document.createElement('h3')
    title.textContent = spec.title
    this.legend = document.createElement('ul')
    this.numbers = spec.series.map((series) => this.#legend(series))
    caption.append(title, this.legend)
    this.body = document.createElement('div')
    this.body.className = 'plot'
    this.body.id = `chart-${spec.id}`
    this.body.setAttribute('aria-hidden', 'true') // what it says now, the legend says in words
    figure.append(caption, this.body)
    place.append(figure)
    new ResizeObserver(() => this.#fit()).observe(this.body)
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.#make())
  }

  draw(at, columns) {
    const end = Date.now() / 1000
    // Before there are two points: an empty stretch of time, rather than the year 1970.
    if (at.length < 2) this.#take([[end - leastSeconds, end], ...this.spec.series.map(() => [null, null])])
    else this.#take([at, ...this.spec.series.map(({ key }) => columns[key] ?? at.map(() => null))])
  }

  #take(values) {
    this.values = values
    this.data = this.spec.isStacked ? stacked(this.values) : this.values
    if (this.plot === undefined) this.#make()
    else this.plot.setData(this.data)
  }

  show(now) {
    this.now = now
    if (this.plot?.cursor.idx == null) this.#write((series) => now[series.key])
  }

  #write(valueIn) {
    this.spec.series.forEach((series, i) => {
      const text = series.text(valueIn(series, i))
      if (this.numbers[i].textContent !== text) this.numbers[i].textContent = text
    })
  }

  #legend({ label, color, dash }) {
    const item = document.createElement('li')
    const swatch = document.createElement('span')
    swatch.className = `swatch ${color}${dash === undefined ? '' : ' dashed'}`
    const number = document.createElement('b')
    item.append(swatch, `${label} `, number)
    this.legend.append(item)
    return number
  }

  #fit() {
    const { clientWidth: width, clientHeight: height } = this.body
    if (width === 0 || height === 0) return
    if (this.plot === undefined) this.#make()
    else this.plot.setSize({ width, height })
  }

  #make() {
    const { clientWidth: width, clientHeight: height } = this.body
    if (width === 0 || height === 0) return
    this.plot?.destroy()
    this.plot = new uPlot(
      { width, height, ...optionsOf(this.spec, this.cursor, () => this.#underCursor()) },
      this.data,
      this.body,
    )
  }

  #underCursor() {
    const index = this.plot?.cursor.idx
    if (index == null) return this.now && this.show(this.now)
    this.#write((_series, i) => this.values[i + 1][index])
  }
}

/** Each column on top of those before it. The last, which is the highest, comes first, so that the others are drawn over it. */
function stacked([at, ...columns]) {
  const sum = at.map(() => 0)
  // Where there is nothing of one, and nothing beside it, no line of it lies on the others.
  const sums = columns.map((values) =>
    values.map((value, i) => {
      sum[i] += value ?? 0
      return value || values[i - 1] || values[i + 1] ? sum[i] : null
    }),
  )
  return [at, ...sums.reverse()]
}

function optionsOf({ series, isStacked, isLog, axis, least = 1, steps, right }, cursor, underCursor) {
  const font = `11px ${getComputedStyle(document.body).fontFamily}`
  const faint = { font, stroke: color('muted'), ticks: { show: false } }
  const grid = { stroke: color('line'), width: 1 }
  const drawn = series.map(({ color: name, dash, isFilled, scale = 'y' }) => ({
    scale,
    stroke: color(name),
    width: isStacked ? 1 : 1.75,
    ...(dash && { dash }),
    ...((isStacked || isFilled) && { fill: color(`${name}-area`) }),
    points: { show: isStacked !== true, size: 5, fill: color(name), filter: alone },
  }))
  const values = (text) => (_plot, splits) => splits.map((split) => (split === null ? '' : text(split)))
  return {
    legend: { show: false },
    padding: [8, right ? 0 : 12, 0, 0],
    cursor: { sync: { key: cursor.key }, drag: { x: false, y: false }, y: false, points: { show: false } },
    hooks: { setCursor: [underCursor] },
    series: [{}, ...(isStacked ? drawn.reverse() : drawn)],
    scales: {
      x: { range: (_plot, from, to) => rangeOf(from, to) },
      y: isLog
        ? { distr: 3, range: (_plot, from, to) => decades(from, to) }
        : { range: (_plot, _from, to) => [0, top(to, least)] },
      right: { range: (_plot, _from, to) => [0, top(to, 1)] },
    },
    axes: [
      { ...faint, grid: { show: false }, space: 48, size: 24, values: clockTimes },
      {
        ...faint,
        grid: { ...grid, ...(isLog && { filter: onlyDecades }) },
        size: 62,
        space: 32,
        values: values(axis),
        ...(steps && { incrs: steps }),
        ...(isLog && { filter: onlyDecades }),
      },
      ...(right
        ? [
            {
              ...faint,
              scale: 'right',
              side: 1,
              grid: { show: false },
              size: 44,
              space: 32,
              values: values(right),
              stroke: color(series.find(({ scale }) => scale === 'right').color),
            },
          ]
        : []),
    ],
  }
}

/** What no line leads to or from is drawn as a point. */
function alone(plot, index) {
  const values = plot.data[index]
  const isAlone = (i) => values[i] != null && values[i - 1] == null && values[i + 1] == null
  return [...values.keys()].filter(isAlone)
}

/** The colour `name` of the style sheet, by day or by night, in words that a canvas knows. */
function color(name) {
  const probe = document.body.appendChild(document.createElement('span'))
  probe.style.color = `var(--${name})`
  const { color: resolved } = getComputedStyle(probe)
  probe.remove()
  return resolved
}

function rangeOf(from, to) {
  const end = to ?? Date.now() / 1000
  return [Math.min(from ?? end, end - leastSeconds), end]
}

/** Room above the highest; something to see where there is nothing. */
function top(highest, least) {
  return highest > 0 ? highest * 1.1 : least
}

function decades(from, to) {
  const low = from > 0 ? from : 0.0001
  return [10 ** Math.floor(Math.log10(low)), 10 ** Math.ceil(Math.log10(Math.max(to ?? 0, low * 10)))]
}

function onlyDecades(_plot, splits) {
  return splits.map((split) =>
    Math.abs(Math.log10(split) % 1) < 1e-6 || Math.abs(Math.log10(split) % 1) > 1 - 1e-6 ? split : null,
  )
}

function clockTimes(_plot, splits) {
  const options = { hour: '2-digit', minute: '2-digit', ...(splits[1] - splits[0] < 60 && { second: '2-digit' }) }
  return splits.map((at) => new Date(at * 1000).toLocaleTimeString('en-GB', options))
}
