// Schemas of single values: durations, sizes, percentages, whole numbers, true and false.
import { z } from 'zod'

export const day = 86_400_000

interface Quantity {
  noun: string
  examples: string
  /** Each unit in terms of the smallest. */
  units: Readonly<Record<string, number>>
  /** Units that a fault suggests for a number without one, the likeliest first. */
  likely: readonly string[]
}

const durations: Quantity = {
  noun: 'a duration',
  examples: '250ms, 30s, 10m, 1h or 7d',
  units: { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: day },
  likely: ['s', 'ms'],
}
const sizes: Quantity = {
  noun: 'a size',
  examples: '512B, 64KiB, 256MiB or 2GiB',
  units: { B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 },
  likely: ['B', 'MiB'],
}

/** A limit of an amount, and the sentence for an amount beyond it. */
interface Bound {
  allows(amount: number): boolean
  error: string
}

/** A number with its unit; parsed, an amount of the smallest unit. */
function amount({ noun, examples, units, likely }: Quantity, bounds: readonly Bound[]) {
  const read = (text: string) =>
    Math.round(Number.parseFloat(text) * (units[text.replace(/^[\d.]+/, '')] ?? Number.NaN))
  const error = ({ input }: { input?: unknown }) => {
    if (input === undefined) return undefined // load.ts says that it is missing
    const fitting = isBareNumber(input)
      ? likely.find((unit) => bounds.every(({ allows }) => allows(read(`${input}${unit}`))))
      : undefined
    return `is not ${noun}: write ${fitting === undefined ? examples : `${input}${fitting}`}`
  }
  const pattern = new RegExp(`^\\d+(\\.\\d+)?(${Object.keys(units).join('|')})$`)
  const schema = z.string({ error }).regex(pattern, { error }).transform(read)
  return bounds.reduce((bounded, { allows, error }) => bounded.refine(allows, { error }), schema)
}

/** Whether `value` is a number that lacks only its unit. */
export function isBareNumber(value: unknown): value is number | string {
  return (typeof value === 'number' || typeof value === 'string') && /^\d+(\.\d+)?$/.test(String(value))
}

/** A duration like `10m`; parsed, milliseconds. */
export const duration = (...bounds: Bound[]) => amount(durations, bounds)

/** A duration for a timer, at most 10 minutes. (Node's timers end at 24.8 days; RFC 9111 has no such limit for lifetimes.) */
export const wait = duration({ allows: (ms) => ms >= 1 && ms <= 600_000, error: 'must lie between 1ms and 10m' })

/** A size like `64KiB`; parsed, bytes. */
export const size = (...bounds: Bound[]) => amount(sizes, bounds)

/** A percentage like `5%`; parsed, a share of 1. */
export const percentage = z
  .string({ error: notAPercentage })
  .regex(/^(100|\d{1,2}(\.\d+)?)%$/, { error: notAPercentage })
  .transform((text) => Number.parseFloat(text) / 100)

function notAPercentage({ input }: { input?: unknown }): string | undefined {
  return input === undefined ? undefined : 'is not a percentage: write 0.1%, 5% or 100%'
}

/** An integer, or its text, as an environment variable has it. */
export function integer(min: number, max: number) {
  return z.preprocess(
    (value) => (typeof value === 'string' && /^-?\d{1,15}$/.test(value) ? Number(value) : value),
    z.int().min(min).max(max),
  )
}

/** True or false, or its text, as an environment variable has it. */
export const flag = z.preprocess((value) => (value === 'true' ? true : value === 'false' ? false : value), z.boolean())
