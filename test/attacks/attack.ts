// The type of an attack on the cache: requests of an attacker, and their required results.

/** The kinds of attacked reads; each time a read not requested before. */
export type ReadKind = 'search' | 'large search' | 'county'

/**
 * A request for a read known to the attacker. In every text, `{target}` is the target of the read, `{and}` the
 * separator between it and more query parameters, and `{ages}` the ages of a search.
 */
export interface AttackRequest {
  /** GET by default. */
  method?: string
  /** `{target}` by default. */
  target?: string
  fields?: readonly string[]
  content?: string
  /** Raw bytes after its head, in place of content. */
  rest?: string
  expected?: ExpectedAnswer
}

/** The result that the attacker must get. */
export interface ExpectedAnswer {
  /** One of these statuses. */
  status?: readonly number[]
  /** The values of these fields; an empty list means that the field is absent. */
  fields?: Record<string, string[]>
  /** The answer comes from the upstream, which gets one request. */
  isUpstreams?: true
  /** It is the last on its connection: requests sent behind it are not answered. */
  isLast?: true
}

/** Whatever the attack, a victim's request for the read gets the correct answer, from one query and one entry. */
export interface Attack {
  name: string
  /** In order, each over a connection of its own. */
  requests: readonly AttackRequest[]
  /** A search and a county by default. */
  reads?: readonly ReadKind[]
  /** Nothing is cached for the attacker: the victim's request fills the entry. */
  fillsNothing?: true
  /** Forbidden entries: of this route, with one of these texts in their key. */
  unkept?: { route: string; texts: readonly string[] }
  /** A target that must not reach the upstream. */
  unasked?: string
}

/** Attacks by subject. */
export type AttackSubject = Readonly<Record<string, readonly Attack[]>>
