// Finds, makes and writes elements of the page.

/**
 * The element of the page with this id. Throws if there is none, or if it has another type.
 *
 * @template {HTMLElement} T
 * @param {string} id
 * @param {new () => T} type
 * @returns {T}
 */
export function byId(id, type) {
  const found = document.getElementById(id)
  if (found instanceof type) return found
  throw new Error(`The page has no ${type.name} with the id "${id}".`)
}

/**
 * The body of the table with this id.
 *
 * @param {string} id
 */
export function bodyOf(id) {
  const table = byId(id, HTMLTableElement)
  return table.tBodies[0] ?? table.createTBody()
}

/**
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {string} [text]
 */
export function element(tag, text = '') {
  const made = document.createElement(tag)
  made.textContent = text
  return made
}

/**
 * Writes `text` if it has changed: an unchanged text keeps its selection.
 *
 * @param {HTMLElement} place
 * @param {string} text
 */
export function write(place, text) {
  if (place.textContent !== text) place.textContent = text
}
