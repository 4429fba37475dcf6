import type { Stage } from './stage.ts'
import type { Compared } from './variants.ts'

/** One question about onramp, and the function that measures its answer. */
export interface Scenario {
  name: string
  /** The question that the scenario answers, as a buyer would ask it. */
  question: string
  run(context: Context): Promise<Outcome>
}

export interface Context {
  isQuick: boolean
  stage: Stage
  /** The seed of all random draws: the same for every variant of every scenario. */
  seed: number
  /** Reports progress on stderr. */
  note(text: string): void
}

export interface Outcome {
  claims: Claim[]
  tables: Table[]
  charts: Chart[]
  /** Facts that a reader needs to judge the figures. */
  notes: string[]
}

/** One measured figure, and its target if it has one. `measure`: `measured` reads as a sentence. */
export interface Claim {
  /** Stable name within the scenario, independent of the wording: summaryTable finds claims by it. */
  id: string
  /** A noun phrase: the quantity, and the conditions it was measured under. */
  measure: string
  /** The figure as shown, with its unit. */
  measured: string
  /** The number that is compared with the target. */
  value: number
  /** The target. A claim with neither bound is reported without a verdict. */
  atMost?: number
  atLeast?: number
  /** The target as shown. */
  target?: string
  /** The lowest and the highest `value` of all rounds, where variants took turns. */
  rounds?: readonly [lowest: number, highest: number]
  /** The better direction of a claim without a target. */
  better?: 'more' | 'less'
  /** Why the figure is as it is, by profiles. Shown only if the target does not hold. */
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
  /** Logarithmic y axis. */
  isLog?: boolean
  /** Logarithmic x axis. */
  isXLog?: boolean
  series: { name: string; points: [x: number, y: number][] }[]
  /** Vertical lines with a label; for `bars`, the names of the groups. */
  marks?: { x: number; label: string }[]
}

/** Whether `value` is within the target; undefined for a claim without a target. */
export function holds({ value, atMost, atLeast }: Claim): boolean | undefined {
  if (atMost === undefined && atLeast === undefined) return undefined
  return value <= (atMost ?? Number.POSITIVE_INFINITY) && value >= (atLeast ?? Number.NEGATIVE_INFINITY)
}

/** Whether some round has another verdict than the median round. */
export function isWithinNoise(claim: Claim): boolean {
  return claim.rounds?.some((value) => holds({ ...claim, value }) !== holds(claim)) ?? false
}

/** A duration with its unit: s, ms or µs. */
export function duration(ms: number): string {
  if (!Number.isFinite(ms)) return '–'
  if (ms === 0) return '0 s'
  if (ms >= 1000) return `${rounded(ms / 1000)} s`
  return ms >= 1 ? `${rounded(ms)} ms` : `${rounded(ms * 1000)} µs`
}

/** Three significant digits: more would be noise. */
export function rounded(value: number): string {
  if (!Number.isFinite(value)) return '–'
  if (Math.abs(value) >= 100) return Math.round(value).toLocaleString('en-US')
  return String(Number(value.toPrecision(3)))
}

/** A ratio, and in brackets its lowest and its highest round, if there were several. */
export function times({ value, rounds: [lowest, highest] }: Compared, ofWhat = ''): string {
  const range = lowest === highest ? '' : ` (${rounded(lowest)} to ${rounded(highest)})`
  return `${rounded(value)} times${ofWhat}${range}`
}

/** A count with thousands separators. */
export function counted(count: number): string {
  return Math.round(count).toLocaleString('en-US')
}

/** Failed requests of all, as shares are easier to compare, and counts show how many there were. */
export function failures(failed: number, all: number): string {
  return `${percent(failed / Math.max(1, all))} failed (${counted(failed)} of ${counted(all)} requests)`
}

export function percent(share: number): string {
  return `${rounded(share * 100)} %`
}
