/**
 * Makes the purge form work. The function returned purges `{tags}` or `{route}`; its `show` keeps the form up to date.
 *
 * The token is only ever in its field and in the Authorization header of a POST: never in an address, never stored.
 */
export function purging(form, page) {
  const field = (id) => form.querySelector(`#${id}`)
  const [kind, name, token, outcome, names] = ['purge-kind', 'purge-name', 'token', 'purged', 'purge-names'].map(field)

  async function purge(what) {
    const headers = { 'Content-Type': 'application/json' }
    if (token.value !== '') headers.Authorization = `Bearer ${token.value}`
    say('…')
    try {
      const signal = AbortSignal.timeout(10_000)
      const response = await fetch('purge', { method: 'POST', headers, body: JSON.stringify(what), signal })
      const answer = await response.json()
      if (response.status === 401) {
        say('The token is missing, or is not the one of admin.token.', true)
        token.closest('dialog, form').querySelector('#token').focus()
      } else if (!response.ok) say(answer.detail ?? answer.title, true)
      else say(done(answer), answer.missed.length > 0)
    } catch {
      say('onramp did not answer; whether it was purged is not known.', true)
    }
    return outcome.textContent
  }

  function say(text, isBad = false) {
    outcome.textContent = text
    outcome.classList.toggle('bad', isBad)
  }

  form.addEventListener('submit', (event) => {
    event.preventDefault()
    const soft = event.submitter?.dataset.soft !== undefined
    const text = name.value.trim()
    void purge(kind.value === 'route' ? { route: text, soft } : { tags: [text], soft })
  })

  let shown = ''
  function suggest() {
    const routes = [...page().routes.values()]
    const wanted = kind.value === 'route' ? routes.map((route) => route.name) : tagsOf(routes)
    if (shown === wanted.join()) return
    shown = wanted.join()
    names.replaceChildren(...wanted.map((value) => Object.assign(document.createElement('option'), { value })))
  }
  kind.addEventListener('change', suggest)

  return Object.assign(purge, {
    show({ needsToken }) {
      field('token-field').hidden = !needsToken
      suggest()
    },
  })
}

function tagsOf(routes) {
  return [...new Set(routes.flatMap(({ purgeTags }) => purgeTags))].sort()
}

function done({ tags, soft, reached, missed }) {
  const what = `${soft ? 'Soft purge of' : 'Purged'} ${tags.join(', ')}`
  return missed.length > 0
    ? `${what} in ${reached.join(' and ')}; ${missed.join(' and ')} did not answer, and is not used until it has heard of it.`
    : `${what}${soft ? '' : ` in ${reached.join(' and ')}`}.`
}
