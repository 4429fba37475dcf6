// The types of route parameters: the settings of each type, and their contradictions.
import { z } from 'zod'
import { messageOf, quote } from '../errors.ts'
import { flag, integer } from './scalars.ts'

/** The kind of value that the database gets for a parameter. */
export type Held = 'texts' | 'integers'

/** One type of parameter: its settings, a sentence for each contradiction between them, and the kind of its values. */
function parameterType<Settings extends z.ZodObject>(
  settings: Settings,
  contradictions: (parameter: z.output<Settings>) => string[],
  holds: Held = 'texts',
) {
  return { settings, contradictions, holds }
}

/** The sentences of the rules that do not hold. */
function broken(...rules: (readonly [holds: boolean, sentence: string])[]): string[] {
  return rules.flatMap(([holds, sentence]) => (holds ? [] : [sentence]))
}

const aboutDefault =
  'Value when the parameter is not given; `null` binds NULL. Without a default, the parameter is required.'

/**
 * The types of a single value, by the `type` that their settings begin with. To add one: here, and its reader in
 * `http/routes/parameters.ts`. The rest of the program, config/schema.json and config/README.md read this table.
 */
const scalarTypes = {
  string: parameterType(
    z.strictObject({
      type: z.literal('string'),
      pattern: z
        .string()
        .optional()
        .describe('JavaScript regular expression (flag `v`) that the whole value must match; else 400.'),
      minLength: integer(0, 1000)
        .prefault(1)
        .describe('Fewest characters; a shorter value gets 400. `0` allows an empty one.'),
      maxLength: integer(1, 1000).prefault(100).describe('Most characters; a longer value gets 400.'),
      lowercase: flag
        .prefault(false)
        .describe('Converts the value to lower case first, so that all spellings share one entry.'),
      default: z.string().nullish().describe(aboutDefault),
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
      min: integer(-2_147_483_648, 2_147_483_647).prefault(0).describe('Smallest value; a smaller one gets 400.'),
      max: integer(-2_147_483_648, 2_147_483_647)
        .prefault(2_147_483_647)
        .describe('Largest value; a larger one gets 400.'),
      default: integer(-2_147_483_648, 2_147_483_647).nullish().describe(aboutDefault),
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
      values: z.array(z.string().min(1)).min(1).describe('Allowed values, spelled exactly so; any other gets 400.'),
      default: z.string().nullish().describe(aboutDefault),
    }),
    ({ values, default: preset }) =>
      broken([
        typeof preset !== 'string' || values.includes(preset),
        `has a default that is not one of its values: ${quote(preset)}`,
      ]),
  ),
}

/** Every type of parameter, by its name. */
export const parameterTypes = {
  ...scalarTypes,
  list: parameterType(
    z.strictObject({
      type: z.literal('list'),
      items: anyOf(Object.values(scalarTypes)).describe(
        'Type and limits of each item: any type but `list`, without a default.',
      ),
      minItems: integer(1, 1000).prefault(1).describe('Fewest items; fewer get 400.'),
      maxItems: integer(1, 1000)
        .prefault(20)
        .describe('Most items; more get 400. With `unique`, repeated items count once.'),
      sorted: flag
        .prefault(false)
        .describe('Sorts the items, so that every order shares one entry. Set it if order does not matter.'),
      unique: flag.prefault(false).describe('Drops repeated items. Set it if repetition does not matter.'),
      default: z
        .null()
        .optional()
        .describe('`null` binds NULL when no list is given. Without it, the list is required.'),
    }),
    ({ minItems, maxItems, items }) =>
      broken(
        [minItems <= maxItems, 'has a minItems above its maxItems'],
        [items.default === undefined, 'has items with a default: items cannot have one'],
      ),
  ),
}

/** The schema of a parameter of any of `types`, told apart by its `type`. */
export function anyOf<Type extends { settings: z.ZodObject }>(types: readonly Type[]) {
  const [first, ...more] = types.map(settingsOf)
  if (first === undefined) throw new Error('There is no type of parameter.')
  return z.discriminatedUnion('type', [first, ...more], {
    error: ({ options }) => (Array.isArray(options) ? `is not one of the types ${options.join(', ')}` : undefined),
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

/** The kind of the values of `parameter`; of a list, that of its items. */
export function heldBy(parameter: Parameter): Held {
  return scalarTypes[parameter.type === 'list' ? parameter.items.type : parameter.type].holds
}

/** The contradictions between the settings of `parameter`, a sentence each. */
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
    [isFitting && !preset.includes('\0'), `has a default that its own limits refuse: ${quote(preset)}`],
    [!lowercase || preset === preset.toLowerCase(), `has a default that is not in lower case: ${quote(preset)}`],
  )
}

function patternFaults(pattern: string, preset: string | null | undefined): string[] {
  try {
    new RegExp(pattern, 'v') // alone first: within the parentheses below, `a)|(?:b` would be accepted
  } catch (error) {
    return [`has a pattern that is not a regular expression: ${messageOf(error)}`]
  }
  return broken([
    typeof preset !== 'string' || new RegExp(`^(?:${pattern})$`, 'v').test(preset),
    `has a default that its pattern refuses: ${quote(preset)}`,
  ])
}
