import { median, spread } from './recording.ts'

/** What a variant did in each round. */
export type Rounds<Name extends string, Measured> = Record<Name, Measured[]>

/**
 * Lets variants take turns, round by round, the first of a round being another one each time: what else the machine does then meets all of
 * them, and their ratios hold where their figures do not.
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

/** The median over the rounds of `of` one variant divided by `of` the other, each pair from the same round. */
export function ratioOf<Measured>(ours: Measured[], theirs: Measured[], of: (one: Measured) => number): number {
  return median(ours.map((one, i) => of(one) / of(theirs[i] as Measured)))
}

export function medianOf<Measured>(rounds: Measured[], of: (one: Measured) => number): number {
  return median(rounds.map(of))
}

export function spreadOf<Measured>(rounds: Measured[], of: (one: Measured) => number): number {
  return spread(rounds.map(of))
}
