// Time, passed in.
/** Time as the program sees it: one value to pass in, so that a test can hold it still. */
export interface Clock {
  /** Milliseconds on this host's monotonic clock; only differences mean anything. */
  now(): number
  /** Calls `run` once, `ms` from now, unless the returned function is called first. Does not keep the process alive. */
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
