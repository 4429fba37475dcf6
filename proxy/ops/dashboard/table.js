import { count, number, percent, seconds, span } from './words.js'

const twice = (of) => (of === undefined || of === null ? null : [of.p50Seconds, of.p99Seconds])
const pair = (times) => (times === null || times[0] === null ? '–' : `${seconds(times[0])} · ${seconds(times[1])}`)

/**
 * The columns: what stands in the head (and what that is short for), the value to sort by, how it is shown. `isAlarm`: more
 * than none of it is to be seen from afar.
 */
const columns = [
  { head: 'Requests', title: 'since the start', value: ({ counts }) => counts?.requests ?? 0, text: count },
  { head: 'Rate', title: 'requests a second', value: ({ now }) => now?.requests, text: number },
  {
    head: 'Errors',
    title: 'answers 500 and above, a second',
    value: ({ now }) => now?.errors,
    text: number,
    isAlarm: true,
  },
  {
    head: 'Shed',
    title: 'refused to stay alive, a second',
    value: ({ now }) => now?.shed,
    text: number,
    isAlarm: true,
  },
  { head: 'Memory', title: 'share answered from memory', value: ({ now }) => now?.memoryRatio, text: percent },
  { head: 'Redis', title: 'share answered from Redis', value: ({ now }) => now?.redisRatio, text: percent },
  { head: 'p50', title: 'half are faster', value: ({ now }) => now?.p50Seconds, text: seconds },
  { head: 'p99', title: '1 in 100 is slower', value: ({ now }) => now?.p99Seconds, text: seconds },
  ...['memory', 'redis', 'origin'].map((source) => ({
    head: `${source === 'redis' ? 'Redis' : source} p50 · p99`,
    title: `time of what ${source} answered`,
    isWide: true,
    value: ({ now }) => now?.sources[source]?.p99Seconds,
    text: (_value, { now }) => pair(twice(now?.sources[source])),
  })),
  { head: 'Age', title: 'of what is served, on average', value: ({ now }) => now?.ageSeconds, text: span },
  {
    head: 'TTL',
    title: 'how long it is fresh',
    value: ({ route }) => route && route.lifetime.fresh / 1000,
    text: span,
  },
  { head: 'SQL', title: 'statements a second', value: ({ now }) => now?.queries, text: number },
  {
    head: 'Collapsed',
    title: 'waited for the fill of another, a second',
    value: ({ now }) => now?.collapsed,
    text: number,
  },
]

const byName = { value: ({ name }) => name }

/** The routes, a row each; a head sorts by its column, a name opens its route. */
export class RouteTable {
  constructor(table, open) {
    this.open = open
    this.rows = new Map()
    this.body = table.tBodies[0]
    this.sort = { column: columns[0], isAscending: false }
    const row = table.tHead.insertRow()
    this.heads = [{ head: 'Route', ...byName }, ...columns].map((column) => this.#head(row, column))
    this.#mark()
  }

  show(stats, routes) {
    this.stats = stats
    this.routes = routes
    const names = new Set([
      ...routes.keys(),
      ...Object.keys(stats.routes).filter((name) => stats.routes[name].requests > 0),
    ])
    for (const [name, row] of this.rows) {
      if (names.has(name)) continue
      row.element.remove()
      this.rows.delete(name)
    }
    for (const name of names) this.#fill(name)
    this.#order()
  }

  #head(row, column) {
    const cell = document.createElement('th')
    cell.scope = 'col'
    const button = document.createElement('button')
    button.type = 'button'
    button.textContent = column.head
    if (column.title !== undefined) button.title = column.title
    button.addEventListener('click', () => {
      const isSame = this.sort.column === column
      this.sort = { column, isAscending: isSame ? !this.sort.isAscending : column.head === 'Route' }
      this.#mark()
      this.#order()
    })
    cell.append(button)
    row.append(cell)
    return { cell, column }
  }

  #mark() {
    for (const { cell, column } of this.heads) {
      if (column === this.sort.column)
        cell.setAttribute('aria-sort', this.sort.isAscending ? 'ascending' : 'descending')
      else cell.removeAttribute('aria-sort')
    }
  }

  #fill(name) {
    const counts = this.stats.routes[name]
    const row = this.rows.get(name) ?? this.#row(name)
    row.data = { name, counts, now: counts?.now, route: this.routes.get(name) }
    columns.forEach((column, i) => {
      const value = column.value(row.data)
      const text = column.text(value, row.data)
      const cell = row.cells[i]
      if (cell.textContent !== text) cell.textContent = text
      const isNothing = value === undefined || value === null || value === 0
      cell.className = isNothing ? 'nothing' : column.isAlarm ? 'alarm' : ''
    })
  }

  #row(name) {
    const element = document.createElement('tr')
    const head = document.createElement('th')
    head.scope = 'row'
    if (name === 'none') head.textContent = 'no route'
    else {
      const button = document.createElement('button')
      button.type = 'button'
      button.textContent = name
      button.addEventListener('click', () => this.open(name))
      head.append(button)
    }
    const cells = columns.map(() => document.createElement('td'))
    element.append(head, ...cells)
    const row = { element, cells }
    this.rows.set(name, row)
    return row
  }

  /** Puts the rows in order; what has the focus keeps it. */
  #order() {
    const { column, isAscending } = this.sort
    const missing = isAscending ? Number.POSITIVE_INFINITY : Number.NEGATIVE_INFINITY
    const sorted = [...this.rows.values()].sort((a, b) => {
      const [left, right] = [a, b].map(({ data }) => column.value(data) ?? missing)
      const order = left < right ? -1 : left > right ? 1 : 0
      return (isAscending ? order : -order) || (a.data.name < b.data.name ? -1 : 1)
    })
    if (sorted.every(({ element }, i) => this.body.rows[i] === element)) return
    const focused = document.activeElement
    this.body.append(...sorted.map(({ element }) => element))
    if (this.body.contains(focused)) focused.focus()
  }
}
