// What a client sent for a parameter, as a typed, canonical value or a fault.
import type { Params, Scalar } from '../../cache/key.ts'
import type { Parameter, ParameterOf, ScalarParameter } from '../../config/parameter-types.ts'
import { quote } from '../../errors.ts'

/** What a client sent for one name: text (a query, a path), or a JSON value; several where a name came more than once. */
export type Given = ReadonlyMap<string, readonly unknown[]>

/** A name with its value that could not be decoded: percent signs that are no UTF-8. Fits no parameter. */
export const undecodable = Symbol('undecodable')

export type ReadOutcome<T> = { value: T } | { fault: string }
export type Reader = (value: unknown) => ReadOutcome<Params[string]>
type ScalarReader = (value: unknown) => ReadOutcome<Scalar>

/** How the reader of a declared parameter is made, for each type of `Declared`. */
type Readers<Declared extends Parameter, Made> = {
  [Type in Declared['type']]: (declared: ParameterOf[Type]) => Made
}

/** A type of `config/parameter-types.ts` has its reader here. */
const scalarReaders: Readers<ScalarParameter, ScalarReader> = {
  string: stringReader,
  integer: integerReader,
  enum: enumReader,
}
const readers: Readers<Parameter, Reader> = { ...scalarReaders, list: listReader }

/** Makes the reader of one declared parameter: what a client sent becomes a typed, canonical value, or a fault. */
export function readerOf(parameter: Parameter): Reader {
  const read = made(readers, parameter.type, parameter)
  return (value) => {
    if (value === undecodable) return { fault: 'is not percent-encoded UTF-8' }
    // JSON null is how a body says that an optional parameter is not given.
    if (value === null && parameter.default !== undefined) return { value: parameter.default }
    return read(value)
  }
}

function made<Type extends Parameter['type'], Made>(
  readers: { [Name in Type]: (declared: ParameterOf[Name]) => Made },
  type: Type,
  declared: ParameterOf[Type],
): Made {
  return readers[type](declared)
}

function listReader({ items, minItems, maxItems, sorted, unique }: ParameterOf['list']): Reader {
  const readItem = made(scalarReaders, items.type, items)
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

function integerReader({ min, max }: ParameterOf['integer']): ScalarReader {
  return (value) => {
    // Leading zeros, signs and exponents would be other spellings of the same number.
    const number = typeof value === 'string' && /^(0|-?[1-9]\d{0,14})$/.test(value) ? Number(value) : value
    if (typeof number !== 'number' || !Number.isInteger(number) || Object.is(number, -0))
      return { fault: `is not a whole number: ${quote(value)}` }
    if (number < min || number > max) return { fault: `is not between ${min} and ${max}: ${quote(value)}` }
    return { value: number }
  }
}

function enumReader(declared: ParameterOf['enum']): ScalarReader {
  const values = new Set(declared.values)
  return (value) =>
    typeof value === 'string' && values.has(value)
      ? { value }
      : { fault: `is none of ${declared.values.join(', ')}: ${quote(value)}` }
}

function stringReader({ minLength, maxLength, lowercase, pattern: declared }: ParameterOf['string']): ScalarReader {
  const pattern = declared === undefined ? undefined : new RegExp(`^(?:${declared})$`, 'v')
  return (given) => {
    if (typeof given !== 'string') return { fault: `is not a string: ${quote(given)}` }
    const value = lowercase ? given.toLowerCase() : given
    if (value.length > maxLength) return { fault: `is longer than ${maxLength} characters` }
    if (value.length < minLength)
      return { fault: minLength === 1 ? 'is empty' : `is shorter than ${minLength} characters` }
    if (value.includes('\0') || !value.isWellFormed()) return { fault: 'holds characters PostgreSQL cannot store' }
    if (pattern?.test(value) === false) return { fault: `does not match ${declared}: ${quote(value)}` }
    return { value }
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
