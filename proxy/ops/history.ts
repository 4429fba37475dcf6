// History of the figures: the last ten seconds, and the last hour in a ring buffer.
import type { Clock } from '../clock.ts'
import type { AnswerSource } from '../sources.ts'
import type { Counts } from './counts.ts'
import { copyOf, type Figures, figuresBetween, mergeTimes, type Snapshot, snapshot } from './figures.ts'
import { quantile } from './histogram.ts'

/** Gauges, read at the end of each step. */
export interface StepGauges {
  poolActive: number
  poolWaiting: number
  memoryBytes: number
  entries: number
  clients: number
}

/** Columns of a route's series, besides one for each source. The total series has the other columns too. */
const routeColumns = ['requests', 'errors', 'shed', 'queries', 'queriesSaved', 'p50Seconds', 'p99Seconds']
const gaugeColumns = ['poolActive', 'poolWaiting', 'memoryBytes', 'entries', 'clients']
const totalColumns = [...gaugeColumns, 'evictions', 'invalidations', 'lagSeconds']

/** Length of the window of the latest figures, in ticks: long enough for a percentile, short enough to show a change at once. */
const windowTicks = 10
/** Length of a step, in ticks of one second; `steps`: the number of steps kept. */
const stepTicks = 5
const steps = 720

/** Rows of numbers in a ring buffer of fixed size. An unknown number is NaN. */
class Series {
  readonly #columns: ReadonlyMap<string, Float32Array>

  constructor(columns: readonly string[]) {
    this.#columns = new Map(columns.map((column) => [column, new Float32Array(steps).fill(Number.NaN)]))
  }

  set(step: number, row: Readonly<Record<string, unknown>>): void {
    for (const [column, values] of this.#columns) {
      const value = row[column]
      values[step % steps] = typeof value === 'number' ? value : Number.NaN
    }
  }

  /** The steps from `from` up to, but not including, `to`, oldest first. */
  read(from: number, to: number): Record<string, (number | null)[]> {
    const valueAt = (values: Float32Array, step: number) => {
      const value = values[step % steps] ?? Number.NaN
      return Number.isNaN(value) ? null : Number(value.toPrecision(5))
    }
    const read = (values: Float32Array) => Array.from({ length: to - from }, (_, k) => valueAt(values, from + k))
    return Object.fromEntries([...this.#columns].map(([column, values]) => [column, read(values)]))
  }
}

/** All counts at one tick. */
interface TickCounts {
  at: number
  total: Snapshot
  routes: ReadonlyMap<string, Snapshot>
  lag: Float64Array
  evictions: number
  invalidations: number
}

/** The figures of the latest window, per second. */
export interface LatestFigures {
  overSeconds: number
  total: Figures
  routes: ReadonlyMap<string, Figures>
}

/** Past steps, as columns. */
export interface PastSteps {
  /** Number of steps since the start; the last 720 can be read. */
  steps: number
  /** Seconds since the end of each step. */
  agoSeconds: number[]
  columns: Record<string, (number | null)[]>
}

/**
 * Keeps the last hour in steps of five seconds, and the counts of the last ten seconds. A dashboard opened late shows the past, and every
 * dashboard the same past. Reads the counts once a second and costs requests nothing.
 *
 * Its size is fixed for each route: 720 steps of a dozen four-byte numbers, and the counts of the last ten seconds.
 */
export class History {
  readonly #clock: Clock
  readonly #sources: readonly AnswerSource[]
  readonly #counts: () => Counts
  readonly #gauges: () => StepGauges
  readonly #routeColumns: readonly string[]
  readonly #total: Series
  readonly #routes = new Map<string, Series>()
  readonly #endedAt = new Float64Array(steps)
  readonly #listeners = new Set<() => void>()
  readonly #window: TickCounts[] = []
  #latest: TickCounts
  #ticks = 0
  #steps = 0
  #cancel = () => {}

  constructor(clock: Clock, sources: readonly AnswerSource[], counts: () => Counts, gauges: () => StepGauges) {
    this.#clock = clock
    this.#sources = sources
    this.#counts = counts
    this.#gauges = gauges
    this.#routeColumns = [...routeColumns, ...sources.map(({ name }) => name)]
    this.#total = new Series([...this.#routeColumns, ...totalColumns])
    this.#latest = this.#countsNow()
    this.#window.push(this.#latest)
  }

  start(): void {
    this.#cancel = this.#clock.after(1000, () => {
      this.start()
      this.tick()
    })
  }

