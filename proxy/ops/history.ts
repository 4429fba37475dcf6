// The last ten seconds, and the last hour in a ring.
import type { Clock } from '../clock.ts'
import { type Figures, figuresBetween, type Snapshot, snapshot, together } from './figures.ts'
import { quantile } from './histogram.ts'
import type { Counts } from './metrics.ts'

/** How things stand, rather than what has happened: read at the end of each step. */
export interface Levels {
  poolActive: number
  poolWaiting: number
  memoryBytes: number
  entries: number
  clients: number
}

/** Every column of a series; `at` is the end of the step on the clock, in seconds. */
const ofRoutes = ['requests', 'memory', 'redis', 'origin', 'upstream', 'none', 'errors', 'shed', 'queries'] as const
const ofTimes = ['p50Seconds', 'p99Seconds'] as const
const routeColumns = [...ofRoutes, 'queriesSaved', ...ofTimes] as const
const levelColumns = ['poolActive', 'poolWaiting', 'memoryBytes', 'entries', 'clients'] as const
const totalColumns = [...routeColumns, ...levelColumns, 'evictions', 'invalidations', 'lagSeconds'] as const
export type RouteColumn = (typeof routeColumns)[number]
export type TotalColumn = (typeof totalColumns)[number]

/** `now` looks back this far: long enough for a percentile, short enough to see what one has just done. */
const windowTicks = 10
/** A step of the hour, in ticks of a second, and how many are kept. */
const stepTicks = 5
const steps = 720

/** Rows of numbers in a ring of a fixed size. What is not known is NaN. */
class Series {
  readonly #columns: readonly string[]
  readonly #values: Float32Array

  constructor(columns: readonly string[]) {
    this.#columns = columns
    this.#values = new Float32Array(columns.length * steps).fill(Number.NaN)
  }

  set(step: number, row: Readonly<Record<string, unknown>>): void {
    this.#columns.forEach((column, i) => {
      const value = row[column]
      this.#values[i * steps + (step % steps)] = typeof value === 'number' ? value : Number.NaN
    })
  }

  /** The steps from `from` until before `to`, oldest first. */
  read(from: number, to: number): Record<string, (number | null)[]> {
    const shown = (value: number) => (Number.isNaN(value) ? null : Number(value.toPrecision(5)))
    const read = (i: number) =>
      Array.from({ length: to - from }, (_, k) => shown(this.#values[i * steps + ((from + k) % steps)] as number))
    return Object.fromEntries(this.#columns.map((column, i) => [column, read(i)]))
  }
}

/** All that was counted at one tick. */
interface Tick {
  at: number
  total: Snapshot
  routes: Map<string, Snapshot>
  lag: Float64Array
  evictions: number
  invalidations: number
}

/** What has just happened, a second. */
export interface Now {
  overSeconds: number
  total: Figures
  routes: Record<string, Figures>
}

/**
 * Remembers the last hour, in steps of five seconds, and what has happened in the last ten: a page opened late shows the past,
 * and every page the same. Looks at the counts once a second and takes nothing from the road of a request.
 *
 * Of a fixed size for each route there is: 720 steps of a dozen numbers of four bytes, and the counts of the last ten seconds.
 */
export class History {
  readonly #clock: Clock
  readonly #counts: () => Counts
  readonly #levels: () => Levels
  readonly #total = new Series(totalColumns)
  readonly #routes = new Map<string, Series>()
  readonly #times = new Float64Array(steps)
  readonly #listeners = new Set<() => void>()
  #recent: Tick[]
  #ticks = 0
  #steps = 0
  #cancel = () => {}

  constructor(clock: Clock, counts: () => Counts, levels: () => Levels) {
    this.#clock = clock
    this.#counts = counts
    this.#levels = levels
    this.#recent = [this.#look()]
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

  /** Has `listener` called after each tick, until the function returned is called. */
  listen(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  tick(): void {
    this.#recent.push(this.#look())
    if (this.#recent.length > windowTicks + 1) this.#recent.shift()
    this.#ticks += 1
    if (this.#ticks % stepTicks === 0) this.#step()
    for (const listener of this.#listeners) listener()
  }

  /** The number of steps so far; the last 720 of them can be read. */
  get steps(): number {
    return this.#steps
  }

  now(): Now {
    const [before, after] = [this.#recent[0] as Tick, this.#recent.at(-1) as Tick]
    const seconds = Math.max((after.at - before.at) / 1000, 1)
    const routes: Record<string, Figures> = {}
    for (const [name, of] of after.routes) routes[name] = figuresBetween(before.routes.get(name), of, seconds)
    return { overSeconds: Math.round(seconds), total: figuresBetween(before.total, after.total, seconds), routes }
  }

  /** The steps from number `since` on, as columns, of a route or of all. `agoSeconds` is the end of each. */
  read(route?: string, since = 0): { steps: number; agoSeconds: number[]; columns: Record<string, (number | null)[]> } {
    const from = Math.min(Math.max(since, this.#steps - steps, 0), this.#steps)
    const series = route === undefined ? this.#total : (this.#routes.get(route) ?? new Series(routeColumns))
    const now = this.#clock.now()
    const ago = (_: unknown, k: number) => Math.round((now - (this.#times[(from + k) % steps] as number)) / 100) / 10
    return {
      steps: this.#steps,
      agoSeconds: Array.from({ length: this.#steps - from }, ago),
      columns: series.read(from, this.#steps),
    }
  }

  #look(): Tick {
    const { total, routes, times, invalidationLag, evictions, invalidations } = this.#counts()
    const looked = new Map<string, Snapshot>()
    for (const name in routes) looked.set(name, snapshot(routes[name] as Counts['total'], times[name] ?? {}))
    const all = together([...looked.values()].map((of) => of.times))
    const lag = invalidationLag.counts.slice()
    const at = this.#clock.now()
    return { at, total: { counts: { ...total }, times: all }, routes: looked, lag, evictions, invalidations }
  }

  #step(): void {
    const after = this.#recent.at(-1) as Tick
    const before = this.#recent.at(-1 - stepTicks) as Tick
    const seconds = (after.at - before.at) / 1000
    const lag = after.lag.map((count, i) => count - (before.lag[i] as number))
    this.#times[this.#steps % steps] = after.at
    this.#total.set(this.#steps, {
      ...figuresBetween(before.total, after.total, seconds),
      ...this.#levels(),
      evictions: (after.evictions - before.evictions) / seconds,
      invalidations: (after.invalidations - before.invalidations) / seconds,
      lagSeconds: quantile(lag, 0.99),
    })
    for (const [name, of] of after.routes) {
      const series = this.#routes.get(name) ?? new Series(routeColumns)
      this.#routes.set(name, series)
      series.set(
        this.#steps,
        figuresBetween(before.routes.get(name), of, seconds) as unknown as Record<string, unknown>,
      )
    }
    this.#steps += 1
  }
}
