// Responses collected in batches, to be counted many at a time.
import type { FactOf } from '../observation.ts'

type Response = FactOf<'response'>

/** Responses with equal labels, not counted yet. */
export interface ResponseBatch extends Pick<Response, 'route' | 'source' | 'state' | 'status'> {
  /** The duration of each response. */
  readonly seconds: number[]
  ageSecondsSum: number
}

/** The most responses collected before they are counted. */
const mostWaiting = 1000

/** Collects each response at little cost. They are counted when the counts are read, or when many have been collected. */
export class ResponseBatches {
  readonly #count: (batch: ResponseBatch) => void
  readonly #batches = new Map<string, ResponseBatch>()
  #latest: ResponseBatch | undefined
  #waiting = 0

  constructor(count: (batch: ResponseBatch) => void) {
    this.#count = count
  }

  note({ route, source, state, status, seconds, ageSeconds = 0 }: Response): void {
    let batch = this.#latest
    if (
      batch === undefined ||
      batch.status !== status ||
      batch.route !== route ||
      batch.source !== source ||
      batch.state !== state
    ) {
      const name = `${route} ${source} ${state} ${status}`
      batch = this.#batches.get(name)
      if (batch === undefined) {
        batch = { route, source, state, status, seconds: [], ageSecondsSum: 0 }
        this.#batches.set(name, batch)
      }
      this.#latest = batch
    }
    batch.seconds.push(seconds)
    batch.ageSecondsSum += ageSeconds
    this.#waiting += 1
    if (this.#waiting >= mostWaiting) this.countAll()
  }

  countAll(): void {
    this.#waiting = 0
    for (const batch of this.#batches.values()) {
      if (batch.seconds.length === 0) continue
      this.#count(batch)
      batch.seconds.length = 0
      batch.ageSecondsSum = 0
    }
  }
}
