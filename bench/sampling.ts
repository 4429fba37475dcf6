/** Reads a growing counter at intervals. */
export interface Sampling {
  /** Seconds since the start. */
  seconds(): number
  stop(): Promise<Samples>
}

export interface Samples {
  /** Growth per second between two moments, given in seconds since the start. */
  rate(from: number, to: number): number
  perSecond(): [at: number, perSecond: number][]
}

/** Starts to sample the counter that `read` returns. */
export function sampled(read: () => Promise<number>, everyMs = 500): Sampling {
  const began = performance.now()
  const taken: { at: number; value: number }[] = []
  const seconds = () => (performance.now() - began) / 1000
  let isOver = false
  const take = async () => {
    try {
      const value = await read()
      taken.push({ at: seconds(), value })
    } catch {
      // the counter cannot be read now: a gap
    }
  }
  const running = (async () => {
    while (!isOver) {
      await take()
      await new Promise((resolve) => setTimeout(resolve, everyMs))
    }
    await take()
  })()
  return {
    seconds,
    async stop() {
      isOver = true
      await running
      return samples(taken)
    },
  }
}

function samples(taken: { at: number; value: number }[]): Samples {
  return {
    rate(from, to) {
      const inside = taken.filter(({ at }) => at >= from - 0.75 && at <= to + 0.75)
      const [first, last] = [inside[0], inside.at(-1)]
      if (first === undefined || last === undefined || first === last) return Number.NaN
      return (last.value - first.value) / (last.at - first.at)
    },
    perSecond() {
      return taken.slice(1).map(({ at, value }, i) => {
        const before = taken[i] as { at: number; value: number }
        return [at, Math.max(0, value - before.value) / (at - before.at)]
      })
    },
  }
}
