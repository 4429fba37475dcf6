// The lists beside the routes: advice, changes of state, invalidations.
import { byId, element, write } from './dom.js'
import { clockTime, count, seconds, utcTime } from './words.js'

/**
 * @import { Cause } from '../../observation.ts'
 * @import { Advice } from '../advice.ts'
 * @import { RecentInvalidation } from '../recent-events.ts'
 * @import { Stats } from '../stats.ts'
 */

/**
 * An item of a list: its text, its time in milliseconds since 1970, a note, and its class in the style sheet.
 *
 * @typedef {{ text: string, at?: number, note?: string, className?: string }} ListItem
 */

/**
 * The causes of an invalidation in words.
 *
 * @type {Record<Cause, string>}
 */
const causes = {
  purge: 'purge',
  change: 'database change',
  missed: 'changes before this are unknown, so these entries are refreshed',
  barrier: 'barrier',
}

/** The latest changes of state, the latest invalidations with their causes, and advice on settings. */
export class RecentEventsPanel {
  #changes = new LineList(byId('changes', HTMLOListElement))
  #invalidations = new LineList(byId('invalidations', HTMLOListElement))
  #advice = new LineList(byId('advice-list', HTMLUListElement))
  #adviceSection = byId('advice', HTMLElement)

  /**
   * @param {Stats} stats
   * @param {number} startedAt of the process, in milliseconds since 1970 on the clock of the browser
   */
  show({ recentEvents, advice, uptimeSeconds }, startedAt) {
    /** @param {number} agoSeconds */
    const timeOf = (agoSeconds) => startedAt + (uptimeSeconds - agoSeconds) * 1000
    const nothing = [{ text: `None since the start at ${clockTime(startedAt)}.`, className: 'nothing' }]
    const changes = recentEvents.changes.slice(0, 7).map(({ agoSeconds, isBad, text }) => ({
      at: timeOf(agoSeconds),
      text: `${isBad ? '▲' : '●'} ${text}`,
      className: isBad ? 'worse' : 'better',
    }))
    this.#changes.show(changes.length > 0 ? changes : nothing)
    const invalidations = groupsOf(recentEvents.invalidations)
      .slice(0, 5)
      .map(({ latest: { agoSeconds, cause, tags, lagSeconds }, times, firstAgoSeconds }) => ({
        at: timeOf(agoSeconds),
        text: `${tags.slice(0, 4).join(', ')}${tags.length > 4 ? ` and ${tags.length - 4} more` : ''}`,
        note: [
          causes[cause],
          ...(lagSeconds === undefined ? [] : [`lag ${seconds(lagSeconds)}`]),
          ...(times === 1 ? [] : [`${times} times since ${clockTime(timeOf(firstAgoSeconds))}`]),
        ].join(', '),
      }))
    this.#invalidations.show(invalidations.length > 0 ? invalidations : nothing)
    this.#adviceSection.hidden = advice.length === 0
    this.#advice.show(adviceLines(advice))
  }
}

/**
 * Neighbors of the same cause and tags as one, latest first.
 *
 * @param {RecentInvalidation[]} invalidations latest first
 */
function groupsOf(invalidations) {
  /** @type {{ latest: RecentInvalidation, times: number, firstAgoSeconds: number }[]} */
  const groups = []
  for (const one of invalidations) {
    const group = groups.at(-1)
    if (group !== undefined && group.latest.cause === one.cause && `${group.latest.tags}` === `${one.tags}`) {
      group.times += 1
      group.firstAgoSeconds = one.agoSeconds
    } else groups.push({ latest: one, times: 1, firstAgoSeconds: one.agoSeconds })
  }
  return groups
}

/**
 * First advice to change a setting, then routes whose settings fit. Routes with few measurements are only counted.
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
  const routes = unmeasured === 1 ? '1 route' : `${count(unmeasured)} routes`
  return [...lines, { text: `Not enough refreshes yet to advise on ${routes}.`, className: 'nothing' }]
}

/** A list that reuses its elements, so that a selection survives an update. */
class LineList {
  #list
  /** @type {{ item: HTMLElement, text: HTMLElement, time: HTMLTimeElement, note: HTMLElement, at: number }[]} */
  #lines = []

  /** @param {HTMLElement} list */
  constructor(list) {
    this.#list = list
  }

  /** @param {ListItem[]} lines */
  show(lines) {
    for (const { item } of this.#lines.splice(lines.length)) item.remove()
    for (const [i, { text, at, note = '', className = '' }] of lines.entries()) {
      const line = this.#lines[i] ?? this.#append()
      line.item.className = className
      // Ages come rounded to a tenth of a second: the time of one event is kept, or it would flicker between two seconds.
      const isSame = line.text.textContent === text && at !== undefined && Math.abs(at - line.at) < 1000
      write(line.text, text)
      write(line.note, note)
      if (!isSame) writeTime(line, at)
    }
  }

  #append() {
    const [text, time, note] = [part('text'), element('time'), part('note')]
    const item = element('li')
    item.append(time, text, note)
    this.#list.append(item)
    const line = { item, text, time, note, at: 0 }
    this.#lines.push(line)
    return line
  }
}

/**
 * @param {{ time: HTMLTimeElement, at: number }} line
 * @param {number | undefined} at
 */
function writeTime(line, at) {
  line.at = at ?? 0
  line.time.hidden = at === undefined
  if (at === undefined) return
  write(line.time, clockTime(at))
  line.time.dateTime = new Date(at).toISOString()
  line.time.title = utcTime(at)
}

/** @param {string} className */
function part(className) {
  const made = element('span')
  made.className = className
  return made
}
