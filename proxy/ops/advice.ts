// Tuning advice for lifetimes and memory, derived from measurements: pure.
/** Measurements of one route since the start, or since its last change. Times in milliseconds. */
export interface RouteFacts {
  route: string
  /** Its `lifetime.fresh`. */
  freshMs: number
  reads: number
  /** Answered statements, whatever the reason they were sent for. */
  fills: number
  /** Fills that replaced an entry untouched by any invalidation; `changed`: those of them that brought other bytes. */
  compared: number
  changed: number
  /** Mean time between the reading of an entry and the reading of its replacement, over all compared fills. */
  meanCycleMs: number
  /** For the latest compared fills: the time an entry was past its freshness and waited for a reader. */
  waitedMs: readonly number[]
  /** Evicted entries; `evictedSoon`: those read from the database less than ten seconds earlier. */
  evictions: number
  evictedSoon: number
  /** Fills of keys that were evicted while fresh and would still be fresh. */
  returned: number
}

export interface MemoryFacts {
  maxBytes: number
  /** For some of the latest returned keys: the additional bytes of memory that would have kept the entry until then. */
  returnBytes: readonly number[]
}

export const adviceKinds = ['lengthen', 'shorten', 'keep', 'memory', 'unmeasured'] as const

/** One recommendation about a route; it may be to change nothing. */
export interface Advice {
  route: string
  kind: (typeof adviceKinds)[number]
  /** One or two sentences, shown after the route's name. */
  text: string
  /** An advised lifetime, and the SQL of the route that would remain, as a share of the present SQL. */
  freshMs?: number
  sqlLeft?: number
  /** Advised additional memory, and the share of all SQL that it would save. */
  moreBytes?: number
  saved?: number
}

/** Fewer compared fills or returns than this give no advice. */
const minCompared = 20
/** The accepted probability that an entry is outdated at the end of an advised longer lifetime. */
const mayHaveChanged = 0.05
/** The largest factor of one advice; measurements at the new lifetime decide on another step. */
const longestStep = 15
/** A change that saves a smaller share of the SQL is not advised. */
const worthwhile = 0.1
/** The share of time in which answers may be outdated at an advised shorter lifetime. */
const outOfDateGoal = 0.1
/** The share of a lifetime that is left after jitter, on average. */
const jitterKeeps = 0.95

const [second, minute, hour] = [1000, 60_000, 3_600_000]
/** Lifetimes to choose from, rounded as people write them. */
const lifetimes = [
  ...[100, 200, 500].map((ms) => ms),
  ...[1, 2, 5, 10, 15, 30].map((n) => n * second),
  ...[1, 2, 5, 10, 15, 30].map((n) => n * minute),
  ...[1, 2, 4, 8, 12, 24].map((n) => n * hour),
]

/**
 * Makes advice from measurements: pure. Routes without fills are left out.
 *
 * The model assumes that changes come at a steady rate, so the share of unchanged refreshes gives the rate (Cho and Garcia-Molina,
 * "Estimating frequency of change", 2003). A longer lifetime is judged by the highest rate that fits the counts (95 %), a shorter one by
 * the likeliest rate.
 *
 * The SQL at another lifetime follows from the measured waits: an entry is refreshed after its lifetime plus the wait for its next reader,
 * and that wait does not depend on the lifetime. Fills that are not refreshes stay the same: first fills, and fills after an eviction or a
 * purge.
 */
export function advise(routes: readonly RouteFacts[], memory: MemoryFacts): Advice[] {
  const ofRoutes = routes.filter(({ fills }) => fills > 0).map(adviseRoute)
  const ofMemory = adviseMemory(routes, memory)
  return ofMemory === undefined ? ofRoutes : [ofMemory, ...ofRoutes]
}

function adviseRoute(facts: RouteFacts): Advice {
  const { route, freshMs, reads, fills, compared, changed, meanCycleMs } = facts
  const seen = refreshesSeen(facts)
  if (compared < minCompared) {
    const isOnce = reads >= 200 && fills >= reads * 0.9
    if (!isOnce) return { route, kind: 'unmeasured', text: `${seen}; too few refreshes for advice.` }
    const text = `${percent(fills / reads)} of ${count(reads)} reads were for keys not read before; no lifetime changes that.`
    return { route, kind: 'keep', text }
  }
  if (changed >= compared / 2) return shorten(facts)
  const likely = changed / compared
  // Upper bound of the share of changed refreshes, given the count (for a count of 0, the rule of three).
  const highest = Math.min(1, (changed + 2 * Math.sqrt(changed) + 3) / compared)
  const longest = longestFor(highest, meanCycleMs)
  const proposed = lifetimes.findLast((ms) => ms <= Math.min(longest, freshMs * longestStep))
  if (proposed !== undefined && proposed >= freshMs * 2) return lengthen(facts, seen, proposed)
  if (freshMs < hour * 24 && longestFor(likely, meanCycleMs) >= freshMs * 2)
    return {
      route,
      kind: 'unmeasured',
      text: `${seen}; too few refreshes to advise a longer fresh than ${duration(freshMs)}.`,
    }
  return { route, kind: 'keep', text: `${seen}; fresh ${duration(freshMs)} fits.` }
}

