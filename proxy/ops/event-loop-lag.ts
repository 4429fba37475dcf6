// Event loop lag, measured by how late timers fire.
import { monitorEventLoopDelay } from 'node:perf_hooks'

export interface EventLoopLag {
  /** The 99th percentile since the previous reading, in seconds. */
  read(): number
  stop(): void
}

/** Samples the lag of the event loop every 10 ms, until stopped. */
export function measureEventLoopLag(): EventLoopLag {
  const histogram = monitorEventLoopDelay({ resolution: 10 })
  histogram.enable()
  return {
    read() {
      const seconds = histogram.count === 0 ? 0 : histogram.percentile(99) / 1e9
      histogram.reset()
      return seconds
    },
    stop: () => histogram.disable(),
  }
}
