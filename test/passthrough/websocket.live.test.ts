// WebSockets, and other responses of the upstream to a request for one.
import { once } from 'node:events'
import { describe, expect, test } from 'vitest'
import type { Running } from '../live.ts'
import { askOnce, WireClient } from '../wire/client.ts'
import { valuesOf } from '../wire/fields.ts'
import { requestOf, responseOf } from '../wire/messages.ts'
import { within } from '../wire/within.ts'
import { changed, handshake, passthroughStage } from './stage.ts'

const stage = passthroughStage()

const accepted =
  'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n'

/** Expects a proxy with a limit of one request to accept another one soon. */
async function expectFreed(app: Running, message: string): Promise<void> {
  const status = async () => (await askOnce(app.url, requestOf('GET', '/freed'))).status
  await expect.poll(status, { timeout: 2000, interval: 10, message }).toBe(200)
}

describe('a WebSocket', () => {
  test('is connected from the 101 on, with the early bytes of either side', async () => {
    const target = stage.fresh()
    stage.upstream.script(target, ({ socket }) => {
      socket.write(`${accepted}early`)
      socket.on('data', (bytes) => socket.write(bytes.toString('latin1').toUpperCase(), 'latin1'))
    })
    const client = await WireClient.to(stage.app.url)
    const { status, fields } = await client.ask(handshake(target))
    expect([status, valuesOf(fields, 'sec-websocket-accept')]).toEqual([101, ['x']])
    expect(await client.until('early')).toBe('early')
    for (const said of ['a', 'b\r\n\r\n', 'get / http/1.1\r\n\r\n']) {
      client.send(said)
      expect(await client.until(said.toUpperCase())).toBe(said.toUpperCase())
    }
    client.close()
    const sockets = stage.upstream.to(target).map(({ socket }) => socket)
    expect(sockets).toHaveLength(1)
    for (const socket of sockets) if (!socket.closed) await within(once(socket, 'close'), 'the end of the tunnel')
  })

  // A response other than 101 to an upgrade must not leave a tunnel through which any request could be sent.
  test.each([
    { name: 'refuses', says: responseOf('no', 'HTTP/1.1 403 Forbidden\r\n'), expected: 403 },
    { name: 'ignores', says: responseOf('plain'), expected: 200 },
    {
      name: 'answers with another protocol',
      says: accepted.replace('Upgrade: websocket', 'Upgrade: h2c'),
      expected: 502,
    },
    { name: 'answers without a protocol', says: accepted.replace('Upgrade: websocket\r\n', ''), expected: 502 },
  ])(
    'that the upstream $name is not opened: nothing can be sent through it, and it no longer counts',
    async ({ says, expected }) => {
      const own = await stage.pair(changed({ maxRequests: 1 }))
      own.upstream.script('/socket', says)
      const client = await WireClient.to(own.app.url)
      client.send(handshake('/socket'))
      const { status } = await client.read()
      expect(status).toBe(expected)
      client.send(requestOf('GET', '/smuggled'))
      await within(client.closed, 'the end of the connection')
      expect([own.upstream.to('/smuggled').length, client.unread.length]).toEqual([0, 0])
      await expectFreed(own.app, '/socket')
    },
  )

  test('whose client or upstream disconnects no longer counts', async () => {
    const own = await stage.pair(changed({ maxRequests: 1 }))
    for (const side of ['client', 'web']) {
      own.upstream.script(`/${side}`, accepted)
      const client = await WireClient.to(own.app.url)
      expect((await client.ask(handshake(`/${side}`))).status).not.toBe(503)
      if (side === 'client') client.close()
      else own.upstream.asked.at(-1)?.socket.destroy()
      await within(client.closed, 'the end of the connection')
      await expectFreed(own.app, side)
    }
  })
})
