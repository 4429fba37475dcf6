// Trailer sections.
import { refused, refusedOrCarried, type Subject } from '../case.ts'
import { chunked, post, posted } from '../messages.ts'

export const trailerCases: Subject = {
  'an invalid trailer section': [
    ...['bad name: x', 'bad : x', ': x', 'bad', 'b@d: x', 'b\0d: x', 'x: a\0b', 'x: a\rb', 'x: a\r\n b', ' x: a'].map(
      (text) => ({
        name: JSON.stringify(text),
        bytes: `${post(chunked)}5\r\nhello\r\n0\r\n${text}\r\n\r\n`,
        expected: refused,
      }),
    ),
    { name: 'with bare LFs', bytes: `${post(chunked)}5\r\nhello\r\n0\r\nX: y\n\r\n`, expected: refused },
    { name: 'that ends in a bare LF', bytes: `${post(chunked)}5\r\nhello\r\n0\r\nX: y\r\n\n`, expected: refused },
    {
      name: 'of 20,000 bytes',
      bytes: `${post(chunked)}5\r\nhello\r\n0\r\nX: ${'y'.repeat(20_000)}\r\n\r\n`,
      expected: refused,
    },
  ],
  'a trailer that frames the message': [
    ...['Content-Length: 5', 'Transfer-Encoding: chunked', 'Host: b.example', 'Connection: close', 'Trailer: X'].map(
      (text) => ({
        name: text,
        bytes: `${post(chunked, 'Trailer: X')}5\r\nhello\r\n0\r\n${text}\r\nX-T: v\r\n\r\n`,
        expected: refusedOrCarried({ ...posted, trailers: [['X-T', 'v']] }),
      }),
    ),
  ],
}
