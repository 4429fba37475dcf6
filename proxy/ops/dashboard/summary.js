import { count, levels, number, percent, seconds, span } from './words.js'

const byId = (id) => document.getElementById(id)

/** The first word: the degradation level, or that there is no contact. It is spoken when it changes. */
export function showHealth(level, forSeconds, stats) {
  const [sign, why] = levels[level]
  const word = level === 'none' ? 'no contact' : level
  const hasChanged = document.body.dataset.level !== level
  document.body.dataset.level = level
  byId('sign').textContent = sign
  byId('level').textContent = word
  const open = (stats?.breakers ?? []).filter(({ state }) => state !== 'closed').map(({ name }) => name)
  const breakers = open.length === 0 || level === 'none' ? '' : `. Breaker open: ${open.slice(0, 3).join(', ')}`
  const since = level === 'none' ? `for ${span(forSeconds)}; trying again each second` : `for ${span(forSeconds)}`
  byId('why').textContent = `${why}${breakers}, ${since}`.replace(/, (for .*)$/, ' · $1')
  if (hasChanged) byId('spoken').textContent = `${word}: ${why}`
  document.title = `${sign} ${word} · onramp`
}

/** The figures beside it: a name, a number, and what stands behind it. */
export function showSummary(list, stats) {
  const { total } = stats
  const now = total.now
  const sinceStart = (value) => `${count(value)} since the start`
  const saved = now.queries + now.queriesSaved
  const figures = [
    ['requests', 'Requests/s', number(now.requests), sinceStart(total.requests)],
    ['p50', 'p50', seconds(now.p50Seconds), 'half are faster'],
    ['p99', 'p99', seconds(now.p99Seconds), '1 in 100 is slower'],
    ['errors', 'Errors', percent(now.errorRatio), sinceStart(total.errors)],
    [
      'hits',
      'Hit ratio',
      percent(now.hitRatio),
      total.hitRatio === null ? 'nothing answered yet' : `${percent(total.hitRatio)} since the start`,
    ],
    ['sent', 'SQL sent/s', number(now.queries), sinceStart(total.queries)],
    [
      'saved',
      'SQL saved/s',
      number(now.queriesSaved),
      saved > 0 ? `${percent(now.queriesSaved / saved)} of what was asked` : 'nothing asked now',
    ],
    ['clients', 'Clients', count(stats.clients), `${count(stats.flights)} fills under way`],
  ]
  if (list.childElementCount === 0) list.append(...figures.map(([id, name]) => tile(id, name)))
  figures.forEach(([id, , value, note], i) => {
    const [, shown, small] = list.children[i].children
    if (shown.textContent !== value) shown.textContent = value
    if (small.textContent !== note) small.textContent = note
    list.children[i].classList.toggle('bad', id === 'errors' && now.errorRatio > 0)
  })
}

function tile(id, name) {
  const box = document.createElement('div')
  const [term, value, note] = ['dt', 'dd', 'dd'].map((tag) => document.createElement(tag))
  term.textContent = name
  value.id = `figure-${id}`
  value.className = 'value'
  note.className = 'note'
  box.append(term, value, note)
  return box
}
