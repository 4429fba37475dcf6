import autocannon from 'autocannon'
import { Recording } from './recording.ts'

export interface ClosedLoop {
  connections: number
  seconds: number
  /** What each connection asks, one after the other and again from the start; without it, the url as it is. */
  paths?: (connection: number) => readonly string[]
  headers?: Record<string, string>
  /** Requests sent ahead on one connection. */
  pipelining?: number
}

/**
 * Asks over `connections`, each asking again when it is answered: a closed loop. It shows what can be served and what a crowd of fixed size
 * waits. It cannot show what others would have waited while the server stood still, for it sends nothing meanwhile: see open-loop.
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
