import type { AddressInfo } from 'node:net'
import { connect, createServer, type Socket } from 'node:net'
import { setTimeout } from 'node:timers/promises'

/** What is wrong with the network at the moment. Bytes never overtake each other, and what a fault holds back arrives after it. */
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
  /** Connections are reset, and new ones lead to another port of the same host. */
  | { kind: 'elsewhere'; port: number }

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
  let changed = Promise.withResolvers<void>()
  const pairs = new Set<{ client: Socket; server: Socket }>()
  let connections = 0

  /** Passes on what `from` sends, piece after piece, as the fault of the moment lets it. */
  function carry(
    from: Socket,
    to: Socket,
    isAnswer: boolean,
    cut: () => void,
    change = (bytes: Buffer) => bytes,
  ): void {
    let passed = 0
    let last = Promise.resolve()
    const isHeld = () => fault.kind === 'black-hole' || (fault.kind === 'half-open' && isAnswer)
    const pass = async (bytes: Buffer, arrived: number) => {
      while (isHeld()) await changed.promise
      if (fault.kind === 'latency') await setTimeout(Math.max(0, arrived + fault.ms - performance.now()))
      if (fault.kind === 'throttle') await setTimeout((bytes.length / fault.bytesPerSecond) * 1000)
      if (fault.kind !== 'cut-after' || !isAnswer) return void to.write(bytes)
      to.write(bytes.subarray(0, Math.max(0, fault.bytes - passed)))
      passed += bytes.length
      if (passed >= fault.bytes) cut()
    }
    from.on('data', (bytes: Buffer) => {
      const sent = change(bytes)
      const arrived = performance.now()
      last = last.then(() => pass(sent, arrived))
    })
    from.on('end', () => {
      last = last.then(async () => {
        while (isHeld()) await changed.promise
        to.end()
      })
    })
  }

  const server = createServer({ allowHalfOpen: true }, (client) => {
    connections += 1
    client.on('error', () => {})
    if (fault.kind === 'reset') return void client.resetAndDestroy()
    const port = fault.kind === 'elsewhere' ? fault.port : target.port
    const onward = connect({ host: target.host, port, allowHalfOpen: true })
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
      // Nobody stays connected to what was there instead.
      const isOther = next.kind === 'reset' || next.kind === 'elsewhere' || fault.kind === 'elsewhere'
      fault = next
      if (isOther) for (const { client } of pairs) client.resetAndDestroy()
      changed.resolve()
      changed = Promise.withResolvers<void>()
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
