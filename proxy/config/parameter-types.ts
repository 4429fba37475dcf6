// The types a route's parameters may have: what the file says of each, and what may not be said together.
import { z } from 'zod'
import { messageOf, quote } from '../errors.ts'
import { flag, integer } from './scalars.ts'

/** What the database takes the values of a parameter for. */
export type Held = 'texts' | 'integers'

/** One type of parameter: its settings, what they say against each other, in sentences, and what its values are. */
function parameterType<Settings extends z.ZodObject>(
  settings: Settings,
  contradictions: (parameter: z.output<Settings>) => string[],
  holds: Held = 'texts',
) {
  return { settings, contradictions, holds }
}

/** The sentences of the rules that are broken. */
function broken(...rules: (readonly [holds: boolean, sentence: string])[]): string[] {
  return rules.flatMap(([holds, sentence]) => (holds ? [] : [sentence]))
}

/**
 * The types of a single value. A type is added here and, with its reader, in `http/routes/parameters.ts`: the rest of the
 * program, config/schema.json and the README take it from this table. The name is the `type` that its settings begin with.
 */
const scalarTypes = {
  string: parameterType(
    z.strictObject({
      type: z.literal('string'),
      pattern: z.string().optional().describe('A regular expression the whole value must match'),
      minLength: integer(0, 1000).prefault(1),
      maxLength: integer(1, 1000).prefault(100),
      lowercase: flag.prefault(false).describe('Fold the value to lower case first, so that case makes no other key'),
      default: z.string().nullish().describe('Taken when the value is not given; `null` binds NULL'),
    }),
    ({ minLength, maxLength, lowercase, pattern, default: preset }) => [
      ...broken([minLength <= maxLength, 'has a minLength above its maxLength']),
      ...(typeof preset === 'string' ? misfits(preset, minLength, maxLength, lowercase) : []),
      ...(pattern === undefined ? [] : patternFaults(pattern, preset)),
    ],
  ),
  integer: parameterType(
    z.strictObject({
      type: z.literal('integer'),
      min: integer(-2_147_483_648, 2_147_483_647).prefault(0),
      max: integer(-2_147_483_648, 2_147_483_647).prefault(2_147_483_647),
      default: integer(-2_147_483_648, 2_147_483_647).nullish(),
    }),
    ({ min, max, default: preset }) =>
      broken(
        [min <= max, 'has a min above its max'],
        [
          typeof preset !== 'number' || (preset >= min && preset <= max),
          `has a default outside its bounds: ${quote(preset)}`,
        ],
      ),
    'integers',
  ),
  enum: parameterType(
    z.strictObject({
      type: z.literal('enum'),
      values: z.array(z.string().min(1)).min(1),
      default: z.string().nullish(),
    }),
    ({ values, default: preset }) =>
      broken([
        typeof preset !== 'string' || values.includes(preset),
        `has a default that is none of its values: ${quote(preset)}`,
      ]),
  ),
}

/** Every type of parameter, by its name. */
export const parameterTypes = {
  ...scalarTypes,
  list: parameterType(
    z.strictObject({
      type: z.literal('list'),
      items: anyOf(Object.values(scalarTypes)),
      minItems: integer(1, 1000).prefault(1),
      maxItems: integer(1, 1000).prefault(20),
      sorted: flag.prefault(false).describe('Order means nothing: sort, so that it makes no other key'),
      unique: flag.prefault(false).describe('A repeated item means nothing: keep one'),
      default: z.null().optional(),
    }),
    ({ minItems, maxItems, items }) =>
      broken(
        [minItems <= maxItems, 'has a minItems above its maxItems'],
        [items.default === undefined, 'has items with a default'],
      ),
  ),
}

/** A parameter of any of `types`, told apart by its `type`. */
export function anyOf<Type extends { settings: z.ZodObject }>(types: readonly Type[]) {
  const [first, ...more] = types.map(settingsOf)
  if (first === undefined) throw new Error('There is no type of parameter.')
  return z.discriminatedUnion('type', [first, ...more], {
    error: ({ options }) => (Array.isArray(options) ? `is none of the types ${options.join(', ')}` : undefined),
  })
}

function settingsOf<Type extends { settings: z.ZodObject }>({ settings }: Type): Type['settings'] {
  return settings
}

type ScalarTypes = typeof scalarTypes
export type ScalarParameter = z.output<ScalarTypes[keyof ScalarTypes]['settings']>
type ParameterTypes = typeof parameterTypes
/** A declared parameter, by the name of its type. */
export type ParameterOf = { [Type in keyof ParameterTypes]: z.output<ParameterTypes[Type]['settings']> }
export type Parameter = ParameterOf[keyof ParameterOf]

/** A parameter of a route. */
export const parameter = anyOf(Object.values(parameterTypes))

/** What the values of `parameter` are, or the items of a list. */
export function heldBy(parameter: Parameter): Held {
  return scalarTypes[parameter.type === 'list' ? parameter.items.type : parameter.type].holds
}

/** What the settings of `parameter` say against each other, in sentences. */
export function contradictions(parameter: Parameter): string[] {
  const own = contradictionsOf(parameter.type, parameter)
  return parameter.type === 'list' ? [...own, ...contradictions(parameter.items)] : own
}

function contradictionsOf<Type extends keyof ParameterOf>(type: Type, parameter: ParameterOf[Type]): string[] {
  const types: { [Name in keyof ParameterOf]: { contradictions(parameter: ParameterOf[Name]): string[] } } =
    parameterTypes
  return types[type].contradictions(parameter)
}

function misfits(preset: string, minLength: number, maxLength: number, lowercase: boolean): string[] {
  const isFitting = preset.length >= minLength && preset.length <= maxLength && preset.isWellFormed()
  return broken(
    [isFitting && !preset.includes('\0'), `has a default that it would refuse: ${quote(preset)}`],
    [!lowercase || preset === preset.toLowerCase(), `has a default that is not in lower case: ${quote(preset)}`],
  )
}

function patternFaults(pattern: string, preset: string | null | undefined): string[] {
  try {
    new RegExp(pattern, 'v') // by itself: in the parentheses below it could close what it did not open
  } catch (error) {
    return [`has a pattern that is no regular expression: ${messageOf(error)}`]
  }
  return broken([
    typeof preset !== 'string' || new RegExp(`^(?:${pattern})$`, 'v').test(preset),
    `has a default that its pattern refuses: ${quote(preset)}`,
  ])
}
