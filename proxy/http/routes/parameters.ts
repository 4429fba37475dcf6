// Parameter readers: from a client's text or JSON to a typed, canonical value, or a fault.
import type { Params, Scalar } from '../../cache/key.ts'
import type { Parameter, ParameterOf, ScalarParameter } from '../../config/parameter-types.ts'
import { quote } from '../../errors.ts'

/** The values a client sent, by name: text (a query, a path) or JSON values; several if a name was repeated. */
export type Given = ReadonlyMap<string, readonly unknown[]>

/** A value that cannot be decoded: its percent-encoding is not UTF-8. It fits no parameter. */
export const undecodable = Symbol('undecodable')

export type ReadOutcome<T> = { value: T } | { fault: string }
export type Reader = (value: unknown) => ReadOutcome<Params[string]>
type ScalarReader = (value: unknown) => ReadOutcome<Scalar>

/** For each type of `Declared`, a function that makes the reader of a parameter. */
type Readers<Declared extends Parameter, Made> = {
  [Type in Declared['type']]: (declared: ParameterOf[Type]) => Made
}

/** Every type of `config/parameter-types.ts` has its reader here. */
const scalarReaders: Readers<ScalarParameter, ScalarReader> = {
  string: stringReader,
  integer: integerReader,
  enum: enumReader,
}
const readers: Readers<Parameter, Reader> = { ...scalarReaders, list: listReader }

/**
 * Makes the reader of one declared parameter. It turns the client's value into a typed, canonical value, or a fault.
 */
export function readerOf(parameter: Parameter): Reader {
  const read = made(readers, parameter.type, parameter)
  return (value) => {
    if (value === undecodable) return { fault: 'is not valid percent-encoded UTF-8' }
    // In a body, JSON null means that an optional parameter is not given.
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
    if (!Array.isArray(items)) return { fault: 'must be a list' }
    // Repeated items may be dropped later; otherwise a list that is too long need not be read.
    if (!unique && items.length > maxItems) return { fault: `must have at most ${maxItems} items` }
    let read: Scalar[] = []
    for (const item of items) {
      const outcome = readItem(item)
      if ('fault' in outcome) return { fault: `has an invalid item: it ${outcome.fault}` }
      read.push(outcome.value)
    }
    if (unique) read = [...new Set(read)]
    if (read.length < minItems) return { fault: `must have at least ${minItems} items` }
    if (read.length > maxItems) return { fault: `must have at most ${maxItems} items` }
    if (sorted) read.sort((a, b) => (a < b ? -1 : Number(a > b)))
    return { value: read }
  }
}

function integerReader({ min, max }: ParameterOf['integer']): ScalarReader {
  return (value) => {
    // Leading zeros, plus signs and exponents would be other spellings of the same number.
    const number = typeof value === 'string' && /^(0|-?[1-9]\d{0,14})$/.test(value) ? Number(value) : value
    if (typeof number !== 'number' || !Number.isInteger(number) || Object.is(number, -0))
      return { fault: `must be a whole number, not ${quote(value)}` }
    if (number < min || number > max) return { fault: `must be between ${min} and ${max}, not ${quote(value)}` }
    return { value: number }
  }
}

function enumReader(declared: ParameterOf['enum']): ScalarReader {
  const values = new Set(declared.values)
  return (value) =>
    typeof value === 'string' && values.has(value)
      ? { value }
      : { fault: `must be one of ${declared.values.join(', ')}, not ${quote(value)}` }
}

function stringReader({ minLength, maxLength, lowercase, pattern: declared }: ParameterOf['string']): ScalarReader {
  const pattern = declared === undefined ? undefined : new RegExp(`^(?:${declared})$`, 'v')
  return (given) => {
    if (typeof given !== 'string') return { fault: `must be a string, not ${quote(given)}` }
    const value = lowercase ? given.toLowerCase() : given
    if (value.length > maxLength) return { fault: `must have at most ${maxLength} characters` }
    if (value.length < minLength)
      return { fault: minLength === 1 ? 'must not be empty' : `must have at least ${minLength} characters` }
    if (value.includes('\0') || !value.isWellFormed())
      return { fault: 'contains characters that PostgreSQL cannot store' }
    if (pattern?.test(value) === false) return { fault: `must match ${declared}, but is ${quote(value)}` }
    return { value }
  }
}

/** `text` percent-decoded, or {@link undecodable}. */
export function decode(text: string): string | typeof undecodable {
  if (!text.includes('%')) return text
  try {
    return decodeURIComponent(text)
  } catch {
    return undecodable // the client gets a fault
  }
}
