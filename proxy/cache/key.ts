// The cache key and its spelling.
/** The identity of an entry: its route, the route's version, and the parameters. Printable ASCII. */
export type Key = string & { readonly brand: unique symbol }

export type Scalar = string | number | boolean
/** Canonical values in the order of declaration; `null` for an optional parameter that was not given. */
export type Params = Readonly<Record<string, Scalar | readonly Scalar[] | null>>

/**
 * Spells the key of `params`: `plan-search@3f2a9c01d4e7?county=51059&ages=5,32` and so on.
 *
 * Two different parameter sets of a route never share a key. Values and list items are escaped; the comma between items
 * is not. A parameter that was not given is left out; an empty one is not. Nothing is truncated or hashed. A number or
 * a boolean is spelled like the same string, but a parameter's type is part of `version`.
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

// Most values have only digits, letters, - and _, which need no escaping.
const plain = /^[\w-]*$/

function escapeItem(value: Scalar): string {
  if (typeof value !== 'string') return String(value)
  return plain.test(value) ? value : encodeURIComponent(value)
}

/** The route named in `key`. */
export function routeOf(key: string): string {
  return key.slice(0, key.indexOf('@'))
}
