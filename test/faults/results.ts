import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import type { Result } from './run.ts'

/** What the latest full run measured; the table of README.md is made from it. */
export interface Results {
  faults: Omit<Result, 'log'>[]
  crowds: Crowd[]
  coherence?: Coherence[]
}

/** What readers of four processes saw of rows that were counted up. */
export interface Coherence {
  name: string
  reads: number
  violations: number
  /** From a commit to the last older answer, anywhere, in milliseconds. */
  everywhereP50Ms: number
  everywhereP99Ms: number
  stalestMs: number
  convergedSeconds: number
}

/** Many clients at once on one key, over some processes. */
export interface Crowd {
  name: string
  clients: number
  processes: number
  failed: number
  sql: number
}

const file = new URL('results.json', import.meta.url)
export const isFull = process.env.FULL !== undefined

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
  return name.endsWith('Seconds') ? Math.round(value * 100) / 100 : Math.round(value * 10) / 10
}
