// Sources of answers: the cache tiers, the database, the upstream, or none.
/**
 * Where the bytes of a response come from. Counters, charts and displays by source are all built from a list of these.
 */
export interface AnswerSource {
  /** The name used in metrics, `/stats` and `Cache-Status`. */
  readonly name: string
  /** The name shown to people. */
  readonly label: string
  /** Whether an answer from this source is a cache hit. */
  readonly isHit: boolean
}

const origin: AnswerSource = { name: 'origin', label: 'Database', isHit: false }

/** The sources besides the tiers. `none`: the request was rejected or failed, or no route matched. */
const fixedSources: readonly AnswerSource[] = [
  origin,
  { name: 'upstream', label: 'Upstream', isHit: false },
  { name: 'none', label: 'None', isHit: false },
]

/** Every source of answers in a program with these cache tiers, nearest first. */
export function answerSources(tiers: readonly { name: string; label: string }[]): readonly AnswerSource[] {
  return [...tiers.map(({ name, label }) => ({ name, label, isHit: true })), ...fixedSources]
}

/** Sums `countOf` over the sources: the cache hits, and the hits plus the answers of the origin. */
export function cacheAnswers(
  sources: readonly AnswerSource[],
  countOf: (source: string) => number,
): { hits: number; answered: number } {
  let hits = 0
  for (const { name, isHit } of sources) if (isHit) hits += countOf(name)
  return { hits, answered: hits + countOf(origin.name) }
}
