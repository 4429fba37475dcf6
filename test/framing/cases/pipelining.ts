// Several requests on one connection.
import { carried, cutBehind, type Subject } from '../case.ts'
import { chunked, get, got, headOf, hello, post, posted, start, withTarget } from '../messages.ts'

export const pipeliningCases: Subject = {
  'two valid requests in one packet': [
    {
      name: 'GET and GET',
      bytes: `${get()}${withTarget('/ID-2', get())}`,
      expected: carried(got, { ...got, target: '/ID-2' }),
    },
    {
      name: 'POST and GET',
      bytes: `${post('Content-Length: 5')}hello${withTarget('/ID-2', get())}`,
      expected: carried(posted, { ...got, target: '/ID-2' }),
    },
    {
      name: 'GET and POST',
      bytes: `${get()}${withTarget('/ID-2', post('Content-Length: 5'))}hello`,
      expected: carried(got, { ...posted, target: '/ID-2' }),
    },
    {
      name: 'chunks and a length',
      bytes: `${post(chunked)}${hello}${withTarget('/ID-2', post('Content-Length: 5'))}HELLO`,
      expected: carried(posted, { ...posted, target: '/ID-2', content: 'HELLO' }),
    },
    {
      name: 'chunks with trailers, and GET',
      bytes: `${post(chunked)}5\r\nhello\r\n0\r\nX-T: v\r\n\r\n${withTarget('/ID-2', get())}`,
      expected: carried({ ...posted, trailers: [['X-T', 'v']] }, { ...got, target: '/ID-2' }),
    },
    {
      name: 'HEAD and GET',
      bytes: `${start('HEAD /ID HTTP/1.1')}${withTarget('/ID-2', get())}`,
      expected: carried({ ...got, method: 'HEAD' }, { ...got, target: '/ID-2' }),
    },
    {
      name: 'an empty line between',
      bytes: `${post('Content-Length: 5')}hello\r\n${withTarget('/ID-2', get())}`,
      expected: carried(posted, { ...got, target: '/ID-2' }),
      withoutTwin: 'a proxy passes on no empty line (RFC 9112, 2.2)',
    },
    {
      name: 'five of them',
      bytes: [1, 2, 3, 4, 5].map((n) => withTarget(`/ID-${n}`, get())).join(''),
      expected: carried(...[1, 2, 3, 4, 5].map((n) => ({ ...got, target: `/ID-${n}` }))),
    },
    {
      name: 'one of them of a route',
      bytes: `${start('GET /api/states HTTP/1.1')}${get()}`,
      expected: [{ answers: [200, 200], seen: [got], closes: false }],
    },
  ],
  'an invalid request behind a valid one': [
    {
      name: 'two lengths',
      bytes: `${get()}${withTarget('/bad', post(chunked, 'Content-Length: 5'))}0\r\n\r\n`,
      expected: cutBehind(got),
    },
    {
      name: 'two lengths behind content',
      bytes: `${post('Content-Length: 5')}hello${withTarget('/bad', post(chunked, 'Content-Length: 5'))}0\r\n\r\n`,
      expected: cutBehind(posted),
    },
    {
      name: 'two lengths behind chunks',
      bytes: `${post(chunked)}${hello}${withTarget('/bad', post(chunked, 'Content-Length: 5'))}0\r\n\r\n`,
      expected: cutBehind(posted),
    },
    { name: 'a bad Host', bytes: get() + headOf('GET /bad HTTP/1.1', 'Host: a/b'), expected: cutBehind(got) },
    { name: 'a fragment', bytes: get() + start('GET /bad#x HTTP/1.1'), expected: cutBehind(got) },
    { name: 'a bad method', bytes: get() + start('FOO /bad HTTP/1.1'), expected: cutBehind(got) },
    { name: 'CONNECT', bytes: get() + start('CONNECT a.example:80 HTTP/1.1'), expected: cutBehind(got) },
    { name: 'a bad version', bytes: get() + start('GET /bad HTTP/1.2'), expected: cutBehind(got) },
    { name: 'garbage', bytes: `${get()}\0\0\0\r\n\r\n`, expected: cutBehind(got) },
    {
      name: 'an unknown transfer coding',
      bytes: `${get()}${withTarget('/bad', post('Transfer-Encoding: gzip, chunked'))}${hello}`,
      expected: cutBehind(got),
    },
    {
      name: 'a bad chunk',
      bytes: `${get()}${withTarget('/bad', post(chunked))}5\r\nhelloX\r\n0\r\n\r\n`,
      expected: cutBehind(got),
    },
    {
      name: 'longer content than it says',
      bytes: `${post('Content-Length: 5')}hello, you\r\n\r\n`,
      expected: cutBehind(posted),
    },
    {
      name: 'a valid one, behind Connection: close',
      bytes: get('Connection: close') + withTarget('/bad', get()),
      expected: cutBehind(got),
    },
    {
      name: 'a valid one, behind HTTP/1.0',
      bytes: start('GET /ID HTTP/1.0') + withTarget('/bad', get()),
      expected: cutBehind(got),
    },
    {
      name: 'a valid one, behind Connection: close with content',
      bytes: `${post('Connection: close', 'Content-Length: 5')}hello${withTarget('/bad', get())}`,
      expected: cutBehind(posted),
    },
  ],
}
