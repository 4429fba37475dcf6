// What could be tuned, from what was measured: pure.
/** What was measured of one route since the start, or since it was last changed. Times in milliseconds. */
export interface RouteFacts {
  route: string
  /** Its `lifetime.fresh`. */
  freshMs: number
  reads: number
  /** Statements whose answer came, for whatever reason. */
  fills: number
  /** Fills that replaced an entry which no invalidation had touched, and those of them whose bytes were others. */
  compared: number
  changed: number
  /** From the reading of an entry to the reading of what replaced it, on average over all compared. */
  meanCycleMs: number
  /** The part of that for which it was not fresh any more, and waited for a reader: for the latest of them. */
  waitedMs: readonly number[]
  /** Entries dropped from memory for room; those of them read from the database less than ten seconds before. */
  evictions: number
  evictedSoon: number
  /** Fills of what had been evicted while it was fresh, and would be fresh still. */
  returned: number
}

export interface MemoryFacts {
  maxBytes: number
  /** For some of the latest that returned: how many bytes more would have held it until then. */
  returnBytes: readonly number[]
}

export const adviceKinds = ['lengthen', 'shorten', 'keep', 'memory', 'unmeasured'] as const

/** One thing to do, or not to do, about a route. */
export interface Advice {
  route: string
  kind: (typeof adviceKinds)[number]
  /** A sentence or two, to be read after the route's name. */
  text: string
  /** Where another lifetime is advised: which, and the SQL of the route that is then left, as a share of what there is now. */
  freshMs?: number
  sqlLeft?: number
  /** Where more memory is advised: how much more, and the share of all SQL that saves. */
  moreBytes?: number
  saved?: number
}

/** Fewer compared fills than this, or fewer returns, say nothing. */
const minCompared = 20
/** How likely it may be that what is served has changed since it was read, at the end of an advised longer lifetime. */
const mayHaveChanged = 0.05
/** One step at a time: what is measured at the new lifetime will say whether there is another. */
const longestStep = 15
/** Not worth a change: what saves less of a route's SQL. */
const worthwhile = 0.1
/** For how much of the time what is served may be out of date, where a shorter lifetime is advised. */
const outOfDateGoal = 0.1
/** What jitter takes off a lifetime, on average. */
const jitterKeeps = 0.95

const [second, minute, hour] = [1000, 60_000, 3_600_000]
/** Lifetimes people write. */
const lifetimes = [
  ...[100, 200, 500].map((ms) => ms),
  ...[1, 2, 5, 10, 15, 30].map((n) => n * second),
  ...[1, 2, 5, 10, 15, 30].map((n) => n * minute),
  ...[1, 2, 4, 8, 12, 24].map((n) => n * hour),
]

/**
 * Says what could be tuned, from what was measured: pure, facts in, advice out. Routes that were never filled are left out.
 *
 * Changes are taken to come at a steady rate, so the share of unchanged refreshes tells the rate (Cho and Garcia-Molina,
 * "Estimating frequency of change", 2003). A longer lifetime is judged by the highest rate that fits what was seen (95 %), a
 * shorter one by the likeliest.
 *
 * What another lifetime does to the SQL follows from the waits measured: an entry is refreshed after its lifetime and the wait for the next
 * reader, and that wait stays what it is. Fills that are not refreshes stay, too: first ones, evicted ones, those after a purge.
 */
export function advise(routes: readonly RouteFacts[], memory: MemoryFacts): Advice[] {
  const ofRoutes = routes.filter(({ fills }) => fills > 0).map(adviseRoute)
  const ofMemory = adviseMemory(routes, memory)
  return ofMemory === undefined ? ofRoutes : [ofMemory, ...ofRoutes]
}

