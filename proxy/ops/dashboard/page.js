import { Hour } from './charts.js'
import { purging } from './purge.js'
import { showRecentEvents } from './recent-events.js'
import { RoutePage } from './route.js'
import { showHealth, showSummary } from './summary.js'
import { RouteTable } from './table.js'
import { span } from './words.js'

/*
 * The page: it lives on /events, one message a second, and fetches the past when it opens, when it has lost contact, and
 * whenever a step of it is complete. Whatever onramp says is put in as text.
 */

/** Without a message for this long, what is shown is not how things are. */
const silenceMs = 2500

const byId = (id) => document.getElementById(id)
const page = { stats: undefined, routes: new Map(), heardAt: 0, isFetching: false, reloads: '' }
const hour = new Hour(byId('charts'))
const purge = purging(byId('purge'), () => page)
const route = new RoutePage(byId('route'), (name, soft) => purge({ route: name, soft }))
const table = new RouteTable(byId('routes'), (name) => route.open(name, page))

async function json(path) {
  const response = await fetch(path, { signal: AbortSignal.timeout(5000) })
  if (!response.ok) throw new Error(`${path}: ${response.status}`)
  return response.json()
}

/** Fetches what the charts do not have yet; from the beginning after a loss of contact, for it may be another process. */
async function fetchPast() {
  if (page.isFetching || page.stats === undefined || page.stats.historySteps === hour.steps) return
  page.isFetching = true
  try {
    hour.add(await json(`dashboard/history?since=${hour.steps}`))
    byId('charts-title').textContent = hour.title
    await route.refresh(json)
  } catch {
    // The next message comes here again; that there is none is shown.
  } finally {
    page.isFetching = false
  }
}

async function fetchRoutes() {
  try {
    page.routes = new Map((await json('routes')).map((one) => [one.name, one]))
  } catch {
    page.reloads = '' // asked again with the next message
  }
}

function show(stats) {
  page.stats = stats
  page.heardAt = performance.now()
  const reloads = stats.recentEvents.changes.filter(({ kind }) => kind === 'config-reloaded').length
  const known = `${Object.keys(stats.routes).length} ${reloads}`
  if (known !== page.reloads) {
    page.reloads = known
    void fetchRoutes().then(() => table.show(stats, page.routes))
  }
  showHealth(stats.degradationLevel, stats.degradationSeconds, stats)
  showSummary(byId('figures'), stats)
  byId('window').textContent = `a second, over the last ${span(stats.nowSeconds)}`
  hour.show(stats)
  table.show(stats, page.routes)
  showRecentEvents(stats)
  purge.show(stats)
  route.show(stats)
  void fetchPast()
}

function connect() {
  const events = new EventSource('events')
  events.addEventListener('open', () => hour.clear())
  events.addEventListener('message', ({ data }) => show(JSON.parse(data)))
  events.addEventListener('error', () => {
    // It tries again by itself, unless it was given an answer that is no stream.
    if (events.readyState === EventSource.CLOSED) setTimeout(connect, 1000)
  })
}

setInterval(() => {
  const silentMs = performance.now() - page.heardAt
  if (page.heardAt > 0 && silentMs > silenceMs) showHealth('none', silentMs / 1000)
}, 500)
connect()
