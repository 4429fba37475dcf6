import { seconds, span } from './words.js'

const byId = (id) => document.getElementById(id)

/** What changed, what was invalidated and by what, and what could be tuned. */
export function showRecentEvents({ recentEvents, advice = [], uptimeSeconds }) {
  const nothing = [{ text: `Nothing since the start, ${span(uptimeSeconds)} ago.`, className: 'nothing' }]
  const changes = recentEvents.changes.slice(0, 7).map(({ agoSeconds, isBad, text }) => ({
    ago: agoSeconds,
    text: `${isBad ? '▲' : '●'} ${text}`,
    className: isBad ? 'worse' : 'better',
  }))
  list(byId('changes'), changes.length > 0 ? changes : nothing)
  const invalidations = recentEvents.invalidations.slice(0, 5).map(({ agoSeconds, cause, tags, lagSeconds }) => ({
    ago: agoSeconds,
    text: `${tags.slice(0, 4).join(', ')}${tags.length > 4 ? ` and ${tags.length - 4} more` : ''}`,
    note: lagSeconds === undefined ? cause : `${cause}, heard after ${seconds(lagSeconds)}`,
  }))
  list(byId('invalidations'), invalidations.length > 0 ? invalidations : nothing)
  byId('advice').hidden = advice.length === 0
  list(byId('advice').querySelector('ul'), advices(advice))
}

/** What there is to do, then what is as it should be; of what was hardly measured, only how many routes that are. */
function advices(advice) {
  const of = (...kinds) => advice.filter(({ kind }) => kinds.includes(kind))
  const said = [...of('memory', 'lengthen', 'shorten'), ...of('keep')].slice(0, 8)
  const lines = said.map(({ route, kind, text }) => ({
    text: `${route}: ${text}`,
    className: kind === 'keep' ? 'nothing' : '',
  }))
  const unmeasured = of('unmeasured').length
  if (unmeasured === 0) return lines
  const who = unmeasured === 1 ? '1 route' : `${unmeasured} routes`
  return [...lines, { text: `${who}: too few refreshes yet to say anything.`, className: 'nothing' }]
}

function list(element, items) {
  while (element.childElementCount > items.length) element.lastElementChild.remove()
  items.forEach((item, i) => {
    const line = element.children[i] ?? element.appendChild(document.createElement('li'))
    const parts = [
      ['text', item.text],
      ['ago', item.ago === undefined ? '' : `${span(item.ago)} ago`],
      ['note', item.note ?? ''],
    ]
    line.className = item.className ?? ''
    parts.forEach(([name, text], k) => {
      const part = line.children[k] ?? line.appendChild(document.createElement('span'))
      part.className = name
      if (part.textContent !== text) part.textContent = text
    })
  })
}
