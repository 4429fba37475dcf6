import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import type { Result } from './run.ts'

/** What the latest full run measured; the table of README.md is made from it. */
export interface Results {
  faults: Omit<Result, 'log'>[]
  deploy?: Deploy
  crowds: Crowd[]
  coherence?: Coherence[]
  beside?: Beside
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
export interface Crowd {
  name: string
  clients: number
  processes: number
  failed: number
  sql: number
  /** How many times the key's time can have been over while they asked: on a machine with nothing else to do, once. */
  lifetimes: number
}

const file = new URL('results.json', import.meta.url)
/** Asked for by `FULL=1`: each fault lasts as long as it takes for people to notice, and what was measured is kept. */
export const isFull = Boolean(process.env.FULL)

export function readResults(): Results {
  return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : { faults: [], crowds: [] }
}

/** Keeps what a full run measured; others are too short to be told of. */
export function keepResults(results: Partial<Results>): void {
  if (isFull) writeFileSync(file, `${JSON.stringify({ ...readResults(), ...results }, rounded, 2)}\n`)
}

/** A tenth of a millisecond, a hundredth of a second, a tenth of a statement. */
function rounded(name: string, value: unknown): unknown {
  if (typeof value !== 'number') return value
  return /Seconds$|Ratio$/.test(name) ? Math.round(value * 100) / 100 : Math.round(value * 10) / 10
}
