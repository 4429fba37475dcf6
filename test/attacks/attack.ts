// What an attack on the cache is: requests of a stranger, and what must come of them.

/** The reads that are attacked; each time one that nobody has asked for yet. */
export type ReadKind = 'search' | 'large search' | 'county'

/**
 * A request for a read that the stranger knows. In every text, `{target}` is the target of the read, `{and}` what separates
 * more of a query from it, and `{ages}` the ages of a search.
 */
export interface AttackRequest {
  /** GET, if it is not said. */
  method?: string
  /** `{target}`, if it is not said. */
  target?: string
  fields?: readonly string[]
  content?: string
  /** What goes behind its head instead of content, as it is. */
  rest?: string
  expected?: ExpectedAnswer
}

/** What the stranger must get. */
export interface ExpectedAnswer {
  /** Any of these. */
  status?: readonly number[]
  /** The values of these fields; none: the field is not there. */
  fields?: Record<string, string[]>
  /** It is the upstream's, which is asked once. */
  isUpstreams?: true
  /** It is the last on its connection: nothing that was sent behind the request is answered. */
  isLast?: true
}

/** Whatever it is, the victim who asks for the read gets the right answer, made by one query and kept in one entry. */
export interface Attack {
  name: string
  /** In their order, each over a connection of its own. */
  requests: readonly AttackRequest[]
  /** A search and a county, if it is not said. */
  reads?: readonly ReadKind[]
  /** Nothing is kept for the stranger: the victim is the first to fill the entry. */
  fillsNothing?: true
  /** Entries that must not come of it: of this route, with one of these texts in their key. */
  unkept?: { route: string; texts: readonly string[] }
  /** A target that the upstream must not be asked for. */
  unasked?: string
}

/** Attacks by what they are about. */
export type AttackSubject = Readonly<Record<string, readonly Attack[]>>
