// The identity of an entry.
/** The identity of an entry: which route, in which version, with which parameters. Printable ASCII. */
export type Key = string & { readonly brand: unique symbol }

export type Scalar = string | number | boolean
/** Canonical values in the order they are declared; `null` where an optional parameter was not given. */
export type Params = Readonly<Record<string, Scalar | readonly Scalar[] | null>>

/**
 * Spells the one key that `params` have: `plan-search@3f2a9c01d4e7?county=51059&ages=5,32` and so on.
 *
 * Two different parameter sets of a route never share a key: values and list items are escaped, the
 * comma between items is not, and a parameter that was not given is left out where an empty one is not. Nothing is cut or hashed. A number
 * or a boolean does share its spelling with a string, but a parameter's type is part of `version`.
 */
export function spellKey(route: string, version: string, params: Params): Key {
  let key = `${route}@${version}`
  let mark = '?'
  for (const name in params) {
    const value = params[name]
    if (value === null || value === undefined) continue
    key += `${mark}${name}=${typeof value === 'object' ? value.map(escapeItem).join(',') : escapeItem(value)}`
    mark = '&'
  }
  return key as Key // the one place where a key is made
}

// Digits, letters, - and _ are most of what is asked for; they need no escaping.
const plain = /^[\w-]*$/

function escapeItem(value: Scalar): string {
  if (typeof value !== 'string') return String(value)
  return plain.test(value) ? value : encodeURIComponent(value)
}

/** The route named in `key`. */
export function routeOf(key: string): string {
  return key.slice(0, key.indexOf('@'))
}
