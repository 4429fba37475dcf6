// The configuration as it was parsed, before it is known to fit the schema.

/** Where in the configuration something is: names of settings, indexes of lists. */
export type Path = readonly (string | number)[]

/** Takes one fault: where, what, and the bad value where it helps to see it. */
export type TellFault = (path: Path, sentence: string, value?: unknown) => void

/** What is at `path` in `value`, if anything is. */
export function valueAt(value: unknown, path: Path): unknown {
  return path.reduce<unknown>((at, part) => (isObject(at) ? at[part] : undefined), value)
}

/** The mapping at `path` in `value`; an empty one where there is none. */
export function recordAt(value: unknown, path: Path): Record<string, unknown> {
  const found = valueAt(value, path)
  return isObject(found) && !Array.isArray(found) ? found : {}
}

function isObject(value: unknown): value is Record<string | number, unknown> {
  return typeof value === 'object' && value !== null
}
