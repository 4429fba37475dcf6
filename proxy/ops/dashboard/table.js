// The table of routes.
import { columnsOf } from './columns.js'
import { byId, element, write } from './dom.js'

/**
 * @import { AnswerSource } from '../../sources.ts'
 * @import { DescribedRoute, Stats } from '../stats.ts'
 * @import { Column, RowData } from './columns.js'
 */

/** @typedef {{ element: HTMLElement, cells: { column: Column, cell: HTMLElement }[], data: RowData }} Row */

/** One row per route. A head sorts by its column, a name opens the route dialog. */
export class RoutesPanel {
  #body
  #columns
  #open
  /** @type {{ cell: HTMLElement, column: Column | undefined }[]} */
  #heads
  /** @type {Map<string, Row>} */
  #rows = new Map()
  /**
   * Without a column: by name.
   *
   * @type {{ column: Column | undefined, isAscending: boolean }}
   */
  #sort

  /**
   * @param {readonly AnswerSource[]} sources
   * @param {(name: string) => void} open
   */
  constructor(sources, open) {
    const table = byId('routes', HTMLTableElement)
    this.#body = table.tBodies[0] ?? table.createTBody()
    this.#open = open
    this.#columns = columnsOf(sources)
    this.#sort = { column: this.#columns[0], isAscending: false }
    this.#heads = [undefined, ...this.#columns].map((column) => ({ column, cell: this.#headCell(column) }))
    table
      .createTHead()
      .insertRow()
      .append(...this.#heads.map(({ cell }) => cell))
    this.#markSort()
  }

  /**
   * @param {Stats} stats
   * @param {ReadonlyMap<string, DescribedRoute>} routes
   */
  show(stats, routes) {
    const asked = Object.entries(stats.routes).filter(([, { requests }]) => requests > 0)
    const names = new Set([...routes.keys(), ...asked.map(([name]) => name)])
    for (const [name, row] of this.#rows) {
      if (names.has(name)) continue
      row.element.remove()
      this.#rows.delete(name)
    }
    for (const name of names) {
      const counts = stats.routes[name]
      this.#fill({ name, counts, now: counts?.now ?? undefined, route: routes.get(name) })
    }
    this.#order()
  }

  /** @param {Column | undefined} column */
  #headCell(column) {
    const cell = element('th')
    cell.scope = 'col'
    const button = element('button', column?.head ?? 'Route')
    button.type = 'button'
    if (column !== undefined) button.title = column.title
    button.addEventListener('click', () => {
      const isSame = this.#sort.column === column
      this.#sort = { column, isAscending: isSame ? !this.#sort.isAscending : column === undefined }
      this.#markSort()
      this.#order()
    })
    cell.append(button)
    return cell
  }

  #markSort() {
    const { column: sorted, isAscending } = this.#sort
    for (const { cell, column } of this.#heads) {
      if (column === sorted) cell.setAttribute('aria-sort', isAscending ? 'ascending' : 'descending')
      else cell.removeAttribute('aria-sort')
    }
  }

  /** @param {RowData} data */
  #fill(data) {
    const row = this.#rows.get(data.name) ?? this.#append(data)
    row.data = data
    for (const { column, cell } of row.cells) {
      const value = column.value(data)
      write(cell, column.text(value))
      const isNothing = value === undefined || value === null || value === 0
      cell.className = isNothing ? 'nothing' : (column.tone ?? '')
    }
  }

  /**
   * @param {RowData} data
   * @returns {Row}
   */
  #append(data) {
    const { name } = data
    const head = element('th')
    head.scope = 'row'
    if (name === 'none') head.textContent = 'no route'
    else {
      const button = element('button', name)
      button.type = 'button'
      button.addEventListener('click', () => this.#open(name))
      head.append(button)
    }
    const cells = this.#columns.map((column) => ({ column, cell: element('td') }))
    const line = element('tr')
    line.append(head, ...cells.map(({ cell }) => cell))
    const row = { element: line, cells, data }
    this.#rows.set(name, row)
    return row
  }

  /** Puts the rows in order; the focused element keeps the focus. */
  #order() {
    const sorted = [...this.#rows.values()].sort((a, b) => this.#compare(a.data, b.data))
    if (sorted.every(({ element }, i) => this.#body.rows[i] === element)) return
    const focused = document.activeElement
    this.#body.append(...sorted.map(({ element }) => element))
    if (focused instanceof HTMLElement && this.#body.contains(focused)) focused.focus()
  }

  /**
   * By the sorted column, then by name. A row without a value comes last in both directions.
   *
   * @param {RowData} a
   * @param {RowData} b
   */
  #compare(a, b) {
    const { column, isAscending } = this.#sort
    const byName = a.name < b.name ? -1 : 1
    if (column === undefined) return isAscending ? byName : -byName
    const missing = isAscending ? Number.POSITIVE_INFINITY : Number.NEGATIVE_INFINITY
    const [left, right] = [column.value(a) ?? missing, column.value(b) ?? missing]
    if (left === right) return byName
    return left < right === isAscending ? -1 : 1
  }
}
