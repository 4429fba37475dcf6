import autocannon from 'autocannon'
import { Recording } from './recording.ts'

export interface ClosedLoop {
  connections: number
  seconds: number
  /** The paths of each connection, requested in turn and repeated. Default: the path of the url. */
  paths?: (connection: number) => readonly string[]
  headers?: Record<string, string>
  /** Requests in progress on one connection. */
  pipelining?: number
}

/**
 * A closed loop: each of `connections` sends its next request after the answer to the one before.
 *
 * It measures the throughput, and the waits of a fixed number of clients. It cannot measure the waits of clients that would have arrived
 * while the server stood still, because it sends nothing in that time: see open-loop.ts.
 */
export async function load(url: string, loop: ClosedLoop): Promise<Recording> {
  const recording = new Recording()
  const headers = loop.headers ?? {}
  let connection = 0
  const began = performance.now()
  const cpu = process.cpuUsage()
  const at = () => (performance.now() - began) / 1000
  const running = autocannon({
    url,
    connections: loop.connections,
    duration: loop.seconds,
    timeout: 60,
    pipelining: loop.pipelining ?? 1,
    headers,
    setupClient(client) {
      const paths = loop.paths?.(connection)
      connection += 1
      if (paths !== undefined) client.setRequests(paths.map((path) => ({ method: 'GET' as const, path, headers })))
    },
  }) as unknown as autocannon.Instance & Promise<unknown>
  const answered = new Set<unknown>()
  running.on('response', (client, status, _bytes, ms) => {
    answered.add(client)
    recording.add(at(), ms, status)
  })
  running.on('reqError', () => recording.add(at(), 0, 0))
  await running
  recording.seconds = at()
  recording.unanswered = loop.connections - answered.size
  const used = process.cpuUsage(cpu)
  recording.generatorCpu = (used.user + used.system) / 1e6 / recording.seconds
  return recording
}
