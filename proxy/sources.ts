// Where answers come from: the cache tiers, the database, the upstream, or nowhere.
/** Where the bytes of a response come from. What is counted, charted and shown by source is made from a list of these. */
export interface AnswerSource {
  /** As metrics, `/stats` and `Cache-Status` spell it. */
  readonly name: string
  /** As people read it. */
  readonly label: string
  /** Whether an answer from there is a cache hit. */
  readonly isHit: boolean
}

const origin: AnswerSource = { name: 'origin', label: 'Database', isHit: false }

/** The sources there are besides the tiers. `none`: refused, failed, or no route's. */
const fixedSources: readonly AnswerSource[] = [
  origin,
  { name: 'upstream', label: 'Upstream', isHit: false },
  { name: 'none', label: 'None', isHit: false },
]

/** Every source of answers in a program with these cache tiers, nearest first. */
export function answerSources(tiers: readonly { name: string; label: string }[]): readonly AnswerSource[] {
  return [...tiers.map(({ name, label }) => ({ name, label, isHit: true })), ...fixedSources]
}

/** Of what `countOf` says for each source: the cache hits, and those together with what the origin answered. */
export function cacheAnswers(
  sources: readonly AnswerSource[],
  countOf: (source: string) => number,
): { hits: number; answered: number } {
  let hits = 0
  for (const { name, isHit } of sources) if (isHit) hits += countOf(name)
  return { hits, answered: hits + countOf(origin.name) }
}
