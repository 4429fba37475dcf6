// The page: the connection to /events, and the parts that show its messages.
import { fetchPast, fetchRoutes, readStats } from './api.js'
import { TotalCharts } from './charts.js'
import { byId } from './dom.js'
import { PurgeForm } from './purge.js'
import { RecentEventsPanel } from './recent-events.js'
import { RouteDialog } from './route.js'
import { FigureTiles, showHealth, showNoContact } from './summary.js'
import { RoutesPanel } from './table.js'
import { span } from './words.js'

/** @import { DescribedRoute, Stats } from '../stats.ts' */

/*
 * /events sends one message a second. The page fetches the past when it opens, when it has lost contact, and whenever a step of
 * the past is complete. Everything from onramp is inserted as text.
 */

/** Without a message for this long, the figures are out of date: contact is lost. */
const silenceMs = 2500
/** The two clocks may drift apart by this much before times on the page are corrected. */
const driftMs = 2000

/** The parts of the page. Made with the first message, which names the sources. */
class Page {
  #stats
  #sources
  #charts
  #dialog
  #table
  #tiles = new FigureTiles()
  #recentEvents = new RecentEventsPanel()
  #purge = new PurgeForm()
  /** @type {ReadonlyMap<string, DescribedRoute>} */
  #routes = new Map()
  /** The number of routes and of reloads when the routes were fetched. */
  #routesAsOf = ''
  #isFetching = false
  /** When the process started, in milliseconds since 1970 on the clock of the browser. */
  #startedAt = 0

  /** @param {Stats} stats */
  constructor(stats) {
    const { sources } = stats
    this.#stats = stats
    this.#sources = JSON.stringify(sources)
    this.#charts = new TotalCharts(byId('charts', HTMLElement), sources)
    this.#dialog = new RouteDialog(sources, (request) => this.#purge.purge(request))
    this.#table = new RoutesPanel(sources, (name) => this.#dialog.open(name, this.#stats, this.#routes))
  }

  /** Forgets the past: after a loss of contact another process may answer. */
  clear() {
    this.#charts.clear()
    this.#dialog.clear()
  }

  /** @param {Stats} stats */
  show(stats) {
    // The sources differ: another version of onramp, which has another page.
    if (JSON.stringify(stats.sources) !== this.#sources) return location.reload()
    this.#stats = stats
    // Kept while the clocks agree: a time that is computed anew each second would flicker.
    const startedAt = Date.now() - stats.uptimeSeconds * 1000
    if (Math.abs(startedAt - this.#startedAt) > driftMs) this.#startedAt = startedAt
    showHealth(stats, this.#startedAt)
    this.#tiles.show(stats)
    byId('window', HTMLElement).textContent = `rates over the last ${span(stats.nowSeconds)}`
    this.#charts.showStats(stats)
    this.#recentEvents.show(stats, this.#startedAt)
    this.#showRoutes()
    void this.#fetchRoutes()
    void this.#fetchPast()
  }

  #showRoutes() {
    this.#table.show(this.#stats, this.#routes)
    this.#purge.show(this.#stats, this.#routes.values())
    this.#dialog.show(this.#stats, this.#routes)
  }

  /** Fetches the routes when their number has changed, and after a reload of the configuration. */
  async #fetchRoutes() {
    const { routes, recentEvents } = this.#stats
    const reloads = recentEvents.changes.filter(({ kind }) => kind === 'config-reloaded').length
    const asOf = `${Object.keys(routes).length} ${reloads}`
    if (asOf === this.#routesAsOf) return
    this.#routesAsOf = asOf
    try {
      this.#routes = new Map((await fetchRoutes()).map((route) => [route.name, route]))
      this.#showRoutes()
    } catch {
      this.#routesAsOf = '' // tried again with the next message
    }
  }

  /** Fetches the steps that the charts do not have yet. */
  async #fetchPast() {
    const since = this.#charts.steps
    if (this.#isFetching || this.#stats.historySteps === since) return
    this.#isFetching = true
    try {
      this.#charts.add(since, await fetchPast(since))
      byId('charts-title', HTMLElement).textContent = this.#charts.title
      await this.#dialog.refresh()
    } catch {
      // Tried again with the next message; a loss of contact is shown.
    } finally {
      this.#isFetching = false
    }
  }
}

/** Keeps the stream open, and says when it is silent. */
class Connection {
  /** @type {Page | undefined} */
  #page
  /** At first the time at which the page was opened; in milliseconds since 1970. */
  #lastMessageAt = Date.now()

  constructor() {
    this.#connect()
    setInterval(() => this.#checkSilence(), 500)
  }

  #connect() {
    const events = new EventSource('events')
    events.addEventListener('open', () => this.#page?.clear())
    events.addEventListener('message', ({ data }) => this.#show(readStats(data)))
    events.addEventListener('error', () => {
      // The browser reconnects by itself, except after a response that is no stream.
      if (events.readyState === EventSource.CLOSED) setTimeout(() => this.#connect(), 1000)
    })
  }

  /** @param {Stats} stats */
  #show(stats) {
    this.#lastMessageAt = Date.now()
    this.#page ??= new Page(stats)
    this.#page.show(stats)
  }

  #checkSilence() {
    if (Date.now() - this.#lastMessageAt > silenceMs) showNoContact(this.#lastMessageAt)
  }
}

new Connection()
