// The route dialog.
import { fetchRoutePast } from './api.js'
import { RouteCharts } from './charts.js'
import { bodyOf, byId, element } from './dom.js'
import { cacheSources, figureOf } from './sources.js'
import { clockTime, count, number, parametersOf, percent, seconds, span } from './words.js'

/**
 * @import { PurgeRequest } from '../../coherence/purge.ts'
 * @import { AnswerSource } from '../../sources.ts'
 * @import { DescribedRoute, RouteStats, Stats } from '../stats.ts'
 */

/** @typedef {[name: string, value: string]} Fact */

/** One route: its charts, hot keys, slowest fills, settings and SQL. */
export class RouteDialog {
  #dialog = byId('route', HTMLDialogElement)
  #facts = byId('facts', HTMLDListElement)
  #hotKeys = bodyOf('hot-keys')
  #slowest = bodyOf('slowest')
  #outcome = byId('route-purged', HTMLElement)
  #charts
  #sources
  /** The route in the dialog. @type {string | undefined} */
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
    // A click outside closes the dialog, as Escape does.
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

  /** Forgets the past: another process may answer from now on. */
  clear() {
    this.#charts.clear()
  }

  /**
   * Shows the current numbers.
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

  /** Fetches new steps of the past, the hot keys and the slowest fills. */
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
      past.slowest.map((fill) => [
        parametersOf(fill.key),
        seconds(fill.seconds),
        clockTime(Date.now() - fill.agoSeconds * 1000),
      ]),
    )
  }
}

/** @type {Fact[]} */
const noCounts = [['Requests', 'none since start']]

/**
 * @param {DescribedRoute} route
 * @returns {Fact[]}
 */
function settingsOf({ lifetime, tags, tables, cacheControl }) {
  /** @param {number} value */
  const ms = (value) => span(value / 1000)
  return [
    ['Fresh for', `${ms(lifetime.fresh)}; without rows ${ms(lifetime.negative)}`],
    ['Then stale for', `${ms(lifetime.stale)}; if the database fails ${ms(lifetime.staleIfError)}`],
    ['Cache-Control', cacheControl],
    ['Tags', tags.join(', ') || 'none'],
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
    ['Requests', `${count(counts.requests)} since start, ${percent(counts.hitRatio)} hits`],
    ['Failed (5xx)', count(counts.errors)],
    ['Shed', count(counts.shed)],
    ['Answered from', from.join(', ')],
    ...cacheSources(sources).map(({ name, label }) => /** @type {Fact} */ ([`${label} p50, p99`, timesOf(now, name)])),
    ['Served stale', count(counts.stale)],
    ['Collapsed', count(counts.collapsed)],
    ['SQL statements', `${count(queries)}, ${count(failedQueries)} failed; ${number(now?.queries)}/s now`],
  ]
}

/**
 * @param {RouteStats['now']} now
 * @param {string} source
 */
function timesOf(now, source) {
  const { p50Seconds = null, p99Seconds = null } = now?.sources[source] ?? {}
  return p50Seconds === null ? 'no responses now' : `${seconds(p50Seconds)}, ${seconds(p99Seconds)}`
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
  const cell = element('td', 'None yet.')
  cell.colSpan = 3
  return rowOf([cell])
}

/** @param {HTMLElement[]} cells */
function rowOf(cells) {
  const row = element('tr')
  row.append(...cells)
  return row
}
