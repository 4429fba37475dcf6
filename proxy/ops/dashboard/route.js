import { fetchRoutePast } from './api.js'
import { RouteCharts } from './charts.js'
import { bodyOf, byId, element } from './dom.js'
import { cacheSources, figureOf } from './sources.js'
import { count, number, parametersOf, percent, seconds, span } from './words.js'

/**
 * @import { PurgeRequest } from '../../coherence/purge.ts'
 * @import { AnswerSource } from '../../sources.ts'
 * @import { DescribedRoute, RouteStats, Stats } from '../stats.ts'
 */

/** @typedef {[name: string, value: string]} Fact */

/** One route: its charts, its hottest keys, its slowest fills, its settings and its SQL. */
export class RouteDialog {
  #dialog = byId('route', HTMLDialogElement)
  #facts = byId('facts', HTMLDListElement)
  #hotKeys = bodyOf('hot-keys')
  #slowest = bodyOf('slowest')
  #outcome = byId('route-purged', HTMLElement)
  #charts
  #sources
  /** The route that is open. @type {string | undefined} */
  #name

  /**
   * @param {readonly AnswerSource[]} sources
   * @param {(request: PurgeRequest) => Promise<string>} purge
   */
  constructor(sources, purge) {
    this.#sources = sources
    this.#charts = new RouteCharts(byId('route-charts', HTMLElement), sources)
    for (const [id, soft] of /** @type {const} */ ([
      ['route-purge', false],
      ['route-soft-purge', true],
    ])) {
      byId(id, HTMLButtonElement).addEventListener('click', async () => {
        if (this.#name !== undefined) this.#outcome.textContent = await purge({ route: this.#name, soft })
      })
    }
    const dialog = this.#dialog
    byId('route-close', HTMLButtonElement).addEventListener('click', () => dialog.close())
    // A click beside it closes it, as Escape does.
    dialog.addEventListener('click', (event) => event.target === dialog && dialog.close())
    dialog.addEventListener('close', () => {
      this.#name = undefined
    })
  }

  /**
   * @param {string} name
   * @param {Stats} stats
   * @param {ReadonlyMap<string, DescribedRoute>} routes
   */
  open(name, stats, routes) {
    const route = routes.get(name)
    this.#name = name
    this.#outcome.textContent = ''
    this.#charts.clear()
    byId('route-title', HTMLElement).textContent = name
    byId('route-path', HTMLElement).textContent = route === undefined ? '' : `${route.methods.join(', ')} ${route.path}`
    byId('sql', HTMLElement).textContent = route?.sql.trim() ?? ''
    fillRows(this.#hotKeys, [])
    fillRows(this.#slowest, [])
    this.#dialog.showModal()
    this.show(stats, routes)
    void this.refresh().catch(() => {}) // tried again with the next step
  }

  /** Forgets the past: it may be another process that answers from now on. */
  clear() {
    this.#charts.clear()
  }

  /**
   * The numbers of now.
   *
   * @param {Stats} stats
   * @param {ReadonlyMap<string, DescribedRoute>} routes
   */
  show(stats, routes) {
    if (this.#name === undefined) return
    const counts = stats.routes[this.#name]
    const route = routes.get(this.#name)
    if (counts?.now) this.#charts.show(counts.now)
    const facts = [
      ...(route === undefined ? [] : settingsOf(route)),
      ...(counts === undefined ? noCounts : countsOf(counts, this.#sources)),
      ...Object.entries(counts?.audit ?? {}).map(([name, value]) => [`Audit: ${name}`, String(value)]),
    ]
    this.#facts.replaceChildren(...facts.flatMap(([name, value]) => [element('dt', name), element('dd', value)]))
  }

  /** What has come of the past, and which keys are hot. */
  async refresh() {
    const name = this.#name
    if (name === undefined) return
    const since = this.#charts.steps
    const past = await fetchRoutePast(name, since)
    if (name !== this.#name) return
    this.#charts.add(since, past)
    fillRows(
      this.#hotKeys,
      past.hotKeys.map(({ key, share }) => [parametersOf(key), percent(share)]),
    )
    fillRows(
      this.#slowest,
      past.slowest.map((fill) => [parametersOf(fill.key), seconds(fill.seconds), `${span(fill.agoSeconds)} ago`]),
    )
  }
}

/** @type {Fact[]} */
const noCounts = [['Requests', 'none since the start']]

/**
 * @param {DescribedRoute} route
 * @returns {Fact[]}
 */
function settingsOf({ lifetime, tags, tables, cacheControl }) {
  /** @param {number} value */
  const ms = (value) => span(value / 1000)
  return [
    ['Fresh', `${ms(lifetime.fresh)}, of nothing ${ms(lifetime.negative)}`],
    ['Stale', `${ms(lifetime.stale)} more, if the database fails ${ms(lifetime.staleIfError)}`],
    ['Clients may keep', cacheControl],
    ['Tags', tags.join(', ') || 'none of its own'],
    ['Tables', tables.join(', ') || 'none'],
  ]
}

/**
 * @param {RouteStats} counts
 * @param {readonly AnswerSource[]} sources
 * @returns {Fact[]}
 */
function countsOf(counts, sources) {
  const { queries, failedQueries, now } = counts
  const from = cacheSources(sources).map(({ name, label }) => `${label} ${count(figureOf(counts, name))}`)
  return [
    ['Requests', `${count(counts.requests)} since the start, ${percent(counts.hitRatio)} hits`],
    ['From', from.join(', ')],
    ['Stale', count(counts.stale)],
    ['SQL', `${count(queries)}, failed ${count(failedQueries)}; ${number(now?.queries)} a second now`],
    ['Collapsed, shed, errors', `${count(counts.collapsed)}, ${count(counts.shed)}, ${count(counts.errors)}`],
  ]
}

/**
 * @param {HTMLTableSectionElement} body
 * @param {string[][]} lines
 */
function fillRows(body, lines) {
  const rows = lines.map((texts) => rowOf(texts.map((text) => element('td', text))))
  body.replaceChildren(...(rows.length > 0 ? rows : [nothingYet()]))
}

function nothingYet() {
  const cell = element('td', 'Nothing yet.')
  cell.colSpan = 3
  return rowOf([cell])
}

/** @param {HTMLElement[]} cells */
function rowOf(cells) {
  const row = element('tr')
  row.append(...cells)
  return row
}
