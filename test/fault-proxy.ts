import type { AddressInfo } from 'node:net'
import { connect, createServer, type Socket } from 'node:net'

/** What is wrong with the network at the moment. */
export type Fault =
  | { kind: 'none' }
  /** Each piece arrives this much later. */
  | { kind: 'latency'; ms: number }
  /** Bytes a second, each way. */
  | { kind: 'throttle'; bytesPerSecond: number }
  /** What is sent arrives nowhere; connections stay. */
  | { kind: 'black-hole' }
  /** Connections are refused, those there are reset. */
  | { kind: 'reset' }
  /** Answers get through up to so many bytes, then the connection is reset. */
  | { kind: 'cut-after'; bytes: number }
  /** What clients send gets through, answers do not: the other side believes in a connection that is none. */
  | { kind: 'half-open' }

export interface FaultProxy {
  port: number
  set(fault: Fault): void
  /** Connections taken so far. */
  readonly connections: number
  close(): void
}

/**
 * A TCP proxy to `host`:`port` that can be made to fail. `rewrite` changes what clients send, piece by piece.
 */
export async function faultProxy(
  target: { host: string; port: number },
  rewrite: (sent: Buffer) => Buffer = (sent) => sent,
): Promise<FaultProxy> {
  let fault: Fault = { kind: 'none' }
  const pairs = new Set<{ client: Socket; server: Socket }>()
  let connections = 0

  /** Passes on what `from` sends, as the fault of the moment lets it. */
  function carry(
    from: Socket,
    to: Socket,
    isAnswer: boolean,
    cut: () => void,
    change = (bytes: Buffer) => bytes,
  ): void {
    let passed = 0
    from.on('data', (bytes: Buffer) => {
      const sent = change(bytes)
      switch (fault.kind) {
        case 'black-hole':
          return
        case 'half-open':
          if (!isAnswer) to.write(sent)
          return
        case 'latency':
          return void setTimeout(() => to.write(sent), fault.ms)
        case 'throttle':
          from.pause()
          return void setTimeout(
            () => {
              to.write(sent)
              from.resume()
            },
            (sent.length / fault.bytesPerSecond) * 1000,
          )
        case 'cut-after': {
          if (!isAnswer) return void to.write(sent)
          to.write(sent.subarray(0, Math.max(0, fault.bytes - passed)))
          passed += sent.length
          if (passed >= fault.bytes) cut()
          return
        }
        default:
          to.write(sent)
      }
    })
    from.on('end', () => fault.kind !== 'black-hole' && to.end())
  }

  const server = createServer({ allowHalfOpen: true }, (client) => {
    connections += 1
    client.on('error', () => {})
    if (fault.kind === 'reset') return void client.resetAndDestroy()
    const onward = connect({ ...target, allowHalfOpen: true })
    const pair = { client, server: onward }
    pairs.add(pair)
    const cut = () => {
      client.resetAndDestroy()
      onward.destroy()
    }
    onward.on('error', cut)
    for (const side of [client, onward]) {
      side.on('close', () => {
        pairs.delete(pair)
        client.destroy()
        onward.destroy()
      })
    }
    carry(client, onward, false, cut, rewrite)
    carry(onward, client, true, cut)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as AddressInfo).port,
    set(next) {
      fault = next
      if (next.kind === 'reset') for (const { client } of pairs) client.resetAndDestroy()
    },
    get connections() {
      return connections
    },
    close() {
      server.close()
      for (const { client, server: onward } of pairs) {
        client.destroy()
        onward.destroy()
      }
    },
  }
}
