// Cases that are sent byte by byte.
import { carried, cutBehind, type FramingCase, refused } from '../case.ts'
import { chunked, get, got, hello, post, posted, withTarget } from '../messages.ts'

export const slowCases: readonly FramingCase[] = [
  {
    name: 'chunks with trailers',
    bytes: `${post(chunked)}5;a="b"\r\nhello\r\n0\r\nX-T: v\r\n\r\n`,
    expected: carried({ ...posted, trailers: [['X-T', 'v']] }),
  },
  {
    name: 'two in a row',
    bytes: `${get()}${withTarget('/ID-2', get())}`,
    expected: carried(got, { ...got, target: '/ID-2' }),
  },
  { name: 'a bare LF in a chunk', bytes: `${post(chunked)}5\r\nhello\n0\r\n\r\n`, expected: refused },
  {
    name: 'an unknown coding',
    bytes: `${post('Transfer-Encoding: chunked, identity')}${hello}`,
    expected: refused,
  },
  {
    name: 'two lengths behind a valid one',
    bytes: `${get()}${withTarget('/bad', post(chunked, 'Content-Length: 5'))}0\r\n\r\n`,
    expected: cutBehind(got),
  },
]
