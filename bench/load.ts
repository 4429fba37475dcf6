import autocannon from 'autocannon'

/** What a load of some seconds saw. Latencies in milliseconds. */
export interface Measured {
  requests: number
  perSecond: number
  p50: number
  p99: number
  failed: number
}

/** Asks `url` over `connections` connections for `seconds`, each asking again when it is answered. */
export async function load(url: string, connections: number, seconds: number): Promise<Measured> {
  const began = performance.now()
  const result = await autocannon({ url, connections, duration: seconds })
  const lasted = (performance.now() - began) / 1000
  return {
    requests: result.requests.total,
    perSecond: result.requests.total / lasted,
    p50: result.latency.p50,
    p99: result.latency.p99,
    failed: result.non2xx + result.errors + result.timeouts,
  }
}
