import type { Stage } from './stage.ts'

/** Something to be proven, or disproven: data, and one function that measures. */
export interface Scenario {
  name: string
  /** What is asked, in one sentence. */
  question: string
  run(context: Context): Promise<Outcome>
}

export interface Context {
  isQuick: boolean
  stage: Stage
  /** The same for every variant of every scenario. */
  seed: number
  /** Says what is going on, to whoever waits. */
  note(text: string): void
}

export interface Outcome {
  claims: Claim[]
  tables: Table[]
  charts: Chart[]
  /** What a reader must know to judge the numbers. */
  notes: string[]
}

/** One sentence of the README's table. */
export interface Claim {
  what: string
  /** As it is shown, with its unit. */
  measured: string
  value: number
  /** What it has to be at most, or at least; without either it is reported only. */
  atMost?: number
  atLeast?: number
  /** The bound as it is shown. */
  floor?: string
  /** Where the time goes, as profiles say: told where it does not hold. */
  cause?: string
}

export interface Table {
  title: string
  head: string[]
  rows: (string | number)[][]
}

export interface Chart {
  title: string
  kind: 'lines' | 'stack' | 'bars'
  x: string
  y: string
  /** Orders of magnitude on the y axis. */
  isLog?: boolean
  series: { name: string; points: [x: number, y: number][] }[]
  /** Moments worth a line of their own. */
  marks?: { x: number; label: string }[]
}

export function holds({ value, atMost, atLeast }: Claim): boolean | undefined {
  if (atMost === undefined && atLeast === undefined) return undefined
  return value <= (atMost ?? Number.POSITIVE_INFINITY) && value >= (atLeast ?? Number.NEGATIVE_INFINITY)
}

/** A duration as people read it. */
export function duration(ms: number): string {
  if (!Number.isFinite(ms)) return '–'
  if (ms >= 1000) return `${rounded(ms / 1000)} s`
  return ms >= 1 ? `${rounded(ms)} ms` : `${rounded(ms * 1000)} µs`
}

/** Three figures: more would be noise. */
export function rounded(value: number): string {
  if (!Number.isFinite(value)) return '–'
  if (Math.abs(value) >= 100) return Math.round(value).toLocaleString('en-US')
  return String(Number(value.toPrecision(3)))
}

export function percent(share: number): string {
  return `${rounded(share * 100)} %`
}
