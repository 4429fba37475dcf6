// The head of the page: the degradation level, its cause and the action, and the figures.
import { byId, element, write } from './dom.js'
import { clockTime, count, levels, number, percent, seconds, span, utcTime } from './words.js'

/**
 * @import { DegradationLevel } from '../degradation.ts'
 * @import { Stats } from '../stats.ts'
 */

/**
 * The first line of the page. `since` is in milliseconds since 1970; `details` are the sentences beside it, by row.
 *
 * @typedef {object} Health
 * @property {DegradationLevel | 'none'} level
 * @property {number} since
 * @property {Partial<Record<'cause' | 'action' | 'effect' | 'circuits', string>>} details
 */

/** A process younger than this has a memory tier that is still filling. */
const newSeconds = 120
const justStarted = ' This process has just started: its memory is still filling.'

const rows = /** @type {const} */ (['cause', 'action', 'effect', 'circuits'])

/**
 * Shows the degradation level. A change of it is announced to screen readers.
 *
 * @param {Stats} stats
 * @param {number} startedAt of the process, in milliseconds since 1970 on the clock of the browser
 */
export function showHealth(stats, startedAt) {
  const { degradationLevel: level, degradationSeconds, degradationReason, degradationAction, uptimeSeconds } = stats
  const open = stats.breakers.filter(({ state }) => state !== 'closed').map(({ name }) => breakerName(name))
  const more = open.length > 4 ? `, and ${open.length - 4} more` : ''
  writeHealth({
    level,
    since: startedAt + (uptimeSeconds - degradationSeconds) * 1000,
    details: {
      ...(degradationReason !== undefined && { cause: sentence(degradationReason) }),
      ...(degradationAction !== undefined && { action: degradationAction }),
      effect: `${levels[level].effect}${uptimeSeconds < newSeconds ? justStarted : ''}`,
      ...(open.length > 0 && { circuits: `${open.slice(0, 4).join(', ')}${more}` }),
    },
  })
  write(byId('process', HTMLElement), `onramp ${stats.version}, started ${clockTime(startedAt)}`)
}

/**
 * Says that no message has come since `since`, in milliseconds since 1970.
 *
 * @param {number} since
 */
export function showNoContact(since) {
  writeHealth({
    level: 'none',
    since,
    details: {
      cause: 'No message from the admin listener of onramp.',
      action:
        'Check that the process runs and that this browser reaches its admin port. This page reconnects by itself.',
      effect: levels.none.effect,
    },
  })
}

/** @param {Health} health */
function writeHealth({ level, since, details }) {
  const { sign, name } = levels[level]
  const hasChanged = document.body.dataset.level !== level
  document.body.dataset.level = level
  write(byId('sign', HTMLElement), sign)
  write(byId('level', HTMLElement), name)
  const time = byId('since', HTMLTimeElement)
  write(time, clockTime(since))
  time.dateTime = new Date(since).toISOString()
  time.title = utcTime(since)
  write(byId('duration', HTMLElement), `(${span((Date.now() - since) / 1000)})`)
  byId('since-line', HTMLElement).hidden = false
  for (const row of rows) {
    byId(`${row}-row`, HTMLElement).hidden = details[row] === undefined
    write(byId(row, HTMLElement), details[row] ?? '')
  }
  if (hasChanged) {
    const spoken = [`${name} since ${clockTime(since)}.`, details.cause, details.action, details.effect]
    byId('spoken', HTMLElement).textContent = spoken.filter((part) => part !== undefined).join(' ')
  }
  document.title = `${sign} ${name} · onramp`
}

/**
 * A clause as a sentence; an error message in it keeps its end.
 *
 * @param {string} clause
 */
function sentence(clause) {
  return `${clause.charAt(0).toUpperCase()}${clause.slice(1)}`
}

/** @param {string} name */
function breakerName(name) {
  return name === 'origin' ? 'database' : name
}

/** The figures: a name, a number, and a note. */
export class FigureTiles {
  #list = byId('figures', HTMLDListElement)
  /** @type {Map<string, { box: HTMLElement, value: HTMLElement, note: HTMLElement }>} */
  #tiles = new Map()

  /** @param {Stats} stats */
  show({ total, clients, flights }) {
    const { now } = total
    /** @param {number} value */
    const sinceStart = (value) => `${count(value)} since start`
    const hits = total.hitRatio === null ? 'no requests yet' : `${percent(total.hitRatio)} since start`
    const wanted = now.queries + now.queriesSaved
    const saved = wanted > 0 ? `${percent(now.queriesSaved / wanted)} of statements` : 'no requests now'
    this.#write('requests', 'Requests/s', number(now.requests), sinceStart(total.requests))
    this.#write('errors', 'Failed', percent(now.errorRatio), sinceStart(total.errors), now.errors > 0 ? 'alarm' : '')
    this.#write('shed-requests', 'Shed/s', number(now.shed), sinceStart(total.shed), now.shed > 0 ? 'warning' : '')
    this.#write('p50', 'p50', seconds(now.p50Seconds), 'median')
    this.#write('p99', 'p99', seconds(now.p99Seconds), '1 in 100 takes longer')
    this.#write('hits', 'Hit ratio', percent(now.hitRatio), hits)
    this.#write('sent', 'SQL sent/s', number(now.queries), sinceStart(total.queries))
    this.#write('saved', 'SQL saved/s', number(now.queriesSaved), saved)
    this.#write('clients', 'Clients', count(clients), `${count(flights)} ${flights === 1 ? 'fill' : 'fills'} running`)
  }

  /**
   * @param {string} id
   * @param {string} name
   * @param {string} value
   * @param {string} note
   * @param {'' | 'alarm' | 'warning'} tone
   */
  #write(id, name, value, note, tone = '') {
    const tile = this.#tiles.get(id) ?? this.#append(id, name)
    write(tile.value, value)
    write(tile.note, note)
    tile.box.className = tone
  }

  /**
   * @param {string} id
   * @param {string} name
   */
  #append(id, name) {
    const [box, value, note] = [element('div'), element('dd'), element('dd')]
    value.id = `figure-${id}`
    value.className = 'value'
    note.className = 'note'
    box.append(element('dt', name), value, note)
    this.#list.append(box)
    const tile = { box, value, note }
    this.#tiles.set(id, tile)
    return tile
  }
}