  stop(): void {
    this.#cancel()
  }

  /** Calls `listener` after each tick, until the returned function is called. */
  listen(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  tick(): void {
    this.#latest = this.#countsNow()
    this.#window.push(this.#latest)
    if (this.#window.length > windowTicks + 1) this.#window.shift()
    this.#ticks += 1
    if (this.#ticks % stepTicks === 0) this.#addStep()
    for (const listener of this.#listeners) listener()
  }

  /** Number of steps since the start. */
  get steps(): number {
    return this.#steps
  }

  latest(): LatestFigures {
    const after = this.#latest
    const before = this.#window[0] ?? after
    const seconds = Math.max((after.at - before.at) / 1000, 1)
    const routes = new Map<string, Figures>()
    for (const [name, counts] of after.routes) routes.set(name, this.#figures(before.routes.get(name), counts, seconds))
    return { overSeconds: Math.round(seconds), total: this.#figures(before.total, after.total, seconds), routes }
  }

  /** The steps from number `since` on, of a route or in total. */
  read(route?: string, since = 0): PastSteps {
    const from = Math.min(Math.max(since, this.#steps - steps, 0), this.#steps)
    const series = route === undefined ? this.#total : (this.#routes.get(route) ?? new Series(this.#routeColumns))
    const now = this.#clock.now()
    const agoSeconds = (step: number) => Math.round((now - (this.#endedAt[step % steps] ?? now)) / 100) / 10
    return {
      steps: this.#steps,
      agoSeconds: Array.from({ length: this.#steps - from }, (_, k) => agoSeconds(from + k)),
      columns: series.read(from, this.#steps),
    }
  }

  #countsNow(): TickCounts {
    const { total, routes, times, invalidationLag, evictions, invalidations } = this.#counts()
    const snapshots = new Map<string, Snapshot>()
    for (const [name, counts] of routes) snapshots.set(name, snapshot(counts, times.get(name) ?? new Map()))
    return {
      at: this.#clock.now(),
      total: { counts: copyOf(total), times: mergeTimes([...snapshots.values()].map((one) => one.times)) },
      routes: snapshots,
      lag: invalidationLag.counts.slice(),
      evictions,
      invalidations,
    }
  }

  #addStep(): void {
    const after = this.#latest
    const before = this.#window.at(-1 - stepTicks) ?? after
    const seconds = (after.at - before.at) / 1000
    const lag = after.lag.map((count, i) => count - (before.lag[i] ?? 0))
    this.#endedAt[this.#steps % steps] = after.at
    this.#total.set(this.#steps, {
      ...this.#figures(before.total, after.total, seconds),
      ...this.#gauges(),
      evictions: (after.evictions - before.evictions) / seconds,
      invalidations: (after.invalidations - before.invalidations) / seconds,
      lagSeconds: quantile(lag, 0.99),
    })
    for (const [name, counts] of after.routes) {
      const series = this.#routes.get(name) ?? new Series(this.#routeColumns)
      this.#routes.set(name, series)
      series.set(this.#steps, this.#figures(before.routes.get(name), counts, seconds))
    }
    this.#steps += 1
  }

  #figures(before: Snapshot | undefined, after: Snapshot, seconds: number): Figures {
    return figuresBetween(before, after, seconds, this.#sources)
  }
}
