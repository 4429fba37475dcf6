import { Connection } from './connection.ts'

/**
 * Opens `readers` connections, spread over `targets`. Once all are open, it sends one request on each at the same moment.
 *
 * `waits` are in milliseconds, of the successful answers.
 */
export async function crowdOnce(
  targets: readonly URL[],
  readers: number,
  request: (host: string) => string,
): Promise<{ waits: number[]; failed: number }> {
  const all = await Promise.all(
    Array.from({ length: readers }, (_none, i) => {
      const { hostname, port, host } = targets[i % targets.length] as URL
      return new Promise<{ connection: Connection; host: string }>((resolve, reject) => {
        const connection = new Connection(
          { host: hostname, port: Number(port) },
          () => resolve({ connection, host }),
          (error) => reject(error ?? new Error(`${host} closed the connection before it was open.`)),
        )
      })
    }),
  )
  const waits: number[] = []
  let failed = 0
  await Promise.all(
    all.map(({ connection, host }) => {
      const sent = performance.now()
      return new Promise<void>((resolve) => {
        connection.ask(request(host), (status) => {
          if (status === 200) waits.push(performance.now() - sent)
          else failed += 1
          resolve()
        })
      })
    }),
  )
  for (const { connection } of all) connection.close()
  return { waits, failed }
}
