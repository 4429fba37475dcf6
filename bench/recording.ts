/** The source of an answer that names none, and of a request without an answer. */
export const noSource = 'none'

/** A time span of a load, `at` seconds after its start. Other times are in milliseconds. */
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
 * All answers of a load, each with its own figures. Without a histogram, each percentile is the exact wait of one request.
 *
 * `status` 0 means no answer. The waits include those of failed requests, until the failure.
 */
export class Recording {
  #at = new Float64Array(1024)
  #ms = new Float64Array(1024)
  #status = new Uint16Array(1024)
  #source = new Uint8Array(1024)
  /** Names of sources in order of appearance. #source holds indexes into it. */
  readonly #names: string[] = []
  #count = 0
  /** Duration of the load. */
  seconds = 0
  /** Connections of a closed loop without any answer. */
  unanswered = 0
  /** CPU of the load generator, as a share of one core. Near 1, the load generator limits the figures. */
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

  /** Answers other than 2xx and 304, and requests without an answer. */
  get failed(): number {
    let failed = 0
    for (let i = 0; i < this.#count; i += 1) if (!isGood(this.#status[i] as number)) failed += 1
    return failed
  }

  /** The number of answers by status. */
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

  /** The number of answers by source. */
  get sources(): Record<string, number> {
    const counted: Record<string, number> = {}
    for (let i = 0; i < this.#count; i += 1) {
      const source = this.#sourceOf(i)
      counted[source] = (counted[source] ?? 0) + 1
    }
    return counted
  }

  /** The part from `from` seconds, inclusive, to `to`, exclusive. */
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

  /** Adds all answers of `other`, which began `later` seconds after this one. */
  join(other: Recording, later = 0): void {
    for (let i = 0; i < other.#count; i += 1)
      this.add((other.#at[i] as number) + later, other.#ms[i] as number, other.#status[i] as number, other.#sourceOf(i))
    this.seconds = Math.max(this.seconds, other.seconds + later)
  }

  /** The figures of each span in which there were answers. */
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

/** All sources of `recordings`: the tiers in order of appearance, then the origin, then `noSource`. */
export function sourcesOf(recordings: readonly Pick<Recording, 'sources'>[]): string[] {
  const seen = new Set(recordings.flatMap(({ sources }) => Object.keys(sources)))
  const last = ['origin', noSource].filter((name) => seen.delete(name))
  return [...seen, ...last]
}

export function isGood(status: number): boolean {
  return (status >= 200 && status < 300) || status === 304
}

/** The nearest-rank percentile: the least value that is at or above `share` of all values. NaN without values. */
export function percentileOf(sorted: ArrayLike<number>, share: number): number {
  if (sorted.length === 0) return Number.NaN
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] as number
}

/** The median of the finite values: a round without answers has none. */
export function median(values: readonly number[]): number {
  const sorted = values.filter(Number.isFinite).sort((a, b) => a - b)
  if (sorted.length === 0) return Number.NaN
  const at = (index: number) => sorted[index] as number
  const middle = (sorted.length - 1) / 2
  return (at(Math.floor(middle)) + at(Math.ceil(middle))) / 2
}

/** The difference between the largest and the smallest of `values`, as a share of their median. */
export function spread(values: readonly number[]): number {
  return (Math.max(...values) - Math.min(...values)) / median(values)
}