function lengthen(facts: RouteFacts, seen: string, proposed: number): Advice {
  const { route, freshMs } = facts
  const left = sqlLeftAt(proposed, facts)
  if (1 - left < worthwhile) {
    const text = `${seen}, but a longer fresh would save only ${percent(1 - left)} of its SQL; the other statements are not refreshes.`
    return { route, kind: 'keep', text }
  }
  const text = `${seen}; raising fresh from ${duration(freshMs)} to ${duration(proposed)} would save ${percent(1 - left)} of its SQL.`
  return { route, kind: 'lengthen', text, freshMs: proposed, sqlLeft: left }
}

function shorten(facts: RouteFacts): Advice {
  const { route, freshMs, compared, changed, meanCycleMs } = facts
  // The halves keep the estimate finite if every refresh changed.
  const rate = Math.log((compared + 0.5) / (compared - changed + 0.5)) / meanCycleMs
  const seen = `${refreshesSeen(facts)}; its answers are outdated about ${percent(outOfDate(rate, freshMs))} of the time`
  const proposed = lifetimes.findLast((ms) => ms >= second && ms < freshMs && outOfDate(rate, ms) <= outOfDateGoal)
  if (proposed === undefined)
    return {
      route,
      kind: 'shorten',
      text: `${seen}, and no lifetime of a second or more corrects that. Purge it when its rows change.`,
    }
  const left = sqlLeftAt(proposed, facts)
  const times = left < 1.95 ? left.toFixed(1) : count(Math.round(left))
  const text = `${seen}. Lowering fresh from ${duration(freshMs)} to ${duration(proposed)} would reduce that to ${percent(outOfDate(rate, proposed))}, for ${times} times its SQL. Or purge it when its rows change.`
  return { route, kind: 'shorten', text, freshMs: proposed, sqlLeft: left }
}

function refreshesSeen({ changed, compared }: RouteFacts): string {
  return `${count(changed)} of ${count(compared)} refreshes changed the answer`
}

/** The longest lifetime that ends before a change is likely, if `share` of the cycles of `meanCycleMs` had a change. */
function longestFor(share: number, meanCycleMs: number): number {
  if (share <= 0) return Number.POSITIVE_INFINITY
  if (share >= 1) return 0
  return (Math.log(1 - mayHaveChanged) / Math.log(1 - share)) * meanCycleMs
}

/** The share of time in which answers served for `lifetimeMs` are outdated, at `rate` changes a millisecond. */
function outOfDate(rate: number, lifetimeMs: number): number {
  const expected = rate * lifetimeMs
  return expected === 0 ? 0 : 1 - (1 - Math.exp(-expected)) / expected
}

/** The SQL of a route at another lifetime, as a share of its present SQL. */
function sqlLeftAt(proposedMs: number, { freshMs, fills, compared, waitedMs }: RouteFacts): number {
  let left = 0
  for (const wait of waitedMs) left += (wait + freshMs * jitterKeeps) / (wait + proposedMs * jitterKeeps)
  const refreshes = compared / fills
  return 1 - refreshes + refreshes * (left / waitedMs.length)
}

function adviseMemory(routes: readonly RouteFacts[], { maxBytes, returnBytes }: MemoryFacts): Advice | undefined {
  const fills = sum(routes, (facts) => facts.fills)
  const returned = sum(routes, (facts) => facts.returned)
  if (returnBytes.length < minCompared || returned < fills * worthwhile) return undefined
  const byDistance = returnBytes.toSorted((a, b) => a - b)
  const moreBytes = roundUp(byDistance[Math.ceil(byDistance.length * 0.8) - 1] ?? 0)
  const held = byDistance.findLastIndex((bytes) => bytes <= moreBytes) + 1
  const saved = ((held / byDistance.length) * returned) / fills
  const most = routes.reduce((worst, facts) => (facts.returned > worst.returned ? facts : worst))
  const text = `${percent(most.evictedSoon / Math.max(1, most.evictions))} of its evictions came within 10 s of the fill, and ${percent(most.returned / most.fills)} of its SQL read evicted entries again that were still fresh. memory.maxBytes (${size(maxBytes)}) is about ${size(moreBytes)} too small; with that, ${percent(saved)} of all SQL would be saved.`
  return { route: most.route, kind: 'memory', text, moreBytes, saved }
}

function sum(routes: readonly RouteFacts[], of: (facts: RouteFacts) => number): number {
  return routes.reduce((total, facts) => total + of(facts), 0)
}

/** Rounds up to two digits, the precision of the estimate. */
function roundUp(bytes: number): number {
  const step = 10 ** Math.max(0, Math.floor(Math.log10(bytes / 1024 ** 2)) - 1) * 1024 ** 2
  return Math.ceil(bytes / step) * step
}

function count(n: number): string {
  return n.toLocaleString('en-US')
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`
}

/** `ms` in the spelling of the configuration. */
function duration(ms: number): string {
  const units = [
    [hour * 24, 'd'],
    [hour, 'h'],
    [minute, 'm'],
    [second, 's'],
  ] as const
  const [length, unit] = units.find(([length]) => ms >= length && ms % length === 0) ?? [1, 'ms']
  return `${ms / length}${unit}`
}

function size(bytes: number): string {
  return bytes >= 1024 ** 3 && bytes % 1024 ** 3 === 0
    ? `${bytes / 1024 ** 3}GiB`
    : `${Math.round(bytes / 1024 ** 2)}MiB`
}
