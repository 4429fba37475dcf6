import { existsSync, readFileSync, writeFileSync } from 'node:fs'

/** Results of the latest full run of the fault tests. The tables of the documents are generated from them. */
export interface FaultResults {
  faults: FaultResult[]
  deploy?: Deploy
  crowds: SharedKeyCrowd[]
  coherence?: Coherence[]
  beside?: Beside
}

/** The load on a program during one fault, by the kind of request. */
export interface FaultResult {
  fault: string
  /** Requests for cached entries, fresh or stale. */
  held: Share
  /** Requests for entries past `stale`, which are served only if the database fails. */
  old: Share
  /** Requests for keys that were never asked for before. */
  cold: Share
  other: Share
  /**
   * Seconds from the end of the fault until all tiers are in use and a new answer is read and stored in each; null: never.
   */
  healthySeconds: number | null
  /** Whether the degradation level was `healthy` in the end. */
  isHealthy: boolean
  sqlPerSecondBefore: number
  sqlPerSecond: number
  /** The degradation levels and the open circuit breakers that were observed. */
  levels: string[]
  breakers: string[]
  /** Slowest answer, during the fault, of an idle server that the fault does not touch: the noise of the machine. */
  noiseMs: number
  /** Fills rejected because of overload. */
  shed: number
}

/** The results of one kind of request. */
export interface Share {
  sent: number
  failed: number
  /** Slowest answer during the fault minus the median before it. */
  worstAddedMs: number
  /** Median during the fault minus the median before it. */
  typicalAddedMs: number
}

/** Consistency as seen by readers of four processes, while rows were incremented. */
export interface Coherence {
  name: string
  reads: number
  violations: number
  /** Milliseconds from a commit to the last older answer of any process; null if nothing could be committed. */
  everywhereP50Ms: number | null
  everywhereP99Ms: number | null
  stalestMs: number
  convergedSeconds: number
}

/**
 * A quick statement next to a statement of five seconds that is requested fifty times a second. The ratios compare its percentiles with
 * those it has alone.
 */
export interface Beside {
  asked: number
  failed: number
  p50Ratio: number
  p99Ratio: number
}

/** One process replaces another under load. `underWay`: requests in progress when the old process got SIGTERM. */
export interface Deploy {
  sent: number
  underWay: number
  broken: number
  exitCode: number | null
}

/** Many clients ask several processes for one key at the same time. */
export interface SharedKeyCrowd {
  name: string
  clients: number
  processes: number
  failed: number
  sql: number
  /** How often the key can have expired while they asked: once on an idle machine. */
  lifetimes: number
}

const file = new URL('results/faults.json', import.meta.url)
/** `FULL=1` asks for a full run: each fault lasts long enough for people to notice, and the results are kept. */
export const isFull = Boolean(process.env.FULL)

export function readFaultResults(): FaultResults {
  return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : { faults: [], crowds: [] }
}

/** Keeps the results of a full run. Other runs are too short to report. */
export function keepFaultResults(results: Partial<FaultResults>): void {
  if (isFull) writeFileSync(file, `${JSON.stringify({ ...readFaultResults(), ...results }, rounded, 2)}\n`)
}

/** Rounds to 0.01 for seconds and ratios, to 0.1 for the rest. */
function rounded(name: string, value: unknown): unknown {
  if (typeof value !== 'number') return value
  return /Seconds$|Ratio$/.test(name) ? Math.round(value * 100) / 100 : Math.round(value * 10) / 10
}
