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
 * The page: it lives on /events, one message a second, and fetches the past when it opens, when it has lost contact, and
 * whenever a step of it is complete. Whatever onramp says is put in as text.
 */

/** Without a message for this long, what is shown is not how things are. */
const silenceMs = 2500

/** All that is shown, from the first message on: that says which sources there are. */
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
  /** How many routes and reloads there were when the routes were fetched. */
  #routesAsOf = ''
  #isFetching = false

  /** @param {Stats} stats */
  constructor(stats) {
    const { sources } = stats
    this.#stats = stats
    this.#sources = JSON.stringify(sources)
    this.#charts = new TotalCharts(byId('charts', HTMLElement), sources)
    this.#dialog = new RouteDialog(sources, (request) => this.#purge.purge(request))
    this.#table = new RoutesPanel(sources, (name) => this.#dialog.open(name, this.#stats, this.#routes))
  }

  /** Forgets the past: after a loss of contact it may be another process that answers. */
  clear() {
    this.#charts.clear()
    this.#dialog.clear()
  }

  /** @param {Stats} stats */
  show(stats) {
    // Another version of onramp, which has another page.
    if (JSON.stringify(stats.sources) !== this.#sources) return location.reload()
    this.#stats = stats
    showHealth(stats)
    this.#tiles.show(stats)
    byId('window', HTMLElement).textContent = `a second, over the last ${span(stats.nowSeconds)}`
    this.#charts.showStats(stats)
    this.#recentEvents.show(stats)
    this.#showRoutes()
    void this.#fetchRoutes()
    void this.#fetchPast()
  }

  #showRoutes() {
    this.#table.show(this.#stats, this.#routes)
    this.#purge.show(this.#stats, this.#routes.values())
    this.#dialog.show(this.#stats, this.#routes)
  }

  /** Fetches the routes when there are others, or when they have been reloaded. */
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
      this.#routesAsOf = '' // asked again with the next message
    }
  }

  /** Fetches what the charts do not have yet. */
  async #fetchPast() {
    const since = this.#charts.steps
    if (this.#isFetching || this.#stats.historySteps === since) return
    this.#isFetching = true
    try {
      this.#charts.add(since, await fetchPast(since))
      byId('charts-title', HTMLElement).textContent = this.#charts.title
      await this.#dialog.refresh()
    } catch {
      // The next message comes here again; that there is none is shown.
    } finally {
      this.#isFetching = false
    }
  }
}

/** Keeps the stream open, and says when nothing comes of it. */
class Connection {
  /** @type {Page | undefined} */
  #page
  #lastMessageAt = 0

  constructor() {
    this.#connect()
    setInterval(() => this.#checkSilence(), 500)
  }

  #connect() {
    const events = new EventSource('events')
    events.addEventListener('open', () => this.#page?.clear())
    events.addEventListener('message', ({ data }) => this.#show(readStats(data)))
    events.addEventListener('error', () => {
      // It tries again by itself, unless it was given an answer that is no stream.
      if (events.readyState === EventSource.CLOSED) setTimeout(() => this.#connect(), 1000)
    })
  }

  /** @param {Stats} stats */
  #show(stats) {
    this.#lastMessageAt = performance.now()
    this.#page ??= new Page(stats)
    this.#page.show(stats)
  }

  #checkSilence() {
    const silentMs = performance.now() - this.#lastMessageAt
    if (this.#page !== undefined && silentMs > silenceMs) showNoContact(silentMs / 1000)
  }
}

new Connection()
