/** The source of an answer that says none, and of no answer. */
export const noSource = 'none'

/** A second, or another span, of a load. Times in milliseconds, but for `at`: seconds since the load began. */
export interface Moment {
  at: number
  answers: number
  failed: number
  mean: number
  p50: number
  p99: number
  sources: Record<string, number>
}

/**
 * Every answer of a load, one by one: no histogram, so that a percentile is the value somebody waited.
 *
 * `status` 0 is no answer at all. A failure counts as a wait too: for as long as it took to fail.
 */
export class Recording {
  #at = new Float64Array(1024)
  #ms = new Float64Array(1024)
  #status = new Uint16Array(1024)
  #source = new Uint8Array(1024)
  /** The names of the sources, as they came: an answer has the place of its own in here. */
  readonly #names: string[] = []
  #count = 0
  /** Seconds the load took. */
  seconds = 0
  /** Connections of a closed loop that had no answer at all. */
  unanswered = 0
  /** Of one core, what the load itself used: near 1, and it is the load that is measured. */
  generatorCpu = 0

  add(at: number, ms: number, status: number, source = noSource): void {
    if (this.#count === this.#at.length) this.#grow()
    this.#at[this.#count] = at
    this.#ms[this.#count] = ms
    this.#status[this.#count] = status
    this.#source[this.#count] = this.#placeOf(source)
    this.#count += 1
  }

  #placeOf(source: string): number {
    const place = this.#names.indexOf(source)
    return place < 0 ? this.#names.push(source) - 1 : place
  }

  #sourceOf(answer: number): string {
    return this.#names[this.#source[answer] as number] as string
  }

  #grow(): void {
    const size = this.#count * 2
    const wider = <T extends Float64Array | Uint16Array | Uint8Array>(into: T, from: T): T => {
      into.set(from)
      return into
    }
    this.#at = wider(new Float64Array(size), this.#at)
    this.#ms = wider(new Float64Array(size), this.#ms)
    this.#status = wider(new Uint16Array(size), this.#status)
    this.#source = wider(new Uint8Array(size), this.#source)
  }

  get count(): number {
    return this.#count
  }

  get perSecond(): number {
    return this.#count / this.seconds
  }

  /** Answers other than 2xx and 304, and requests without one. */
  get failed(): number {
    let failed = 0
    for (let i = 0; i < this.#count; i += 1) if (!isGood(this.#status[i] as number)) failed += 1
    return failed
  }

  /** How many answers had each status. */
  get statuses(): Record<number, number> {
    const counted: Record<number, number> = {}
    for (let i = 0; i < this.#count; i += 1) {
      const status = this.#status[i] as number
      counted[status] = (counted[status] ?? 0) + 1
    }
    return counted
  }

  get mean(): number {
    let sum = 0
    for (let i = 0; i < this.#count; i += 1) sum += this.#ms[i] as number
    return sum / this.#count
  }

  /** The waits, shortest first. */
  sorted(): Float64Array {
    return this.#ms.slice(0, this.#count).sort()
  }

  percentile(share: number): number {
    return percentileOf(this.sorted(), share)
  }

  /** How many came from where. */
  get sources(): Record<string, number> {
    const counted: Record<string, number> = {}
    for (let i = 0; i < this.#count; i += 1) {
      const source = this.#sourceOf(i)
      counted[source] = (counted[source] ?? 0) + 1
    }
    return counted
  }

  /** What was recorded at `from` seconds or later, and before `to`. */
  between(from: number, to: number): Recording {
    const part = new Recording()
    for (let i = 0; i < this.#count; i += 1) {
      const at = this.#at[i] as number
      if (at >= from && at < to) part.add(at, this.#ms[i] as number, this.#status[i] as number, this.#sourceOf(i))
    }
    part.seconds = Math.min(to, this.seconds) - from
    part.generatorCpu = this.generatorCpu
    return part
  }

  /** Takes over what `other` recorded, `later` seconds after this one began. */
  join(other: Recording, later = 0): void {
    for (let i = 0; i < other.#count; i += 1)
      this.add((other.#at[i] as number) + later, other.#ms[i] as number, other.#status[i] as number, other.#sourceOf(i))
    this.seconds = Math.max(this.seconds, other.seconds + later)
  }

  overTime(spanSeconds = 1): Moment[] {
    const spans = new Map<number, Recording>()
    for (let i = 0; i < this.#count; i += 1) {
      const at = Math.floor((this.#at[i] as number) / spanSeconds)
      const span = spans.get(at) ?? new Recording()
      spans.set(at, span)
      span.add(at, this.#ms[i] as number, this.#status[i] as number, this.#sourceOf(i))
    }
    return [...spans]
      .sort(([a], [b]) => a - b)
      .map(([at, span]) => {
        const waits = span.sorted()
        const [p50, p99] = [percentileOf(waits, 0.5), percentileOf(waits, 0.99)]
        const { count: answers, failed, mean, sources } = span
        return { at: at * spanSeconds, answers, failed, mean, p50, p99, sources }
      })
  }
}

/** Every source of `recordings`, by its name: the tiers as they come first, then the origin, and what has none last. */
export function sourcesOf(recordings: readonly Pick<Recording, 'sources'>[]): string[] {
  const seen = new Set(recordings.flatMap(({ sources }) => Object.keys(sources)))
  const last = ['origin', noSource].filter((name) => seen.delete(name))
  return [...seen, ...last]
}

export function isGood(status: number): boolean {
  return (status >= 200 && status < 300) || status === 304
}

/** The nearest-rank percentile: the least value that `share` of all are not above. NaN of nothing. */
export function percentileOf(sorted: ArrayLike<number>, share: number): number {
  if (sorted.length === 0) return Number.NaN
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] as number
}

/** Of those that are numbers: a round in which nothing was answered has no figures. */
export function median(values: readonly number[]): number {
  const sorted = values.filter(Number.isFinite).sort((a, b) => a - b)
  if (sorted.length === 0) return Number.NaN
  const at = (index: number) => sorted[index] as number
  const middle = (sorted.length - 1) / 2
  return (at(Math.floor(middle)) + at(Math.ceil(middle))) / 2
}

/** The least and the most of `values`, as a share of their median: how far the rounds of one run lie apart. */
export function spread(values: readonly number[]): number {
  return (Math.max(...values) - Math.min(...values)) / median(values)
}