function adviseRoute(facts: RouteFacts): Advice {
  const { route, freshMs, reads, fills, compared, changed, meanCycleMs } = facts
  const seen = `${count(changed)} of ${count(compared)} refreshes changed anything`
  if (compared < minCompared) {
    const isOnce = reads >= 200 && fills >= reads * 0.9
    if (!isOnce) return { route, kind: 'unmeasured', text: `${seen}: too few to say how often it changes.` }
    const text = `${percent(fills / reads)} of ${count(reads)} reads were for what nobody had asked for before: no lifetime changes that.`
    return { route, kind: 'keep', text }
  }
  if (changed >= compared / 2) return shorten(facts)
  const likely = changed / compared
  // The highest share of changed refreshes that would still show as few as these (for none, the rule of three).
  const highest = Math.min(1, (changed + 2 * Math.sqrt(changed) + 3) / compared)
  const longest = longestFor(highest, meanCycleMs)
  const proposed = lifetimes.findLast((ms) => ms <= Math.min(longest, freshMs * longestStep))
  if (proposed !== undefined && proposed >= freshMs * 2) return lengthen(facts, seen, proposed)
  if (freshMs < hour * 24 && longestFor(likely, meanCycleMs) >= freshMs * 2)
    return {
      route,
      kind: 'unmeasured',
      text: `${seen}: too few to say how much longer fresh ${duration(freshMs)} could be.`,
    }
  return { route, kind: 'keep', text: `${seen}: fresh ${duration(freshMs)} fits.` }
}

function lengthen(facts: RouteFacts, seen: string, proposed: number): Advice {
  const { route, freshMs } = facts
  const left = sqlLeftAt(proposed, facts)
  if (1 - left < worthwhile) {
    const text = `${seen}, but a longer lifetime would save only ${percent(1 - left)} of its SQL: the rest is not refreshes.`
    return { route, kind: 'keep', text }
  }
  const text = `${seen}; fresh ${duration(freshMs)} to ${duration(proposed)} would save ${percent(1 - left)} of its SQL.`
  return { route, kind: 'lengthen', text, freshMs: proposed, sqlLeft: left }
}

function shorten(facts: RouteFacts): Advice {
  const { route, freshMs, compared, changed, meanCycleMs } = facts
  // Where every refresh changes, the halves keep the estimate finite.
  const rate = Math.log((compared + 0.5) / (compared - changed + 0.5)) / meanCycleMs
  const seen = `${count(changed)} of ${count(compared)} refreshes changed something: what it serves is out of date about ${percent(outOfDate(rate, freshMs))} of the time`
  const proposed = lifetimes.findLast((ms) => ms >= second && ms < freshMs && outOfDate(rate, ms) <= outOfDateGoal)
  if (proposed === undefined)
    return {
      route,
      kind: 'shorten',
      text: `${seen}, and no lifetime of a second or more mends that; purge it when its rows change.`,
    }
  const left = sqlLeftAt(proposed, facts)
  const times = left < 1.95 ? left.toFixed(1) : count(Math.round(left))
  const text = `${seen}; fresh ${duration(freshMs)} to ${duration(proposed)} would make that ${percent(outOfDate(rate, proposed))} for ${times} times its SQL. Or purge it when its rows change.`
  return { route, kind: 'shorten', text, freshMs: proposed, sqlLeft: left }
}

/** The longest lifetime at whose end a change is unlikely, if `share` of the cycles of `meanCycleMs` saw one. */
function longestFor(share: number, meanCycleMs: number): number {
  if (share <= 0) return Number.POSITIVE_INFINITY
  if (share >= 1) return 0
  return (Math.log(1 - mayHaveChanged) / Math.log(1 - share)) * meanCycleMs
}

/** The share of the time that what is served for `lifetimeMs` is out of date, when changes come at `rate` a millisecond. */
function outOfDate(rate: number, lifetimeMs: number): number {
  const expected = rate * lifetimeMs
  return expected === 0 ? 0 : 1 - (1 - Math.exp(-expected)) / expected
}

/** The SQL of a route with another lifetime, as a share of what it is now. */
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
  const text = `${percent(most.evictedSoon / Math.max(1, most.evictions))} of its evictions came within 10 s of the fill, and ${percent(most.returned / most.fills)} of its SQL read again what had been evicted while fresh: memory.maxBytes (${size(maxBytes)}) is too small by about ${size(moreBytes)}, which would save ${percent(saved)} of all SQL.`
  return { route: most.route, kind: 'memory', text, moreBytes, saved }
}

function sum(routes: readonly RouteFacts[], of: (facts: RouteFacts) => number): number {
  return routes.reduce((total, facts) => total + of(facts), 0)
}

/** Two digits are as exact as this is. */
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

/** `ms` as it is written in the configuration. */
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
