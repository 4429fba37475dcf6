// Upgrade: requests for another protocol.
import { carried, refused, type Subject } from '../case.ts'
import { chunked, get, got, hello, post, posted, smuggled, start, websocket } from '../messages.ts'

export const upgradeCases: Subject = {
  'a request for another protocol': [
    {
      name: 'h2c',
      bytes: get('Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c', 'HTTP2-Settings: AAMAAABkAAQAAP__'),
      expected: carried({ ...got, lacks: ['upgrade', 'http2-settings'] }),
    },
    {
      name: 'h2c, with content',
      bytes: `${post('Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c', 'HTTP2-Settings: AAMA', 'Content-Length: 5')}hello`,
      expected: carried({ ...posted, lacks: ['upgrade', 'http2-settings'] }),
    },
    ...['h2c, websocket', 'websocket, h2c', 'websocketx', 'TLS/1.0', 'websocket/13', ''].map((value) => ({
      name: `Upgrade: ${value}`,
      bytes: start('GET /ID-accept HTTP/1.1', 'Connection: Upgrade', `Upgrade: ${value}`),
      expected: carried({ ...got, target: '/ID-accept', lacks: ['upgrade'] }),
    })),
    {
      name: 'two of them',
      bytes: start('GET /ID-accept HTTP/1.1', 'Connection: Upgrade', 'Upgrade: websocket', 'Upgrade: h2c'),
      expected: carried({ ...got, target: '/ID-accept', lacks: ['upgrade'] }),
    },
    {
      name: 'that Connection does not name',
      bytes: start('GET /ID-accept HTTP/1.1', 'Upgrade: websocket'),
      expected: carried({ ...got, target: '/ID-accept', lacks: ['upgrade'] }),
    },
    {
      name: 'websocket, with content',
      bytes: `${websocket('/ID-accept', 'Content-Length: 5')}hello`,
      expected: carried({ ...got, target: '/ID-accept', content: 'hello', lacks: ['upgrade'] }),
    },
    {
      name: 'websocket, with content that looks like a request',
      bytes: `${websocket('/ID-accept', `Content-Length: ${smuggled.length}`)}${smuggled}`,
      expected: carried({ ...got, target: '/ID-accept', content: smuggled, lacks: ['upgrade'] }),
    },
    {
      name: 'websocket, in chunks',
      bytes: `${websocket('/ID-accept', chunked)}${hello}`,
      expected: carried({ ...got, target: '/ID-accept', content: 'hello', lacks: ['upgrade'] }),
    },
    {
      name: 'websocket of a POST',
      bytes: `${websocket('/ID-accept', 'Content-Length: 5').replace('GET', 'POST')}hello`,
      expected: carried({ ...posted, target: '/ID-accept', lacks: ['upgrade'] }),
    },
    {
      name: 'websocket in HTTP/1.0',
      bytes: websocket('/ID-accept').replace('HTTP/1.1', 'HTTP/1.0'),
      expected: carried({ ...got, target: '/ID-accept', lacks: ['upgrade'] }),
    },
    { name: 'websocket, of a bad Host', bytes: websocket('/ID-accept', 'Host: b.example'), expected: refused },
    {
      name: 'websocket, of two lengths',
      bytes: websocket('/ID-accept', 'Content-Length: 0', 'Content-Length: 0'),
      expected: refused,
    },
    { name: 'websocket, of a target with a fragment', bytes: websocket('/ID-accept#x'), expected: refused },
    {
      name: 'websocket, with a field that looks like a length',
      bytes: websocket('/ID-accept', 'Content_Length: 5'),
      expected: refused,
    },
    {
      name: 'websocket, of a coding not known',
      bytes: websocket('/ID-accept', 'Transfer-Encoding: identity'),
      expected: refused,
    },
    {
      name: 'websocket, refused by the upstream',
      bytes: websocket('/ID'),
      expected: [{ answers: [426], seen: [got], closes: true }],
      withoutTwin: 'with nothing behind it, it may go through: only the closing is the proxy’s',
    },
    {
      name: 'websocket, refused by the upstream, a request behind it',
      bytes: `${websocket('/ID')}${smuggled}`,
      expected: [{ answers: [426], seen: [got], closes: true }],
    },
    {
      name: 'websocket, refused by the upstream, content that was not announced behind it',
      bytes: `${websocket('/ID', 'Content-Length: 0')}${post('Content-Length: 5')}hello`,
      expected: [{ answers: [426], seen: [got], closes: true }],
    },
    {
      name: 'websocket of a route',
      bytes: `${websocket('/api/states')}`,
      expected: [
        { answers: [200], seen: [], closes: false },
        { answers: [200], seen: [], closes: true },
      ],
    },
  ],
}
