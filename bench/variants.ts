import { median, spread } from './recording.ts'

/** Measurements of each variant, one for each round. */
export type Rounds<Name extends string, Measured> = Record<Name, Measured[]>

/**
 * Runs the variants in turn, round by round, and starts each round with another variant.
 *
 * Noise of the machine then affects all variants alike. So ratios are reproducible even where absolute figures are not.
 */
export async function interleaved<Name extends string, Measured>(
  names: readonly Name[],
  rounds: number,
  measure: (name: Name) => Promise<Measured>,
): Promise<Rounds<Name, Measured>> {
  const measured = Object.fromEntries(names.map((name) => [name, []])) as unknown as Rounds<Name, Measured>
  for (let round = 0; round < rounds; round += 1) {
    for (let i = 0; i < names.length; i += 1) {
      const name = names[(i + round) % names.length] as Name
      measured[name].push(await measure(name))
    }
  }
  return measured
}

/** The ratio of two variants: `value` is the median of the ratios of the rounds. */
export interface Compared {
  value: number
  rounds: readonly [lowest: number, highest: number]
}

/** Compares two variants: `of(ours) / of(theirs)` for each round. */
export function compare<Measured>(ours: Measured[], theirs: Measured[], of: (one: Measured) => number): Compared {
  const ratios = ours.map((one, i) => of(one) / of(theirs[i] as Measured))
  const finite = ratios.filter(Number.isFinite)
  return { value: median(ratios), rounds: [Math.min(...finite), Math.max(...finite)] }
}

/** The median of `of` over the rounds. */
export function medianOf<Measured>(rounds: Measured[], of: (one: Measured) => number): number {
  return median(rounds.map(of))
}

/** How far the rounds of a variant lie apart: see `spread`. */
export function spreadOf<Measured>(rounds: Measured[], of: (one: Measured) => number): number {
  return spread(rounds.map(of))
}
