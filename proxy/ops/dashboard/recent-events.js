import { byId, element, write } from './dom.js'
import { seconds, span } from './words.js'

/**
 * @import { Advice } from '../advice.ts'
 * @import { Stats } from '../stats.ts'
 */

/**
 * An item of a list: a text, how long ago that was, a note, and the class of the style sheet.
 *
 * @typedef {{ text: string, ago?: number, note?: string, className?: string }} ListItem
 */

/** What changed, what was invalidated and by what, and what could be tuned. */
export class RecentEventsPanel {
  #changes = new LineList(byId('changes', HTMLOListElement))
  #invalidations = new LineList(byId('invalidations', HTMLOListElement))
  #advice = new LineList(byId('advice-list', HTMLUListElement))
  #adviceSection = byId('advice', HTMLElement)

  /** @param {Stats} stats */
  show({ recentEvents, advice, uptimeSeconds }) {
    const nothing = [{ text: `Nothing since the start, ${span(uptimeSeconds)} ago.`, className: 'nothing' }]
    const changes = recentEvents.changes.slice(0, 7).map(({ agoSeconds, isBad, text }) => ({
      ago: agoSeconds,
      text: `${isBad ? '▲' : '●'} ${text}`,
      className: isBad ? 'worse' : 'better',
    }))
    this.#changes.show(changes.length > 0 ? changes : nothing)
    const invalidations = recentEvents.invalidations.slice(0, 5).map(({ agoSeconds, cause, tags, lagSeconds }) => ({
      ago: agoSeconds,
      text: `${tags.slice(0, 4).join(', ')}${tags.length > 4 ? ` and ${tags.length - 4} more` : ''}`,
      note: lagSeconds === undefined ? cause : `${cause}, heard after ${seconds(lagSeconds)}`,
    }))
    this.#invalidations.show(invalidations.length > 0 ? invalidations : nothing)
    this.#adviceSection.hidden = advice.length === 0
    this.#advice.show(adviceLines(advice))
  }
}

/**
 * What there is to do, then what is as it should be; of what was hardly measured, only how many routes that are.
 *
 * @param {Advice[]} advice
 * @returns {ListItem[]}
 */
function adviceLines(advice) {
  /** @param {Advice['kind'][]} kinds */
  const of = (...kinds) => advice.filter(({ kind }) => kinds.includes(kind))
  const shown = [...of('memory', 'lengthen', 'shorten'), ...of('keep')].slice(0, 8)
  const lines = shown.map(({ route, kind, text }) => ({
    text: `${route}: ${text}`,
    className: kind === 'keep' ? 'nothing' : '',
  }))
  const unmeasured = of('unmeasured').length
  if (unmeasured === 0) return lines
  const who = unmeasured === 1 ? '1 route' : `${unmeasured} routes`
  return [...lines, { text: `${who}: too few refreshes yet to say anything.`, className: 'nothing' }]
}

/** A list whose elements stay as they are while its lines change: what is selected stays selected. */
class LineList {
  #list
  /** @type {{ item: HTMLElement, text: HTMLElement, ago: HTMLElement, note: HTMLElement }[]} */
  #lines = []

  /** @param {HTMLElement} list */
  constructor(list) {
    this.#list = list
  }

  /** @param {ListItem[]} lines */
  show(lines) {
    for (const { item } of this.#lines.splice(lines.length)) item.remove()
    for (const [i, { text, ago, note = '', className = '' }] of lines.entries()) {
      const line = this.#lines[i] ?? this.#append()
      line.item.className = className
      write(line.text, text)
      write(line.ago, ago === undefined ? '' : `${span(ago)} ago`)
      write(line.note, note)
    }
  }

  #append() {
    const [text, ago, note] = [part('text'), part('ago'), part('note')]
    const item = element('li')
    item.append(text, ago, note)
    this.#list.append(item)
    const line = { item, text, ago, note }
    this.#lines.push(line)
    return line
  }
}

/** @param {string} className */
function part(className) {
  const made = element('span')
  made.className = className
  return made
}
