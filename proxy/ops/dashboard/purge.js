// The purge form.
import { sendPurge } from './api.js'
import { byId, element } from './dom.js'

/**
 * @import { Purged, PurgeRequest } from '../../coherence/purge.ts'
 * @import { DescribedRoute, Stats } from '../stats.ts'
 */

/**
 * Sends what the form, or a route dialog, asks for.
 *
 * The token is only in its field and in the Authorization header of a POST: never in a URL, never stored.
 */
export class PurgeForm {
  #kind = byId('purge-kind', HTMLSelectElement)
  #name = byId('purge-name', HTMLInputElement)
  #names = byId('purge-names', HTMLDataListElement)
  #tokenField = byId('token-field', HTMLElement)
  #token = byId('token', HTMLInputElement)
  #outcome = byId('purged', HTMLElement)
  /** @type {DescribedRoute[]} */
  #routes = []
  /** The present suggestions, joined. */
  #suggested = ''

  constructor() {
    byId('purge', HTMLFormElement).addEventListener('submit', (event) => {
      event.preventDefault()
      const soft = event.submitter?.dataset.soft !== undefined
      const text = this.#name.value.trim()
      void this.purge(this.#kind.value === 'route' ? { route: text, soft } : { tags: [text], soft })
    })
    this.#kind.addEventListener('change', () => this.#suggest())
  }

  /**
   * @param {Stats} stats
   * @param {Iterable<DescribedRoute>} routes
   */
  show({ needsToken }, routes) {
    this.#tokenField.hidden = !needsToken
    this.#routes = [...routes]
    this.#suggest()
  }

  /**
   * Purges, and resolves to the outcome in a sentence.
   *
   * @param {PurgeRequest} request
   */
  async purge(request) {
    this.#write('Purging …')
    try {
      const answer = await sendPurge(request, this.#token.value)
      if ('purged' in answer) this.#write(sentenceOf(answer.purged), answer.purged.missed.length > 0)
      else if ('problem' in answer) this.#write(answer.problem, true)
      else {
        this.#write('The token is missing or wrong. Enter the value of admin.token.', true)
        this.#token.focus()
      }
    } catch {
      this.#write('No reply from onramp: the purge may or may not have happened. Purge again.', true)
    }
    return this.#outcome.textContent
  }

  /** @param {string} text */
  #write(text, isBad = false) {
    this.#outcome.textContent = text
    this.#outcome.classList.toggle('bad', isBad)
  }

  #suggest() {
    const isRoute = this.#kind.value === 'route'
    const wanted = isRoute ? this.#routes.map(({ name }) => name) : tagsOf(this.#routes)
    if (this.#suggested === wanted.join()) return
    this.#suggested = wanted.join()
    this.#names.replaceChildren(...wanted.map((value) => Object.assign(element('option'), { value })))
  }
}

/** @param {DescribedRoute[]} routes */
function tagsOf(routes) {
  return [...new Set(routes.flatMap(({ purgeTags }) => purgeTags))].sort()
}

/** @param {Purged} purged */
function sentenceOf({ tags, soft, reached, missed }) {
  const what = `${soft ? 'Soft purge of' : 'Purged'} ${tags.join(', ')}`
  return missed.length > 0
    ? `${what} in ${reached.join(' and ')}. No reply from ${missed.join(' and ')}, which stays bypassed until it has the purge.`
    : `${what}${soft ? '' : ` in ${reached.join(' and ')}`}.`
}
