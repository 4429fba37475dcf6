import type { AddressInfo } from 'node:net'
import { connect, createServer, type Socket } from 'node:net'
import { setTimeout } from 'node:timers/promises'

/** A fault of the network. Bytes keep their order, and bytes that a fault holds back arrive after it. */
export type Fault =
  | { kind: 'none' }
  /** Each chunk arrives `ms` later. */
  | { kind: 'latency'; ms: number }
  /** The limit holds for each direction. */
  | { kind: 'throttle'; bytesPerSecond: number }
  /** No byte arrives, in either direction; connections stay open. */
  | { kind: 'black-hole' }
  /** Open connections are reset, and new ones are too. */
  | { kind: 'reset' }
  /** The server's first `bytes` arrive, then the connection is reset. */
  | { kind: 'cut-after'; bytes: number }
  /** The server receives the client's bytes; its own bytes do not arrive. */
  | { kind: 'half-open' }
  /** Open connections are reset; new ones go to another port of the same host. */
  | { kind: 'elsewhere'; port: number }

export interface FaultProxy {
  port: number
  set(fault: Fault): void
  /** Connections accepted so far. */
  readonly connections: number
  close(): void
}

/** Starts a TCP proxy to `host`:`port` that simulates faults. `rewrite` changes each chunk that a client sends. */
export async function faultProxy(
  target: { host: string; port: number },
  rewrite: (sent: Buffer) => Buffer = (sent) => sent,
): Promise<FaultProxy> {
  let fault: Fault = { kind: 'none' }
  let changed = Promise.withResolvers<void>()
  const pairs = new Set<{ client: Socket; server: Socket }>()
  let connections = 0

  /** Forwards each chunk that `from` sends, under the current fault. */
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
      // These two pauses are the fault itself.
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
      // A connection to the wrong server must not outlive the change.
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
