import { RouteHour } from './charts.js'
import { count, number, parametersOf, percent, seconds, span } from './words.js'

/** One route: its charts, its hottest keys, its slowest fills, its settings and its SQL. */
export class RoutePage {
  constructor(dialog, purge) {
    this.dialog = dialog
    const part = (name) => dialog.querySelector(name)
    this.parts = { title: part('#route-title'), path: part('#route-path'), facts: part('#facts'), sql: part('#sql') }
    this.hotKeys = part('#hot-keys')
    this.slowest = part('#slowest')
    this.charts = new RouteHour(part('#route-charts'))
    part('#route-close').addEventListener('click', () => dialog.close())
    const bar = part('.bar')
    const said = document.createElement('p')
    said.setAttribute('role', 'status')
    this.said = said
    for (const [label, soft] of [
      ['Purge', false],
      ['Soft purge', true],
    ]) {
      const button = document.createElement('button')
      button.type = 'button'
      button.className = soft ? 'quiet' : ''
      button.textContent = label
      button.addEventListener('click', async () => {
        said.textContent = await purge(this.name, soft)
      })
      bar.insertBefore(button, part('#route-close'))
    }
    bar.after(said)
    // A click beside it closes it, as Escape does.
    dialog.addEventListener('click', (event) => event.target === dialog && dialog.close())
    dialog.addEventListener('close', () => {
      this.name = undefined
    })
  }

  open(name, page) {
    this.name = name
    this.page = page
    this.said.textContent = ''
    this.charts.clear()
    const route = page.routes.get(name)
    this.parts.title.textContent = name
    this.parts.path.textContent = route === undefined ? '' : `${route.methods.join(', ')} ${route.path}`
    this.parts.sql.textContent = route?.sql.trim() ?? ''
    rows(this.hotKeys, ['Parameters', 'Share'], [])
    rows(this.slowest, ['Parameters', 'Time', 'When'], [])
    this.dialog.showModal()
    this.show(page.stats)
    void this.refresh(async (path) => (await fetch(path)).json()).catch(() => {}) // tried again with the next step
  }

  /** The numbers of now. */
  show(stats) {
    if (this.name === undefined) return
    const counts = stats.routes[this.name]
    if (counts?.now) this.charts.show(counts.now)
    const route = this.page.routes.get(this.name)
    facts(this.parts.facts, [
      ...(route === undefined ? [] : settings(route)),
      ...(counts === undefined ? [['Requests', 'none since the start']] : countsOf(counts)),
      ...Object.entries(counts?.audit ?? {}).map(([name, value]) => [`Audit: ${name}`, String(value)]),
    ])
  }

  /** What has come of the past, and which keys are hot. */
  async refresh(json) {
    const { name } = this
    if (name === undefined) return
    const past = await json(`dashboard/route?name=${encodeURIComponent(name)}&since=${this.charts.steps}`)
    if (name !== this.name) return
    if (past.steps < this.charts.steps) this.charts.clear()
    this.charts.add(past)
    rows(
      this.hotKeys,
      ['Parameters', 'Share'],
      past.hotKeys.map(({ key, share }) => [parametersOf(key), percent(share)]),
    )
    rows(
      this.slowest,
      ['Parameters', 'Time', 'When'],
      past.slowest.map((fill) => [parametersOf(fill.key), seconds(fill.seconds), `${span(fill.agoSeconds)} ago`]),
    )
  }
}

function settings({ lifetime, tags, tables, cacheControl }) {
  const ms = (value) => span(value / 1000)
  return [
    ['Fresh', `${ms(lifetime.fresh)}, of nothing ${ms(lifetime.negative)}`],
    ['Stale', `${ms(lifetime.stale)} more, if the database fails ${ms(lifetime.staleIfError)}`],
    ['Clients may keep', cacheControl],
    ['Tags', tags.join(', ') || 'none of its own'],
    ['Tables', tables.join(', ') || 'none'],
  ]
}

function countsOf(counts) {
  return [
    ['Requests', `${count(counts.requests)} since the start, ${percent(counts.hitRatio)} hits`],
    ['From', `memory ${count(counts.memory)}, Redis ${count(counts.redis)}, origin ${count(counts.origin)}`],
    ['Stale', count(counts.stale)],
    [
      'SQL',
      `${count(counts.queries)}, failed ${count(counts.failedQueries)}; ${number(counts.now?.queries ?? null)} a second now`,
    ],
    ['Collapsed, shed, errors', `${count(counts.collapsed)}, ${count(counts.shed)}, ${count(counts.errors)}`],
  ]
}

function facts(list, pairs) {
  list.replaceChildren(...pairs.flatMap(([name, value]) => [element('dt', name), element('dd', value)]))
}

function rows(table, heads, lines) {
  if (table.tHead.rows.length === 0) {
    const row = table.tHead.insertRow()
    for (const head of heads) row.append(Object.assign(element('th', head), { scope: 'col' }))
  }
  const nothing = [element('td', 'Nothing yet.')]
  nothing[0].colSpan = heads.length
  const cells = lines.length === 0 ? [nothing] : lines.map((line) => line.map((text) => element('td', text)))
  table.tBodies[0].replaceChildren(
    ...cells.map((line) => {
      const row = document.createElement('tr')
      row.append(...line)
      return row
    }),
  )
}

function element(tag, text) {
  const made = document.createElement(tag)
  made.textContent = text
  return made
}
