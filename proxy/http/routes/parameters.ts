// What a client sent for a parameter, as a typed, canonical value or a fault.
import type { Params, Scalar } from '../../cache/key.ts'
import type { Parameter, ScalarParameter } from '../../config/schema.ts'
import { quote } from '../../errors.ts'

/** What a client sent for one name: text (a query, a path), or a JSON value; several where a name came more than once. */
export type Given = ReadonlyMap<string, readonly unknown[]>

/** A name with its value that could not be decoded: percent signs that are no UTF-8. Fits no parameter. */
export const undecodable = Symbol('undecodable')

export type Outcome<T> = { value: T } | { fault: string }
export type Reader = (value: unknown) => Outcome<Params[string]>

/** Makes the reader of one declared parameter: what a client sent becomes a typed, canonical value, or a fault. */
export function readerOf(parameter: Parameter): Reader {
  const read = parameter.type === 'list' ? listReader(parameter) : scalarReader(parameter)
  return (value) => {
    if (value === undecodable) return { fault: 'is not percent-encoded UTF-8' }
    // JSON null is how a body says that an optional parameter is not given.
    if (value === null && parameter.default !== undefined) return { value: parameter.default }
    return read(value)
  }
}

function listReader(list: Extract<Parameter, { type: 'list' }>): Reader {
  const readItem = scalarReader(list.items)
  const { minItems, maxItems, sorted, unique } = list
  return (value) => {
    const items = typeof value === 'string' ? value.split(',') : value
    if (!Array.isArray(items)) return { fault: 'is not a list' }
    // A repeated item may yet mean nothing; otherwise what is too long need not be read.
    if (!unique && items.length > maxItems) return { fault: `has more than ${maxItems} items` }
    let read: Scalar[] = []
    for (const item of items) {
      const outcome = readItem(item)
      if ('fault' in outcome) return { fault: `has an item that ${outcome.fault}` }
      read.push(outcome.value)
    }
    if (unique) read = [...new Set(read)]
    if (read.length < minItems) return { fault: `has fewer than ${minItems} items` }
    if (read.length > maxItems) return { fault: `has more than ${maxItems} items` }
    if (sorted) read.sort((a, b) => (a < b ? -1 : Number(a > b)))
    return { value: read }
  }
}

function scalarReader(parameter: ScalarParameter): (value: unknown) => Outcome<Scalar> {
  switch (parameter.type) {
    case 'integer':
      return (value) => {
        // Leading zeros, signs and exponents would be other spellings of the same number.
        const number = typeof value === 'string' && /^(0|-?[1-9]\d{0,14})$/.test(value) ? Number(value) : value
        if (!Number.isInteger(number) || Object.is(number, -0))
          return { fault: `is not a whole number: ${quote(value)}` }
        const { min, max } = parameter
        if ((number as number) < min || (number as number) > max)
          return { fault: `is not between ${min} and ${max}: ${quote(value)}` }
        return { value: number as number }
      }
    case 'enum': {
      const values = new Set(parameter.values)
      return (value) =>
        typeof value === 'string' && values.has(value)
          ? { value }
          : { fault: `is none of ${parameter.values.join(', ')}: ${quote(value)}` }
    }
    case 'string': {
      const { minLength, maxLength, lowercase } = parameter
      const pattern = parameter.pattern === undefined ? undefined : new RegExp(`^(?:${parameter.pattern})$`, 'v')
      return (given) => {
        if (typeof given !== 'string') return { fault: `is not a string: ${quote(given)}` }
        const value = lowercase ? given.toLowerCase() : given
        if (value.length > maxLength) return { fault: `is longer than ${maxLength} characters` }
        if (value.length < minLength)
          return { fault: minLength === 1 ? 'is empty' : `is shorter than ${minLength} characters` }
        if (value.includes('\0') || !value.isWellFormed()) return { fault: 'holds characters PostgreSQL cannot store' }
        if (pattern?.test(value) === false) return { fault: `does not match ${parameter.pattern}: ${quote(value)}` }
        return { value }
      }
    }
    default:
      return parameter satisfies never
  }
}

/** `text` percent-decoded, or {@link undecodable}. */
export function decode(text: string): string | typeof undecodable {
  if (!text.includes('%')) return text
  try {
    return decodeURIComponent(text)
  } catch {
    return undecodable // said to the client in the words of a fault
  }
}
