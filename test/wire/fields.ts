// Header fields as they are on the wire. Bytes are latin1 strings here: one character is one byte.

export type Field = readonly [name: string, value: string]

/** The values of all fields named `name`, in order. */
export function valuesOf(fields: readonly Field[], name: string): string[] {
  return fields.filter(([own]) => own.toLowerCase() === name.toLowerCase()).map(([, value]) => value)
}

/** Parses field lines, without their line ends, unmodified. */
export function fieldsOf(lines: readonly string[]): Field[] {
  return lines.map((line) => {
    const colon = line.indexOf(':')
    return [line.slice(0, colon), line.slice(colon + 1).trim()]
  })
}
