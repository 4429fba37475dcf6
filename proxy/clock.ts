// The clock that the program is given, so that tests control time.
/** A source of time. It is passed in, so that a test can stop it. */
export interface Clock {
  /** Milliseconds on this host's monotonic clock. Only differences are meaningful. */
  now(): number
  /** Calls `run` once after `ms` milliseconds; the returned function cancels that. Does not keep the process alive. */
  after(ms: number, run: () => void): () => void
}

export const systemClock: Clock = {
  now: () => performance.now(),
  after(ms, run) {
    const timer = setTimeout(run, ms)
    timer.unref()
    return () => clearTimeout(timer)
  },
}
