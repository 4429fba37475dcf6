// The fields that Connection names.
import { carried, type Subject } from '../case.ts'
import { chunked, get, got, hello, post, posted } from '../messages.ts'

export const connectionCases: Subject = {
  'a field that Connection names': [
    {
      name: 'Content-Length',
      bytes: `${post('Connection: content-length', 'Content-Length: 5')}hello`,
      expected: carried(posted),
    },
    {
      name: 'Content-Length, of a GET',
      bytes: `${get('Connection: content-length', 'Content-Length: 5')}hello`,
      expected: carried({ ...got, content: 'hello' }),
    },
    {
      name: 'Transfer-Encoding and Host',
      bytes: `${post('Connection: transfer-encoding, host', chunked)}${hello}`,
      expected: carried(posted),
    },
    {
      name: 'Transfer-Encoding and Host, of a GET',
      bytes: `${get('Connection: transfer-encoding, host', chunked)}${hello}`,
      expected: carried({ ...got, content: 'hello' }),
    },
    { name: 'Host', bytes: get('Connection: host'), expected: carried({ ...got, has: [['Host', 'a.example']] }) },
    {
      name: 'a field that is taken out',
      bytes: get('Connection: close, x-secret', 'X-Secret: s', 'X-A: b'),
      expected: carried({ ...got, has: [['X-A', 'b']], lacks: ['x-secret'] }),
    },
    {
      name: 'two fields, in two',
      bytes: get('Connection: x-secret', 'X-Secret: s', 'Connection: X-Other,,', 'X-Other: s'),
      expected: carried({ ...got, lacks: ['x-secret', 'x-other'] }),
    },
    {
      name: 'a field, of a request with content',
      bytes: `${post('Connection: x-secret', 'X-Secret: s', 'Content-Length: 5')}hello`,
      expected: carried({ ...posted, lacks: ['x-secret'] }),
    },
    { name: 'itself', bytes: get('Connection: connection, close'), expected: carried(got) },
    {
      name: 'Trailer, TE and Keep-Alive',
      bytes: `${post('Connection: TE', 'TE: trailers, gzip', 'Keep-Alive: 5', 'Trailer: X', chunked)}${hello}`,
      expected: carried({ ...posted, lacks: ['keep-alive'] }),
    },
  ],
}
