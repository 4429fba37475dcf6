import { once } from 'node:events'
import { duplexPair } from 'node:stream'
import { text } from 'node:stream/consumers'
import { expect, test } from 'vitest'
import { PublicListener } from '../proxy/http/listener.ts'
import { ManualClock, recorder } from './support.ts'

const limits = {
  maxConnections: 2,
  maxHeaderBytes: 16_384,
  headerTimeoutMs: 10_000,
  quietMs: 10_000,
  keepAliveTimeoutMs: 10_000,
}

/** A listener, and its client connections. */
function setup() {
  const listener = new PublicListener(limits, undefined, new ManualClock(), recorder().observe)
  const connect = () => {
    const [client, socket] = duplexPair()
    listener.server.emit('connection', socket)
    return { client, socket }
  }
  return { listener, connect }
}

test('counts its connections until they close, and only its own', async () => {
  const { listener, connect } = setup()
  const other = setup()
  const [first] = [connect(), connect(), other.connect()]
  expect([listener.clients, other.listener.clients]).toEqual([2, 1])
  first.socket.destroy()
  await once(first.socket, 'close')
  expect([listener.clients, other.listener.clients]).toEqual([1, 1])
})

test('closes the connection above the limit, and none before it', async () => {
  const { listener, connect } = setup()
  const [first, second, third] = [connect(), connect(), connect()]
  expect([first, second, third].map(({ socket }) => socket.destroyed)).toEqual([false, false, true])
  await once(third.socket, 'close')
  expect(listener.clients).toBe(2)
})

test('rejects a CONNECT, and closes its connection', async () => {
  const { connect } = setup()
  const { client } = connect()
  client.write('CONNECT onramp:443 HTTP/1.1\r\nHost: onramp:443\r\n\r\n')
  expect(await text(client)).toMatch(/^HTTP\/1\.1 501 Not Implemented\r\n/)
})
