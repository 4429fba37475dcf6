// The configuration as parsed, before the schema has accepted it.

/** A place in the configuration: names of settings, indexes of lists. */
export type Path = readonly (string | number)[]

/** Takes one fault: its place, a sentence, and the bad value if the reader is to see it. */
export type TellFault = (path: Path, sentence: string, value?: unknown) => void

/** The value at `path` in `value`; undefined if there is none. */
export function valueAt(value: unknown, path: Path): unknown {
  return path.reduce<unknown>((at, part) => (isObject(at) ? at[part] : undefined), value)
}

/** The mapping at `path` in `value`; an empty one if there is none. */
export function recordAt(value: unknown, path: Path): Record<string, unknown> {
  const found = valueAt(value, path)
  return isObject(found) && !Array.isArray(found) ? found : {}
}

function isObject(value: unknown): value is Record<string | number, unknown> {
  return typeof value === 'object' && value !== null
}
