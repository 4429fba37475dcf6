import { existsSync, readFileSync, writeFileSync } from 'node:fs'

/** What the latest full run of the fault tests measured; the tables of README.md are made from it. */
export interface FaultResults {
  faults: FaultResult[]
  deploy?: Deploy
  crowds: SharedKeyCrowd[]
  coherence?: Coherence[]
  beside?: Beside
}

/** A program under load while one thing went wrong. */
export interface FaultResult {
  fault: string
  /** Held, fresh or stale. */
  held: Share
  /** Held, but past `stale`: served only if the database fails. */
  old: Share
  /** Never asked for before. */
  cold: Share
  other: Share
  /** From when it was mended to when all is in use again and something new is read and kept everywhere; null: never. */
  healthySeconds: number | null
  /** It came to the level healthy in the end. */
  isHealthy: boolean
  sqlPerSecondBefore: number
  sqlPerSecond: number
  /** The levels it was seen on, and the breakers that were seen open. */
  levels: string[]
  breakers: string[]
  /** The slowest answer of a server that does nothing and to which nothing happens, all the while: how much else the machine did. */
  noiseMs: number
  /** Fills refused because there was too much to do. */
  shed: number
}

/** What a share of the requests met. */
export interface Share {
  sent: number
  failed: number
  /** The slowest, beyond the median of the same before the fault. */
  worstAddedMs: number
  /** The median, beyond that. */
  typicalAddedMs: number
}

/** What readers of four processes saw of rows that were counted up. */
export interface Coherence {
  name: string
  reads: number
  violations: number
  /** From a commit to the last older answer, anywhere, in milliseconds; none where nothing could be committed. */
  everywhereP50Ms: number | null
  everywhereP99Ms: number | null
  stalestMs: number
  convergedSeconds: number
}

/** A quick statement beside one of five seconds that is asked for fifty times a second: its percentiles, as so many times those it has alone. */
export interface Beside {
  asked: number
  failed: number
  p50Ratio: number
  p99Ratio: number
}

/** One process taking over from another under load; `underWay` when the old one was told to end. */
export interface Deploy {
  sent: number
  underWay: number
  broken: number
  exitCode: number | null
}

/** Many clients at once on one key, over some processes. */
export interface SharedKeyCrowd {
  name: string
  clients: number
  processes: number
  failed: number
  sql: number
  /** How many times the key's time can have been over while they asked: on a machine with nothing else to do, once. */
  lifetimes: number
}

const file = new URL('results/faults.json', import.meta.url)
/** Asked for by `FULL=1`: each fault lasts as long as it takes for people to notice, and what was measured is kept. */
export const isFull = Boolean(process.env.FULL)

export function readFaultResults(): FaultResults {
  return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : { faults: [], crowds: [] }
}

/** Keeps what a full run measured; others are too short to be told of. */
export function keepFaultResults(results: Partial<FaultResults>): void {
  if (isFull) writeFileSync(file, `${JSON.stringify({ ...readFaultResults(), ...results }, rounded, 2)}\n`)
}

/** A tenth of a millisecond, a hundredth of a second, a tenth of a statement. */
function rounded(name: string, value: unknown): unknown {
  if (typeof value !== 'number') return value
  return /Seconds$|Ratio$/.test(name) ? Math.round(value * 100) / 100 : Math.round(value * 10) / 10
}
