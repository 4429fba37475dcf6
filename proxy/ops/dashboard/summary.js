import { byId, element, write } from './dom.js'
import { count, explain, levels, number, percent, seconds, span } from './words.js'

/**
 * @import { DegradationLevel } from '../degradation.ts'
 * @import { Stats } from '../stats.ts'
 */

/**
 * The first word: the degradation level. It is spoken when it changes.
 *
 * @param {Stats} stats
 */
export function showHealth({ degradationLevel, degradationReason, degradationSeconds, breakers }) {
  const open = breakers.filter(({ state }) => state !== 'closed').map(({ name }) => name)
  const more = open.length === 0 ? '' : `. Breaker open: ${open.slice(0, 3).join(', ')}`
  const why = explain(degradationLevel, degradationReason)
  writeHealth(degradationLevel, degradationLevel, why, more, `for ${span(degradationSeconds)}`)
}

/**
 * The same where there has been no message for `silentSeconds`.
 *
 * @param {number} silentSeconds
 */
export function showNoContact(silentSeconds) {
  writeHealth('none', 'no contact', explain('none'), '', `for ${span(silentSeconds)}; trying again each second`)
}

/**
 * @param {DegradationLevel | 'none'} level
 * @param {string} word
 * @param {string} why
 * @param {string} more
 * @param {string} since
 */
function writeHealth(level, word, why, more, since) {
  const [sign] = levels[level]
  const hasChanged = document.body.dataset.level !== level
  document.body.dataset.level = level
  byId('sign', HTMLElement).textContent = sign
  byId('level', HTMLElement).textContent = word
  byId('why', HTMLElement).textContent = `${why}${more} · ${since}`
  if (hasChanged) byId('spoken', HTMLElement).textContent = `${word}: ${why}`
  document.title = `${sign} ${word} · onramp`
}

/** The figures beside it: a name, a number, and what stands behind it. */
export class FigureTiles {
  #list = byId('figures', HTMLDListElement)
  /** @type {Map<string, { box: HTMLElement, value: HTMLElement, note: HTMLElement }>} */
  #tiles = new Map()

  /** @param {Stats} stats */
  show({ total, clients, flights }) {
    const { now } = total
    /** @param {number} value */
    const sinceStart = (value) => `${count(value)} since the start`
    const hits = total.hitRatio === null ? 'nothing answered yet' : `${percent(total.hitRatio)} since the start`
    const wanted = now.queries + now.queriesSaved
    const saved = wanted > 0 ? `${percent(now.queriesSaved / wanted)} of what was asked` : 'nothing asked now'
    this.#write('requests', 'Requests/s', number(now.requests), sinceStart(total.requests))
    this.#write('p50', 'p50', seconds(now.p50Seconds), 'half are faster')
    this.#write('p99', 'p99', seconds(now.p99Seconds), '1 in 100 is slower')
    this.#write('errors', 'Errors', percent(now.errorRatio), sinceStart(total.errors), (now.errorRatio ?? 0) > 0)
    this.#write('hits', 'Hit ratio', percent(now.hitRatio), hits)
    this.#write('sent', 'SQL sent/s', number(now.queries), sinceStart(total.queries))
    this.#write('saved', 'SQL saved/s', number(now.queriesSaved), saved)
    this.#write('clients', 'Clients', count(clients), `${count(flights)} fills under way`)
  }

  /**
   * @param {string} id
   * @param {string} name
   * @param {string} value
   * @param {string} note
   * @param {boolean} isBad
   */
  #write(id, name, value, note, isBad = false) {
    const tile = this.#tiles.get(id) ?? this.#append(id, name)
    write(tile.value, value)
    write(tile.note, note)
    tile.box.classList.toggle('bad', isBad)
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
